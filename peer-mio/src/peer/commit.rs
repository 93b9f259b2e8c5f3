//! When local changes become durable, and what happens if they cannot.

use super::Peer;
use super::hashing::Lane;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::{Durability, StoreError};
use proto_core::index::entry::Sequence;
use proto_core::time::{Duration, Instant};

/// Local changes since the last commit.
#[derive(Debug, Default)]
pub(super) struct Changes {
    count: usize,
    /// Those of them that only say what has landed.
    landed: usize,
    /// Bytes that were hashed for them.
    hashed: u64,
    /// The index knows files anew that are as they were: no flush is needed, as after a crash they are hashed again.
    fingerprints: bool,
    /// Some were taken back: until the next commit it is not known whether the index can be written again.
    taken_back: bool,
    /// When the first of them was seen to wait.
    since: Option<Instant>,
    /// How often in a row so much was hashed that it was committed for that.
    full: u32,
    /// No commit before that, unless many have gathered.
    not_before: Instant,
}

impl Changes {
    pub(super) fn note(&mut self) {
        self.count += 1;
    }

    /// All but the first `before` were noted for what landed: if more lands, nothing waits for their commit.
    pub(super) fn note_landed(&mut self, before: usize) {
        self.landed += self.count.saturating_sub(before);
    }

    /// Whether what has landed, and is flushed, had better be committed now than with a later group: each commit waits for the
    /// disk three times.
    pub(super) fn is_commit_worth(&self, now: Instant) -> bool {
        let long = self
            .since
            .is_some_and(|since| now >= since + LANDED_PAUSE / 2);
        self.landed > 0 && (long || self.count >= COMMIT_LANDED / 2 || !self.are_landed())
    }

    pub(super) fn are_landed(&self) -> bool {
        self.count > 0 && self.landed >= self.count
    }

    /// Only the fingerprint of a file is new.
    pub(super) fn note_fingerprint(&mut self) {
        self.fingerprints = true;
    }

    /// A file of so many bytes was hashed for the last one.
    pub(super) fn hashed(&mut self, bytes: u64) {
        self.hashed = self.hashed.saturating_add(bytes);
    }

    /// Many have gathered, or it took a while to hash them: the others could fetch them meanwhile.
    fn is_full(&self) -> bool {
        let hashed = COMMIT_HASHED << self.full.min(COMMIT_DOUBLINGS);
        let most = if self.are_landed() {
            COMMIT_LANDED
        } else {
            COMMIT_CHANGES
        };
        self.count >= most || self.count > 0 && self.hashed >= hashed
    }

    pub(super) fn any(&self) -> bool {
        self.count > 0 || self.fingerprints || self.taken_back
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes that were hashed for them.
    pub(super) fn hashed_bytes(&self) -> u64 {
        self.hashed
    }

    /// When they are to be looked at again, if any wait; `scanning`: a scan may find more; `landing`: more will land.
    pub(super) fn due(&self, scanning: bool, landing: bool) -> Option<Instant> {
        let pause = match (self.are_landed(), scanning) {
            (true, _) if landing => LANDED_PAUSE,
            (false, true) => SCAN_PAUSE,
            (_, _) => Duration::ZERO,
        };
        self.since.map(|since| self.not_before.max(since + pause))
    }
}

/// Changes committed together at most.
const COMMIT_CHANGES: usize = 256;
/// The same where all of them are what landed while more is under way ...
const COMMIT_LANDED: usize = 1024;
/// ... and how long these wait for more.
const LANDED_PAUSE: Duration = Duration::from_millis(250);
/// Bytes hashed for them at most, but for the last: some 20 ms, so that the others can begin to fetch ...
const COMMIT_HASHED: u64 = 16 * 1024 * 1024;
/// ... and each time twice as many, up to 128 MiB, as long as more is hashed: by then they have enough to fetch, and a
/// commit waits for a disk that is busy.
const COMMIT_DOUBLINGS: u32 = 3;
/// Between two commits: each waits for the disk three times, some milliseconds.
const COMMIT_PAUSE: Duration = Duration::from_millis(10);
/// Changes wait at most this long for what a scan finds besides.
const SCAN_PAUSE: Duration = Duration::from_millis(50);
/// Pause after the store failed (a full disk, mostly).
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Failures in a row after which the index is opened anew, from the start.
pub(super) const STORE_TRIES: u32 = 30;

impl<D: Disk> Peer<D> {
    /// Local changes become durable, and so may be told, when no more of them are coming or many have gathered.
    pub(super) fn commit_if_quiet(&mut self, now: Now) {
        if !self.changes.any() || self.is_landing() || self.is_commit_at_end_of_sync() {
            return;
        }
        self.changes.since.get_or_insert(now.mono);
        let quiet = !self.hashings.has(Lane::Small)
            && self.dirty.next_due().is_none_or(|due| due > now.mono);
        let due = self.changes_due();
        let may = quiet || self.changes.are_landed();
        if self.changes.is_full() || may && due.is_some_and(|due| now.mono >= due) {
            if self.changes.count > 0 || self.changes.taken_back {
                self.commit_changes();
            } else {
                self.commit_fingerprints();
            }
        }
    }

