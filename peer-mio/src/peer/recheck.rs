//! What a power cut may have taken: the kernel writes a file to the disk some time after its user did.
//! Until then the index may know a content that the disk does not hold, under the same size and times.
//! So the files that were indexed shortly before the last end are hashed again at the start.

use super::Peer;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::{Durability, Row, Store, StoreError};
use proto_core::index::entry::{Kind, Sequence};
use proto_core::index::reconcile::Found;
use proto_core::time::{Duration, Instant};

/// Name of the stored sequence up to which the disk holds what the index says.
const FLUSHED: &str = "flushed";
/// The kernel has written what is older than this (vm.dirty_expire_centisecs is 30 s, and 5 s between
/// two looks), with a margin.
const FLUSHED_AFTER: Duration = Duration::from_secs(120);

/// Which entries are hashed again, and which are about to be flushed.
#[derive(Debug)]
pub struct Recheck {
    /// Entries of these sequences are to be hashed again.
    after: Sequence,
    through: Sequence,
    /// What was committed by this moment is flushed a while later.
    flushing: (Sequence, Instant),
    flushed: Sequence,
}

impl Recheck {
    /// What is to be hashed again after a start.
    pub(super) fn load(store: &Store, now: Instant) -> Result<Self, StoreError> {
        let bytes = store.meta(FLUSHED)?.and_then(|bytes| bytes.try_into().ok());
        let flushed = bytes.map_or(0, u64::from_be_bytes);
        let through = store.sequence();
        Ok(Self {
            after: flushed,
            through,
            flushing: (through, now),
            flushed,
        })
    }

    /// Whether a row's file is to be hashed though it looks unchanged.
    #[must_use]
    pub(super) fn doubts(&self, row: &Row) -> bool {
        row.entry.kind == Kind::File
            && (row.local.is_none() || self.is_before_end(row.entry.sequence))
    }

    /// A row that is about to get a new sequence stays in doubt: it loses its fingerprint.
    #[must_use]
    pub(super) fn keep_doubt(&self, row: Row) -> Row {
        let local = row.local.filter(|_| !self.doubts(&row));
        Row { local, ..row }
    }

    /// What hashing found is not what the index knows, under the same time of modification: that was no
    /// user, but a power cut (docs/architecture.md, section 3).
    #[must_use]
    pub(super) fn is_damage(&self, row: &Row, found: &Found) -> bool {
        self.doubts(row)
            && found.kind == Kind::File
            && found.mtime == row.entry.mtime
            && found.content != row.entry.content
    }

    fn is_before_end(&self, sequence: Sequence) -> bool {
        sequence > self.after && sequence <= self.through
    }

    /// All that was doubted has been hashed.
    pub fn done(&mut self) {
        self.after = self.through;
    }

    /// When there is something to note.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        (self.flushing.0 > self.flushed).then(|| self.flushing.1 + FLUSHED_AFTER)
    }
}

impl<D: Disk> Peer<D> {
    /// Notes how far the disk holds what the index says.
    pub(super) fn note_flushed(&mut self, now: Now) {
        if self.is_scanned() && self.dirty.is_empty() && self.hashing.is_none() {
            self.recheck.done();
        }
        let (sequence, since) = self.recheck.flushing;
        if now.mono.saturating_since(since) < FLUSHED_AFTER {
            return;
        }
        if sequence > self.recheck.flushed && !self.recheck.is_before_end(sequence) {
            let noted = self
                .store
                .set_meta(FLUSHED, &sequence.to_be_bytes())
                .and_then(|()| {
                    if self.changes.any() {
                        Ok(())
                    } else {
                        self.store.commit(Durability::Eventual)
                    }
                });
            match noted {
                Ok(()) => self.recheck.flushed = sequence,
                Err(error) => self.store_failed(&error),
            }
        }
        self.recheck.flushing = (self.committed, now.mono);
    }
}
