//! One peer without its sockets: engine, store, disk and jobs. The event loop gives it datagrams,
//! file system events and time; so does the simulator.
//!
//! A driver calls [`Peer::handle_datagrams`], [`Peer::handle_change`] and [`Peer::work`], drains
//! [`Peer::poll_transmit`], and waits until [`Peer::next_wake`].

mod abandoned;
mod act;
pub mod assembly;
mod backlog;
mod bridge;
mod bundles;
mod bury;
mod came;
mod commit;
mod config;
mod directory;
pub mod drafts;
mod encodings;
mod errors;
mod flushing;
pub mod guard;
mod hashing;
mod in_the_way;
mod journal;
mod land;
mod land_file;
mod land_group;
mod landed_as;
mod landed_before;
mod landing;
mod landing_name;
pub mod legacy_files;
mod new_file;
mod objects;
mod open_files;
mod open_way;
mod overview;
mod pickup;
mod pickup_links;
mod plan;
mod read_ahead;
mod ready;
mod recheck;
mod record;
mod recover;
mod replace;
pub mod report;
mod runs;
mod scans;
mod served;
mod skipped;
mod start;
mod torn;
mod touched;
mod transfer;
mod trash;
mod trouble;
mod uses;
mod zips;

use crate::clock::Now;
use crate::disk::{At, Disk, FileKind, Place};
use crate::jobs::encode::Decoder;
use crate::net::cipher::FastKey;
use crate::store::Store;
use crate::watch::dirty::{Dirty, OPEN_PAUSE, SETTLED_PAUSE};
use assembly::Assembly;
use bridge::Bridge;
use bundles::Bundles;
use bury::Burying;
use came::Came;
use commit::{Changes, STORE_TRIES};
pub use config::Config;
use drafts::Drafts;
pub use encodings::Stopwatch;
use errors::Errors;
use guard::Guard;
use hashing::{Hashings, Lane};
pub use landing::Flushing;
use landing::Landing;
use objects::Serving;
use open_files::OpenFiles;
use pickup::is_racy;
use plan::Plan;
use proto_core::boundary::{Mark, PeerSlot, Transmit};
use proto_core::content::ContentId;
use proto_core::engine::Engine;
use proto_core::index::entry::{IndexId, Sequence};
use proto_core::time::{Duration, Instant};
use recheck::Recheck;
use report::Report;
use scans::Scans;
use served::Served;
use skipped::Skipped;
pub use start::{StartError, Started};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use torn::Unflushed;
use transfer::{Fetching, Transfer};
use uses::Uses;
use zips::Zips;

/// A file of at most so many bytes is looked at as soon as it is closed, and again when its times can be believed.
const AT_ONCE: u64 = 128 * 1024;
/// Between two looks whether tombstones can be forgotten, the trash expired, recipes dropped.
const HOUSEKEEPING: Duration = Duration::from_secs(600);

/// Called with each directory of `share/` that is to be watched. False if the kernel watches no more of them, so that
/// only scans see what changes in it.
pub type WatchDirectory = Box<dyn FnMut(&[u8]) -> bool>;

/// One running peer.
pub struct Peer<D: Disk> {
    config: Config,
    disk: D,
    store: Store,
    engine: Box<Engine<FastKey>>,
    watch: WatchDirectory,
    served: Served<D::File>,
    /// Whether nobody else gets at what is in `download/`.
    private_downloads: bool,
    assembly: Assembly,
    decoder: Decoder,
    uses: Uses,
    transfers: Vec<Transfer<D::File>>,
    /// Small files on their way to us.
    bundles: Bundles<D::File>,
    /// Small files that others want.
    zips: Zips<D::File>,
    fetching: Fetching,
    /// Contents of which our own file is not what the index says: fetched, not copied.
    distrusted: BTreeSet<ContentId>,
    landing: Landing<D::File>,
    open_files: OpenFiles,
    plan: Plan,
    dirty: Dirty,
    came: Came,
    burying: Option<Burying>,
    guard: Guard,
    hashings: Hashings<D::File>,
    /// Those of them that others may fetch.
    drafts: Drafts,
    scans: Scans,
    /// Directories that could not be removed because of something unknown in them.
    leftovers: BTreeSet<Vec<u8>>,
    recheck: Recheck,
    unflushed: Unflushed,
    changes: Changes,
    /// Newest sequence that is durable, and so may be told.
    committed: u64,
    errors: Errors,
    skipped: Skipped,
    report: Report,
    bridge: Bridge,
    /// Failures of the store without a commit between them.
    store_failures: u32,
    /// Nothing is tried with the store before this.
    store_retry: Instant,
    housekeeping_at: Instant,
    /// Tombstones up to this sequence have been read by all since then.
    forget_below: (u64, Instant),
    /// How far all peers have read our journal, as the store knows it.
    agreed: Sequence,
    /// Up to which sequence somebody may have read our journal, as was committed.
    told: Sequence,
    /// Our index is to take a new id; changes of ours up to this sequence stay.
    renewal: Option<Sequence>,
    /// It has done so.
    renewed: bool,
    /// That id.
    spare_id: IndexId,
    /// The time of the last call.
    now: Now,
}

