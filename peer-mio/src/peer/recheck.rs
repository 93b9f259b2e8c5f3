//! What a power cut may have taken: the kernel writes a file to the disk some time after its user did.
//! Until then the index may know a content that the disk does not hold, under the same size and times.
//! So the files that were indexed shortly before the last end are hashed again after the start
//! (docs/architecture.md, section 3).

use super::Peer;
use super::landing::Flushing;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place, is_absent};
use crate::store::{Durability, Fingerprint, Row, Run, Store, StoreError};
use proto_core::index::entry::{Kind, Sequence};
use proto_core::index::reconcile::Found;
use proto_core::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;

/// Name of the stored sequence up to which the disk holds what the index says.
const FLUSHED: &str = "flushed";
/// The kernel has written what is older than this (vm.dirty_expire_centisecs is 30 s, and 5 s between
/// two looks), with a margin.
const FLUSHED_AFTER: Duration = Duration::from_secs(120);
/// Name of the stored [`Disk::powered`] and its run.
const POWERED: &str = "powered";
/// Rows looked at in one slice.
const ROWS: usize = 256;

/// Which files are hashed again, and which are about to be flushed.
#[derive(Debug)]
pub struct Recheck {
    run: Run,
    /// Up to here the disk held at the start what the index says.
    after: Sequence,
    /// The same of now.
    flushed: Sequence,
    /// What was committed by this moment is flushed a while later.
    flushing: (Sequence, Instant),
    /// Something of an earlier run was still in doubt since the walk up to there began.
    unsettled: bool,
}

impl Recheck {
    /// What is to be hashed again after a start; `run` is not that of any start before.
    pub(super) fn load(store: &Store, run: Run, now: Instant) -> Result<Self, StoreError> {
        let flushed = stored(store)?;
        Ok(Self {
            run,
            after: flushed,
            flushed,
            flushing: (store.sequence(), now),
            unsettled: false,
        })
    }

    /// This run.
    #[must_use]
    pub(super) fn run(&self) -> Run {
        self.run
    }

    /// Whether a row's file is to be hashed though it looks unchanged. It is not any more once it was.
    #[must_use]
    pub(super) fn doubts(&self, row: &Row) -> bool {
        row.entry.kind == Kind::File && row.run != self.run && row.entry.sequence > self.after
    }

    /// A row that gets a new sequence though nobody looked at its file: in doubt it stays so.
    #[must_use]
    pub(super) fn kept(&self, row: Row) -> Row {
        let run = if self.doubts(&row) { row.run } else { self.run };
        Row { run, ..row }
    }

    /// What hashing found is not what the index knows, under the same time of modification or with no later
    /// change than what the index knows (some file systems go back by a few seconds): that was no user, but a
    /// power cut.
    #[must_use]
    pub(super) fn is_damage(&self, row: &Row, found: &Found, local: &Fingerprint) -> bool {
        let no_later = row.local.is_some_and(|known| local.ctime <= known.ctime);
        self.doubts(row)
            && found.kind == Kind::File
            && (found.mtime == row.entry.mtime || no_later)
            && found.content != row.entry.content
    }

    /// A file with the bytes that the index knows was written anew, and the row is taken to be on the disk.
    #[must_use]
    pub(super) fn is_rewritten(&self, row: &Row, local: &Fingerprint) -> bool {
        row.entry.kind == Kind::File
            && row.entry.sequence <= self.flushed
            && row
                .local
                .is_none_or(|known| (known.inode, known.ctime) != (local.inode, local.ctime))
    }

    /// What was not committed was taken back.
    pub(super) fn taken_back(&mut self, store: &Store) -> Result<(), StoreError> {
        self.flushed = stored(store)?;
        Ok(())
    }

    /// When there is something to note.
    #[must_use]
    pub(super) fn due(&self) -> Option<Instant> {
        (self.flushing.0 > self.flushed).then(|| self.flushing.1 + FLUSHED_AFTER)
    }
}

