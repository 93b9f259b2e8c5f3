//! The simulated disk: [`peer_mio::disk::Disk`] over a tree of memory that crashes, fills up, fails and
//! lies. One handle is the peer's, another one the user's and the harness's.

mod file;
mod tree;
mod user;

use crate::rng::Rng;
pub use file::SimFile;
use peer_mio::disk::{At, Birth, Disk, Place, RenameMode, Space, Stat};
use proto_core::index::entry::Timestamp;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tree::code::{EACCES, EBADF, EEXIST, EINVAL, EIO, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY};
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

/// What a user wrote between two operations of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meddled {
    /// Below `share/`.
    pub path: Vec<u8>,
    /// The bytes that were there.
    pub before: Vec<u8>,
    /// The bytes that are there now.
    pub after: Vec<u8>,
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
    share_gone: bool,
    /// Permille of renames and the like within which a user writes to the same file, and their generator.
    meddling: Option<(u64, Rng)>,
    meddled: Vec<Meddled>,
    /// Whether modes keep the peer out: it does not run as root.
    enforcing: bool,
    /// Whether it is the peer who does something now.
    acting: bool,
    /// How often its files were copied to another disk: a copy has other births.
    copied: u64,
    /// Since when the kernel has been writing files to the disk.
    written_back: BTreeMap<Ino, Timestamp>,
    /// Directories of `share/` that the peer has listed.
    listed: u64,
    /// Bytes that the peer has read from `download/`.
    downloads_read: u64,
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
        let roots = PLACES.map(|_| tree.make(Body::Directory(BTreeMap::new()), 0o755));
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
            share_gone: false,
            meddling: None,
            meddled: Vec::new(),
            enforcing: false,
            acting: false,
            copied: 0,
            written_back: BTreeMap::new(),
            listed: 0,
            downloads_read: 0,
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

    /// Bytes that all files may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().tree.capacity = bytes;
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

impl State {
    fn check(&mut self, life: u64) -> io::Result<()> {
        if life != self.life {
            return Err(errno(EBADF));
        }
        if let Some((permille, rng)) = self.failing.as_mut()
            && rng.chance(*permille)
        {
            return Err(errno(EIO));
        }
        Ok(())
    }

    fn root(&self, place: Place) -> io::Result<Ino> {
        if place == Place::Share && self.share_gone {
            return Err(errno(ENOENT));
        }
        let at = PLACES.iter().position(|known| *known == place);
        at.and_then(|at| self.roots.get(at))
            .copied()
            .ok_or_else(|| errno(ENOENT))
    }

    /// Whether the mode lets the peer, as the owner, do this.
    fn allow(&self, ino: Ino, bits: u16) -> io::Result<()> {
        if self.enforcing && self.acting && self.tree.stat(ino)?.mode & bits != bits {
            return Err(errno(EACCES));
        }
        Ok(())
    }