impl<D: Disk> Peer<D> {
    /// Takes datagrams of one source. From an address that is not configured they are dropped unseen. True if one
    /// proved to be that peer's.
    pub fn handle_datagrams<'a>(
        &mut self,
        now: Now,
        from: SocketAddr,
        datagrams: impl Iterator<Item = &'a mut [u8]>,
        mark: Mark,
    ) -> bool {
        let Some(peer) = self.slot_at(from) else {
            return false;
        };
        let before = self.engine.bytes_received(peer);
        for datagram in datagrams {
            self.receive(now, peer, datagram, mark);
        }
        self.engine.bytes_received(peer) > before
    }

    /// Whether pieces may be encoded, here and by others for us; `stopwatch` measures what that takes. Without this
    /// they may, and the encoder counts as faster than any link.
    pub fn set_encodings(&mut self, allowed: bool, stopwatch: Option<Stopwatch>) {
        self.engine.allow_encodings(allowed);
        self.served.encodings.set(allowed, stopwatch);
    }

    /// Something outside of the peer is wrong, in one sentence for `status`; `None`: it is well again.
    pub fn set_trouble(&mut self, cause: &str, sentence: Option<String>) {
        match sentence {
            Some(sentence) => self.errors.set(cause, sentence),
            None => self.errors.clear(cause),
        }
    }

    /// Something happened at a path of `share/`. `settled`: it was closed, renamed or deleted, not
    /// only written to.
    pub fn handle_change(&mut self, now: Now, path: &[u8], settled: bool) {
        // A link is never written to: that it was made is all there is to wait for.
        let at = At {
            place: Place::Share,
            path,
        };
        let stat = self.disk.stat(at);
        if settled && stat.as_ref().is_ok_and(|stat| self.is_indexed(path, stat)) {
            // What was a directory is none any more.
            self.came.take(path);
            return;
        }
        let is_soon_looked_at = stat.as_ref().is_ok_and(|stat| match stat.kind {
            FileKind::File => stat.size <= AT_ONCE,
            // One that was just made or filled may be on its way to another name, or to its end.
            FileKind::Directory => !is_racy(now, stat.mtime),
            FileKind::Symlink | FileKind::Other => false,
        });
        let settled =
            settled || stat.is_ok_and(|stat| stat.kind != FileKind::File || stat.links > 1);
        if settled && is_soon_looked_at {
            return self.dirty.mark_closed(now.mono, path);
        }
        self.dirty.mark(
            now.mono,
            path,
            if settled { SETTLED_PAUSE } else { OPEN_PAUSE },
        );
    }

    /// A directory came to a path of `share/`, or went from it. [`Self::handle_change`] is to follow.
    pub fn handle_directory(&mut self, path: &[u8]) {
        if !self.came.told(path) {
            self.scans.add_full();
        }
    }

    /// Events were lost: a full scan finds what they said.
    pub fn handle_overflow(&mut self) {
        self.came = Came::default();
        self.scans.add_full();
    }

    /// Builds datagrams for one peer into `buffer`: where they go, how many bytes, and the length of each.
    pub fn poll_transmit(&mut self, now: Now, buffer: &mut [u8]) -> Option<(SocketAddr, Transmit)> {
        let readable = self.readable();
        let mut serving = Serving {
            disk: &self.disk,
            store: &self.store,
            served: &mut self.served,
            zips: &mut self.zips,
            transfers: &mut self.transfers,
            landing: &self.landing,
            drafts: &self.drafts,
            unflushed: &self.unflushed,
            recheck: &self.recheck,
            readable,
        };
        let transmit = self.engine.poll_transmit(now.mono, buffer, &mut serving)?;
        Some((*self.config.peers.get(transmit.peer.place())?, transmit))
    }

    /// A turn of the loop begins ([`Disk::begin_turn`]).
    pub fn begin_turn(&self) {
        self.disk.begin_turn();
    }

    /// It ends.
    pub fn end_turn(&self) {
        self.disk.end_turn();
    }

    /// Due timers and one slice of each kind of work. True if there is more to do at once.
    pub fn work(&mut self, now: Now) -> bool {
        self.now = now;
        self.engine.handle_timeout(now.mono);
        let mut more = self.drain_events(now);
        if self.assembly.rest(now.mono) {
            self.decoder = Decoder::default();
        }
        self.served.encodings.rest(now.mono);
        self.served.read_ahead.begin_turn(now.mono);
        while let Some(path) = self.served.changed.pop_first() {
            self.dirty.mark_if_clean(now.mono, &path, SETTLED_PAUSE);
        }
        if now.mono >= self.store_retry {
            self.renew_index();
        }
        // Nothing lands, and nothing is told, under an id that has two histories.
        if now.mono >= self.store_retry && self.renewal.is_none() {
            more |= self.step_scans(now);
            more |= self.pick_up(now);
            // A folder that came was just looked at, and now what is in it is.
            more |= self.scans.has_next();
            more |= self.step_guard(now);
            more |= self.step_plan(now);
            more |= self.step_transfers(now);
            more |= self.step_bundles(now);
            more |= self.step_zips();
            self.sweep_zips();
            more |= self.step_landing(now);
            self.commit_if_quiet(now);
            self.let_read();
            self.note_flushed(now);
            self.keep_house(now);
        }
        self.sweep_errors();
        self.tell_own(now);
        more
    }

    /// When to call [`Self::work`] again if nothing else happens.
    #[must_use]
    pub fn next_wake(&self) -> Instant {
        // What waits for the small file that is hashed goes on after it.
        let held = self.hashings.has(Lane::Small);
        let jobs = [
            self.dirty.next_due().filter(|_| !held),
            self.hashings.next_due(),
            self.transfers_due(),
            self.guard.due(),
            self.plan.next_retry(),
            self.landing.due(),
            self.scans.next_due(self.config.scan_interval),
            Some(self.housekeeping_at),
            self.recheck.due(),
            self.changes_due()
                .filter(|_| !held || self.changes.are_landed()),
        ];
        let jobs = jobs
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Instant::FAR_FUTURE)
            .max(self.store_retry);
        // What is served goes on while the index cannot be written.
        let served = self.served.read_ahead.next_due();
        self.engine
            .poll_timeout()
            .min(jobs)
            .min(served.unwrap_or(Instant::FAR_FUTURE))
    }

    /// Tells the others that we end, and makes what is known durable. Drain [`Self::poll_transmit`] after it.
    pub fn shut_down(&mut self) {
        self.engine.shut_down();
        self.break_off_landing();
        self.leave_all();
        self.commit_changes();
    }

    /// Whether the index has a new id, or cannot be used any more: start a new peer on the same disk,
    /// which makes a new index if this one is damaged.
    #[must_use]
    pub fn must_restart(&self) -> bool {
        self.renewed || self.store_failures >= STORE_TRIES
    }

    /// The name of this life of our index.
    #[must_use]
    pub fn index_id(&self) -> IndexId {
        self.store.index_id()
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &D {
        &self.disk
    }

    fn is_scanned(&self) -> bool {
        self.scans.first_done()
    }

    /// Sentences about what is not pending any more go.
    fn sweep_errors(&mut self) {
        let (store, pending) = (&self.store, self.store.pending_len());
        let swept = self.errors.sweep(pending, |path| {
            store.pending(path).map(|pending| pending.is_some())
        });
        if let Err(error) = swept {
            self.store_failed(&error);
        }
    }

    fn slot_at(&self, address: SocketAddr) -> Option<PeerSlot> {
        self.config
            .peers
            .iter()
            .position(|peer| *peer == address)
            .and_then(PeerSlot::new)
    }
}