/// The run that rows name from now on: that of the start before, if the power was not off since; else `fresh`, that of no start
/// before.
pub(super) fn this_run<D: Disk>(
    disk: &D,
    store: &mut Store,
    fresh: Run,
) -> Result<Run, StoreError> {
    let powered = disk.powered().unwrap_or_default();
    let before = store.meta(POWERED)?.unwrap_or_default();
    if let Some(run) = before.strip_prefix(&powered[..])
        && let (false, Ok(run)) = (powered.is_empty(), run.try_into())
    {
        return Ok(Run::from_be_bytes(run));
    }
    store.set_meta(POWERED, &[&powered[..], &fresh.to_be_bytes()].concat())?;
    Ok(fresh)
}

fn stored(store: &Store) -> Result<Sequence, StoreError> {
    let bytes = store.meta(FLUSHED)?.and_then(|bytes| bytes.try_into().ok());
    Ok(bytes.map_or(0, u64::from_be_bytes))
}

impl<D: Disk> Peer<D> {
    /// Notes how far the disk holds what the index says, a slice at a time.
    pub(super) fn note_flushed(&mut self, now: Now) {
        if self.recheck.due().is_none_or(|due| now.mono < due) {
            if self.recheck.flushing.0 <= self.recheck.flushed {
                self.recheck.flushing = (self.committed, now.mono);
            }
            return;
        }
        if let Err(error) = self.note_flushed_slice() {
            // Not at once again.
            self.recheck.flushing.1 = now.mono;
            self.store_failed(&error);
        }
    }

    /// Flushes files and their names that landed a while ago without it.
    fn flush_old(&self, paths: &[Vec<u8>]) -> io::Result<()> {
        let share = |path| At {
            place: Place::Share,
            path,
        };
        let mut directories = BTreeSet::new();
        for path in paths {
            match self.disk.open(share(path), false) {
                Ok(file) => file.sync_data()?,
                Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::InvalidInput => {}
                // Its mode keeps us out.
                Err(_) => return self.disk.sync_all(),
            }
            directories.insert(proto_core::path::parent(path).unwrap_or_default());
        }
        for directory in directories {
            match self.disk.sync_dir(share(directory)) {
                Err(error) if is_absent(&error) => {}
                synced => synced?,
            }
        }
        Ok(())
    }

    fn note_flushed_slice(&mut self) -> Result<(), StoreError> {
        let through = self.recheck.flushing.0;
        let (mut flushed, mut seen) = (through, 0);
        let (mut doubted, mut unflushed) = (Vec::new(), Vec::new());
        let never = self.config.flushing == Flushing::Never;
        self.store
            .journal(self.recheck.flushed, &mut |sequence, path, row| {
                if sequence > through || seen == ROWS {
                    return ControlFlow::Break(());
                }
                seen += 1;
                flushed = if seen == ROWS { sequence } else { through };
                if self.recheck.doubts(row) {
                    doubted.push(path.to_vec());
                } else if never && row.entry.kind == Kind::File {
                    unflushed.push(path.to_vec());
                }
                ControlFlow::Continue(())
            })?;
        // The kernel has begun to write what is as old, but a slow disk may be behind by minutes.
        self.flush_old(&unflushed).map_err(StoreError::Disk)?;
        self.recheck.unsettled |= !doubted.is_empty();
        for path in doubted {
            // It could not be hashed yet: it moves on in the journal, and stays in doubt.
            if let Some(row) = self.store.get(&path)? {
                self.store.put(&path, row)?;
                self.changes.note();
            }
        }
        self.store.set_meta(FLUSHED, &flushed.to_be_bytes())?;
        self.recheck.flushed = flushed;
        if flushed == through && !std::mem::take(&mut self.recheck.unsettled) {
            self.all_settled()?;
        }
        if !self.changes.any() {
            self.store.commit(Durability::Eventual)?;
        }
        Ok(())
    }
}