    /// A commit behind a flush of all would wait for all; its end commits what has landed.
    fn is_commit_at_end_of_sync(&self) -> bool {
        self.landing.syncing.is_some() && self.changes.are_landed()
    }

    /// [`Changes::due`].
    pub(super) fn changes_due(&self) -> Option<Instant> {
        if self.is_commit_at_end_of_sync() {
            return None;
        }
        self.changes
            .due(!self.scans.is_idle(), self.is_more_coming())
    }

    fn commit_fingerprints(&mut self) {
        match self.store.commit(Durability::Eventual) {
            Ok(()) => {
                self.changes.fingerprints = false;
                self.changes.since = None;
            }
            Err(error) => self.store_failed(&error),
        }
    }

    /// Commits durably: whoever is connected may read all of our journal then.
    fn commit_store(&mut self) -> Result<(), StoreError> {
        let newest = self.store.sequence();
        let may_be_read = self.renewal.is_none() && self.engine.is_any_connected();
        let told = if may_be_read { newest } else { self.told };
        if told != self.told {
            self.store.set_told(told)?;
        }
        self.store.commit(Durability::Durable)?;
        self.told = told;
        Ok(())
    }

    /// Who connects may read all that was committed while nobody was. If something else changes, that is committed first.
    pub(super) fn let_read(&mut self) {
        if self.changes.any() || self.told >= self.committed || !self.engine.is_any_connected() {
            return;
        }
        if let Err(error) = self.commit_store() {
            self.store_failed(&error);
        }
    }

    /// How far others may read our journal now.
    pub(super) fn readable(&self) -> Sequence {
        self.committed.min(self.told)
    }

    pub(super) fn commit_changes(&mut self) -> bool {
        if let Err(error) = self.flush_landed() {
            self.landed_not_flushed(&error);
            return false;
        }
        let committed = self.note_agreed().and_then(|()| self.commit_store());
        match committed {
            Ok(()) => {
                let full = self.changes.is_full();
                self.changes = Changes {
                    full: if full { self.changes.full + 1 } else { 0 },
                    not_before: self.now.mono + COMMIT_PAUSE,
                    ..Changes::default()
                };
                self.committed = self.store.sequence();
                self.errors.clear("store");
                self.store_failures = 0;
                self.report_landed();
                true
            }
            Err(error) => {
                self.store_failed(&error);
                false
            }
        }
    }

    /// Says what the index says now.
    fn report_landed(&mut self) {
        let files = std::mem::take(&mut self.landing.uncommitted.files);
        for (path, size, fetched, time) in files {
            self.report.landed(&path, size, fetched, time);
        }
    }

    /// The index could not be written.
    pub(super) fn store_failed(&mut self, error: &StoreError) {
        self.errors.set(
            "store",
            format!("the index cannot be written: {error}; trying again"),
        );
        self.store_failures = match error {
            StoreError::Damaged(_) => STORE_TRIES,
            // A full disk is waited for.
            StoreError::Disk(_) => self.store_failures,
            StoreError::Failed(_) => self.store_failures.saturating_add(1),
        };
        self.take_changes_back();
    }

    /// What was not committed is taken back. A scan finds it again, after a pause.
    pub(super) fn take_changes_back(&mut self) {
        self.store.abandon();
        // The index does not say so any more; who finds them tells, and their names are flushed before that is committed.
        self.landing.uncommitted.files.clear();
        // With it went the parts of recipes that were gathering there.
        self.stop_hashing(self.now);
        self.end_transfers();
        // If it cannot be read now, neither is anything else that follows.
        let _ = self.recheck.taken_back(&self.store);
        self.changes = Changes {
            taken_back: true,
            ..Changes::default()
        };
        self.scans.add_full();
        self.plan.restart();
        self.store_retry = self.now.mono + STORE_PAUSE;
        self.reload_cursors();
    }
}