    /// The directory and name that a path means.
    fn parent<'a>(&self, at: At<'a>) -> io::Result<(Ino, &'a [u8])> {
        proto_core::path::check(at.path).map_err(|_| errno(EINVAL))?;
        let mut directory = self.root(at.place)?;
        for component in proto_core::path::parent(at.path)
            .unwrap_or_default()
            .split(|byte| *byte == b'/')
            .filter(|component| !component.is_empty())
        {
            directory = self
                .tree
                .lookup(directory, component)?
                .ok_or_else(|| errno(ENOENT))?;
            self.tree.names(directory)?;
            self.allow(directory, SEARCH)?;
        }
        Ok((directory, proto_core::path::name(at.path)))
    }

    fn find(&self, at: At<'_>) -> io::Result<Ino> {
        if at.path.is_empty() {
            return self.root(at.place);
        }
        let (directory, name) = self.parent(at)?;
        self.tree
            .lookup(directory, name)?
            .ok_or_else(|| errno(ENOENT))
    }

    /// A new name for something; there must be nothing yet.
    fn add(&mut self, at: At<'_>, make: impl FnOnce(&mut Tree) -> Ino) -> io::Result<Ino> {
        let (directory, name) = self.parent(at)?;
        if self.tree.lookup(directory, name)?.is_some() {
            return Err(errno(EEXIST));
        }
        self.allow(directory, WRITE)?;
        let ino = make(&mut self.tree);
        self.tree.set_name(directory, name, Some(ino))?;
        self.tell_of(at, ino);
        Ok(ino)
    }

    fn remove(&mut self, at: At<'_>, directory_wanted: bool) -> io::Result<()> {
        let (directory, name) = self.parent(at)?;
        let ino = self
            .tree
            .lookup(directory, name)?
            .ok_or_else(|| errno(ENOENT))?;
        match (&self.tree.get(ino)?.body, directory_wanted) {
            (Body::Directory(names), true) if !names.is_empty() => return Err(errno(ENOTEMPTY)),
            (Body::Directory(_), false) => return Err(errno(EISDIR)),
            (Body::File(_) | Body::Symlink(_), true) => return Err(errno(ENOTDIR)),
            _ => {}
        }
        self.allow(directory, WRITE)?;
        self.tell_of(at, ino);
        self.tree.set_name(directory, name, None)?;
        Ok(())
    }

    fn rename(&mut self, from: At<'_>, to: At<'_>, mode: RenameMode) -> io::Result<()> {
        let (from_directory, from_name) = self.parent(from)?;
        let moved = self
            .tree
            .lookup(from_directory, from_name)?
            .ok_or_else(|| errno(ENOENT))?;
        let (to_directory, to_name) = self.parent(to)?;
        let there = self.tree.lookup(to_directory, to_name)?;
        self.allow(from_directory, WRITE)?;
        self.allow(to_directory, WRITE)?;
        match (there, mode) {
            (Some(_), RenameMode::NoReplace) => return Err(errno(EEXIST)),
            (None, RenameMode::Exchange) => return Err(errno(ENOENT)),
            (Some(other), RenameMode::Replace) => {
                let is_directory = |ino| self.tree.names(ino).map(BTreeMap::is_empty);
                match (is_directory(moved), is_directory(other)) {
                    (Ok(_), Ok(false)) => return Err(errno(ENOTEMPTY)),
                    (Ok(_), Err(_)) => return Err(errno(ENOTDIR)),
                    (Err(_), Ok(_)) => return Err(errno(EISDIR)),
                    _ => {}
                }
            }
            _ => {}
        }
        self.tree.set_name(to_directory, to_name, Some(moved))?;
        let left = if mode == RenameMode::Exchange {
            there
        } else {
            None
        };
        self.tree.set_name(from_directory, from_name, left)?;
        self.tell_of(from, left.unwrap_or(moved));
        self.tell_of(to, moved);
        Ok(())
    }

    /// What inotify tells of.
    fn tell(&mut self, at: At<'_>, settled: bool) {
        if at.place == Place::Share {
            self.events.push(SimEvent {
                path: at.path.to_vec(),
                settled,
                directory: false,
            });
        }
    }

    /// A name came or went.
    fn tell_of(&mut self, at: At<'_>, ino: Ino) {
        self.tell(at, true);
        let directory = self.tree.names(ino).is_ok();
        if let Some(event) = self.events.last_mut().filter(|_| at.place == Place::Share) {
            event.directory = directory;
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn check_share(&self) -> io::Result<()> {
        self.reading(|state| state.root(Place::Share).map(|_| ()))
    }

    fn made_share(&self) -> bool {
        false
    }

    fn birth(&self, at: At<'_>) -> io::Result<Birth> {
        self.reading(|state| {
            let ino = u128::from(state.find(at)?);
            Ok(Birth((u128::from(state.copied) << 64 | ino).to_be_bytes()))
        })
    }

    fn stat(&self, at: At<'_>) -> io::Result<Stat> {
        self.reading(|state| state.tree.stat(state.find(at)?))
    }

    fn open(&self, at: At<'_>, _follow: bool) -> io::Result<SimFile> {
        let mut state = self.lock();
        state.check(self.life)?;
        state.acting = true;
        let found = state.find(at).and_then(|ino| {
            state.tree.bytes(ino).map_err(|_| errno(EINVAL))?;
            state.allow(ino, READ)?;
            Ok(ino)
        });
        state.acting = false;
        Ok(self.opened(at.place, found?, &mut state))
    }

    fn create(&self, at: At<'_>) -> io::Result<SimFile> {
        self.changing(|state| {
            let ino = match state.find(at) {
                Ok(ino) => ino,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    state.add(at, |tree| tree.make(Body::File(Vec::new()), 0o600))?
                }
                Err(error) => return Err(error),
            };
            state.tree.bytes(ino)?;
            state.allow(ino, READ | WRITE)?;
            Ok(self.opened(at.place, ino, state))
        })
    }

    fn list(&self, at: At<'_>) -> io::Result<Vec<Vec<u8>>> {
        self.lock().listed += u64::from(at.place == Place::Share);
        self.reading(|state| {
            let ino = state.find(at)?;
            let names = state.tree.names(ino)?.keys().cloned().collect();
            state.allow(ino, READ)?;
            Ok(names)
        })
    }

    fn read_link(&self, at: At<'_>) -> io::Result<Vec<u8>> {
        self.reading(|state| match &state.tree.get(state.find(at)?)?.body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(errno(EINVAL)),
        })
    }

    fn make_dir(&self, at: At<'_>, mode: u16) -> io::Result<()> {
        self.changing(|state| {
            state
                .add(at, |tree| tree.make(Body::Directory(BTreeMap::new()), mode))
                .map(|_| ())
        })
    }

    fn remove_dir(&self, at: At<'_>) -> io::Result<()> {
        self.changing(|state| state.remove(at, true))
    }

    fn remove_file(&self, at: At<'_>) -> io::Result<()> {
        self.changing(|state| state.remove(at, false))
    }

    fn make_symlink(&self, target: &[u8], at: At<'_>) -> io::Result<()> {
        self.changing(|state| {
            state
                .add(at, |tree| tree.make(Body::Symlink(target.to_vec()), 0o777))
                .map(|_| ())
        })
    }

    fn hard_link(&self, from: At<'_>, to: At<'_>) -> io::Result<()> {
        self.changing(|state| {
            let ino = state.find(from)?;
            state.add(to, |_| ino).map(|_| ())
        })
    }

    fn rename(&self, from: At<'_>, to: At<'_>, mode: RenameMode) -> io::Result<()> {
        self.changing(|state| {
            state.meddle(from);
            state.meddle(to);
            state.rename(from, to, mode)?;
            state.meddle(to);
            Ok(())
        })
    }

    fn set_mode(&self, at: At<'_>, mode: u16) -> io::Result<()> {
        self.changing(|state| {
            let ino = state.find(at)?;
            state.tell(at, false);
            state.tree.set_mode(ino, mode & 0o777)?;
            state.meddle(at);
            Ok(())
        })
    }

    fn set_mtime(&self, at: At<'_>, mtime: Timestamp) -> io::Result<()> {
        self.changing(|state| {
            let ino = state.find(at)?;
            state.tell(at, false);
            state.tree.set_mtime(ino, mtime)?;
            state.meddle(at);
            Ok(())
        })
    }

    fn sync_dir(&self, at: At<'_>) -> io::Result<()> {
        self.changing(|state| {
            let ino = state.find(at)?;
            state.allow(ino, READ)?;
            state.tree.sync_names();
            Ok(())
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.changing(|state| {
            state.tree.sync_all();
            Ok(())
        })
    }

    fn space(&self) -> io::Result<Space> {
        self.reading(|state| Ok(state.tree.space()))
    }
}
