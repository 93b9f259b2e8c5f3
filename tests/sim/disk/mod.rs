//! The simulated disk: [`peer_mio::disk::Disk`] over a tree of memory that crashes, fills up, fails and
//! lies. One handle is the peer's, another one the user's and the harness's.

mod cold;
mod file;
mod loss;
mod meddling;
mod operations;
mod state;
mod tree;
mod user;

use crate::rng::Rng;
use cold::ColdDisk;
pub use file::SimFile;
use meddling::{Meddled, Meddling};
use peer_mio::disk::Place;
use proto_core::index::entry::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tree::code::EIO;
use tree::{Body, Ino, Tree, errno};
pub use user::Node;

/// An event as inotify would tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimEvent {
    /// Below `share/`.
    pub path: Vec<u8>,
    /// Closed, renamed or deleted; not only written to.
    pub settled: bool,
    /// A directory came or went.
    pub directory: bool,
}

#[derive(Clone, Debug)]
struct State {
    tree: Tree,
    roots: [Ino; 5],
    events: Vec<SimEvent>,
    /// Counts lives: a handle of an earlier one is dead.
    life: u64,
    /// After so many more changing operations all fail.
    stop_after: Option<u64>,
    /// Permille of operations that fail with EIO, and their generator.
    failing: Option<(u64, Rng)>,
    /// Whether renames within `download/` fail.
    refuses_names: bool,
    /// Writes of so many bytes to files in `download/` fail.
    refuses_bytes: Option<usize>,
    /// Writes to the index fail.
    refuses_index: bool,
    /// After so many more files of bundles, and in a later turn than the last, the default ACL of `download/` leaves those that are made there
    /// to their owner.
    narrows_after: Option<(u64, Timestamp)>,
    /// What of the files in `share/` and `download/` is in memory, if not everything is.
    cold: Option<ColdDisk>,
    share_gone: bool,
    meddling: Option<Meddling>,
    meddled: Vec<Meddled>,
    made_room: Vec<Vec<u8>>,
    made_with: BTreeSet<u16>,
    /// Whether modes keep the peer out: it does not run as root.
    enforcing: bool,
    /// Whether it is the peer who does something now.
    acting: bool,
    /// How often its files were copied to another disk: a copy has other births.
    copied: u64,
    /// Since when the kernel has been writing files to the disk.
    written_back: BTreeMap<Ino, Timestamp>,
    /// Flushes that go on beside the peer: number, file, looks until it has ended.
    flushing: Vec<(u64, Ino, u64)>,
    /// How many were begun.
    flushes_begun: u64,
    /// A flush of all that goes on beside the peer: whether all of it is done at its end, and looks until then.
    syncing: Option<(bool, u64)>,
    /// Directories of `share/` that the peer has listed.
    listed: u64,
    /// Bytes that the peer has read from `download/`.
    downloads_read: u64,
    /// How often the power was cut.
    power_cuts: u64,
    /// Bytes that the peer has read from files in `share/`.
    share_read: u64,
}

/// A simulated disk; clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    life: u64,
}

/// What a mode may allow to the owner.
const READ: u16 = 0o400;
const WRITE: u16 = 0o200;
const SEARCH: u16 = 0o100;

/// After so many seconds what the kernel began to write is there after a power cut (ext4's commit
/// interval).
const JOURNAL_COMMIT: i64 = 5;

const PLACES: [Place; 5] = [
    Place::Share,
    Place::Download,
    Place::Zip,
    Place::State,
    Place::Trash,
];

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        let mut tree = Tree::default();
        let roots = PLACES.map(|place| {
            let mode = if place == Place::Download {
                0o700
            } else {
                0o755
            };
            tree.make(Body::Directory(BTreeMap::new()), mode)
        });
        for root in roots {
            tree.keep(root);
        }
        let state = State {
            tree,
            roots,
            events: Vec::new(),
            life: 0,
            stop_after: None,
            failing: None,
            refuses_names: false,
            refuses_bytes: None,
            refuses_index: false,
            narrows_after: None,
            cold: None,
            share_gone: false,
            meddling: None,
            meddled: Vec::new(),
            made_room: Vec::new(),
            made_with: BTreeSet::new(),
            enforcing: false,
            acting: false,
            copied: 0,
            written_back: BTreeMap::new(),
            flushing: Vec::new(),
            flushes_begun: 0,
            syncing: None,
            listed: 0,
            downloads_read: 0,
            power_cuts: 0,
            share_read: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            life: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle for a new life of the peer.
    #[must_use]
    pub fn handle(&self) -> Self {
        let life = self.lock().life;
        Self {
            state: Arc::clone(&self.state),
            life,
        }
    }

    /// A snapshot of the whole disk, as of a virtual machine: not even the births differ.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let mut state = self.lock().clone();
        state.life += 1;
        let life = state.life;
        Self {
            state: Arc::new(Mutex::new(state)),
            life,
        }
    }

    /// A disk to which all files were copied.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = self.snapshot();
        copy.lock().copied += 1;
        copy
    }

    /// Sets the clock of the files.
    pub fn set_now(&self, now: Timestamp) {
        self.lock().tree.now = now;
    }

    /// Events since the last call.
    #[must_use]
    pub fn take_events(&self) -> Vec<SimEvent> {
        std::mem::take(&mut self.lock().events)
    }

    /// Flushes of single files so far, those of the index included.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.lock().tree.flushes
    }

    /// The kernel writes everything to the disk by itself.
    pub fn write_back(&self) {
        self.lock().tree.sync_all();
    }

    /// The process is killed: handles die, nothing is lost.
    pub fn kill(&self) {
        let mut state = self.lock();
        state.life += 1;
        state.stop_after = None;
        state.events.clear();
        state.tree.close_all();
    }

    /// The power is cut.
    pub fn power_cut(&self, rng: &mut Rng) {
        let mut state = self.lock();
        let (now, begun) = (state.tree.now, std::mem::take(&mut state.written_back));
        for (ino, since) in begun {
            if now.sec - since.sec >= JOURNAL_COMMIT {
                // A file that is gone has nothing to keep.
                let _ = state.tree.sync_bytes(ino);
            }
        }
        state.tree.power_cut(rng);
        state.power_cuts += 1;
        drop(state);
        self.kill();
    }

    /// Every changing operation of the peer after `count` more fails, until it is killed or cut.
    pub fn stop_after(&self, count: u64) {
        self.lock().stop_after = Some(count);
    }

    /// Nothing stops any more.
    pub fn go_on(&self) {
        self.lock().stop_after = None;
    }

    /// Whether [`Self::stop_after`] has struck.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.lock().stop_after == Some(0)
    }

    /// So many of 1000 operations of the peer fail with EIO; 0: none.
    pub fn fail(&self, permille: u64, rng: Rng) {
        self.lock().failing = (permille > 0).then_some((permille, rng));
    }

    /// From now on nothing of what is in `share/` and `download/` is in memory but what the peer reads or writes, or has read ahead: so many
    /// bytes in a second.
    pub fn be_cold(&self, rate: u64) {
        self.lock().cold = Some(ColdDisk::new(rate));
    }

    /// How often bytes of files were looked for in memory since then.
    #[must_use]
    pub fn cold_looks(&self) -> u64 {
        self.lock().cold.as_ref().map_or(0, |cold| cold.looks)
    }

    /// Pages of files for which the peer had to wait since then.
    #[must_use]
    pub fn cold_waits(&self) -> u64 {
        self.lock().cold.as_ref().map_or(0, |cold| cold.waited)
    }

    /// Whether nothing in `download/` gets another name there.
    pub fn refuse_names_in_downloads(&self, refused: bool) {
        self.lock().refuses_names = refused;
    }

    /// Writes of just so many bytes to files in `download/` fail from now on; `None`: no more.
    pub fn refuse_bytes_in_downloads(&self, bytes: Option<usize>) {
        self.lock().refuses_bytes = bytes;
    }

    /// Whether writes to the index fail from now on.
    pub fn refuse_index(&self, refused: bool) {
        self.lock().refuses_index = refused;
    }

    /// `download/` gets a default ACL between two turns, when so many more files of bundles were made there.
    pub fn narrow_downloads_after(&self, files: u64) {
        self.lock().narrows_after = Some((files, Timestamp::default()));
    }

    /// Bytes that all files may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().tree.capacity = bytes;
    }

    /// The contents that went from the trash while the disk was small, since the last call.
    #[must_use]
    pub fn take_made_room(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.lock().made_room)
    }

    /// The modes that the peer made files of a bundle with, before any umask.
    #[must_use]
    pub fn made_with(&self) -> BTreeSet<u16> {
        self.lock().made_with.clone()
    }

    /// Directories of `share/` that the peer has listed so far.
    #[must_use]
    pub fn listed(&self) -> u64 {
        self.lock().listed
    }

    /// Bytes that the peer has read from `download/` so far.
    #[must_use]
    pub fn downloads_read(&self) -> u64 {
        self.lock().downloads_read
    }

    /// Bytes that the peers on it have read from files in `share/`.
    #[must_use]
    pub fn share_read(&self) -> u64 {
        self.lock().share_read
    }

    /// Bytes that all files take up.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().tree.used()
    }

    /// Whether modes keep the peer out, as they do unless it runs as root.
    pub fn enforce_modes(&self, enforce: bool) {
        self.lock().enforcing = enforce;
    }

    /// `share/` is unmounted, or back.
    pub fn set_share_gone(&self, gone: bool) {
        self.lock().share_gone = gone;
    }

    /// Runs a reading operation of the peer.
    fn reading<T>(&self, operation: impl FnOnce(&State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        state.check(self.life)?;
        state.acting = true;
        let done = operation(&state);
        state.acting = false;
        done
    }

    /// Runs a changing operation of the peer.
    fn changing<T>(&self, operation: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        state.check(self.life)?;
        if let Some(left) = state.stop_after.as_mut() {
            if *left == 0 {
                return Err(errno(EIO));
            }
            *left -= 1;
        }
        state.acting = true;
        let done = operation(&mut state);
        state.acting = false;
        done
    }

    fn opened(&self, place: Place, ino: Ino, state: &mut State) -> SimFile {
        state.tree.hold(ino, true);
        SimFile {
            disk: self.clone(),
            place,
            ino,
        }
    }
}
