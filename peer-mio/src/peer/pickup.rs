//! Picking up a local change: a dirty path is looked at, hashed if it differs, and given a version
//! (docs/architecture.md, "Picking up a change").

use super::Peer;
use crate::clock::Now;
use crate::disk::{At, Disk, FileKind, Place, Stat, is_absent};
use crate::store::{Row, StoreError};
use crate::watch::dirty::{RETRY_PAUSE, SETTLED_PAUSE};
use crate::watch::scan::{Scan, fingerprint};
use proto_core::content::ContentId;
use proto_core::index::entry::{Kind, MODE_MASK, Timestamp};
use proto_core::index::reconcile::Found;
use proto_core::path;
use proto_core::time::Duration;
use std::io;
use std::ops::ControlFlow;

/// Children of a vanished directory that get their tombstones in one slice.
const BURY_SLICE: usize = 256;
/// A file whose ctime is this young may change again within the same tick of the file clock.
const RACY_NANOS: i128 = 20_000_000;

impl<D: Disk> Peer<D> {
    /// Looks at one dirty path or hashes one slice. True if there is more to do now.
    pub(super) fn pick_up(&mut self, now: Now) -> bool {
        if self.hashing.is_some() {
            if let Err(error) = self.hash_slice(now) {
                self.store_failed(&error);
            }
            return true;
        }
        let Some(dirty) = self.dirty.take_due(now.mono) else {
            return false;
        };
        if let Err(error) = self.disk.check_share() {
            // A vanished share is no mass deletion.
            self.errors
                .set("share", format!("share/ cannot be used: {error}"));
            self.dirty.mark(now.mono, &dirty, RETRY_PAUSE);
            return false;
        }
        self.errors.clear("share");
        if path::check(&dirty).is_err() {
            return true;
        }
        if let Err(error) = self.look(now, &dirty) {
            self.store_failed(&error);
        }
        true
    }

    fn look(&mut self, now: Now, dirty: &[u8]) -> Result<(), StoreError> {
        let row = self.store.get(dirty)?;
        let live = row.as_ref().filter(|row| row.entry.kind != Kind::Tombstone);
        let at = At {
            place: Place::Share,
            path: dirty,
        };
        let stat = match self.disk.stat(at) {
            Ok(stat) => Some(stat),
            Err(error) if is_absent(&error) => None,
            Err(error) => {
                self.look_failed(now, dirty, &error);
                return Ok(());
            }
        };
        self.errors.clear_path(dirty);
        let was_directory = live.is_some_and(|row| row.entry.kind == Kind::Directory);
        let is_directory = stat.is_some_and(|stat| stat.kind == FileKind::Directory);
        if was_directory && !is_directory && !self.bury_below(now, dirty)? {
            return Ok(());
        }
        let Some(stat) = stat else {
            return match live {
                Some(row) => self.record_deletion(now, dirty, row),
                None => Ok(()),
            };
        };
        match stat.kind {
            FileKind::Directory => self.look_at_directory(now, dirty, row.as_ref(), &stat),
            FileKind::File => self.look_at_file(now, dirty, row.as_ref(), &stat, false),
            FileKind::Symlink => self.look_at_symlink(now, dirty, row.as_ref(), &stat),
            FileKind::Other => {
                log::debug!(
                    "{} is a socket, fifo or device: skipped",
                    path::Escaped(dirty)
                );
                match live {
                    Some(row) => self.record_deletion(now, dirty, row),
                    None => Ok(()),
                }
            }
        }
    }

    /// A directory is gone, and with it all that was in it: its children get their tombstones before
    /// it changes itself, so that the journal never tells of a live path in something that is no
    /// directory. False if there are more than one slice can do.
    fn bury_below(&mut self, now: Now, directory: &[u8]) -> Result<bool, StoreError> {
        let mut gone = Vec::new();
        self.store.walk(Some(directory), &mut |path, row| {
            if gone.len() > BURY_SLICE || !path::is_below(path, directory) {
                return ControlFlow::Break(());
            }
            if row.entry.kind != Kind::Tombstone {
                gone.push((path.to_vec(), row.clone()));
            }
            ControlFlow::Continue(())
        })?;
        let all = gone.len() <= BURY_SLICE;
        // Deepest first: what is in a directory goes before it.
        for (path, row) in gone.into_iter().rev() {
            self.record_deletion(now, &path, &row)?;
        }
        if !all {
            self.dirty.mark(now.mono, directory, Duration::ZERO);
        }
        Ok(all)
    }

    /// A path cannot be read: said, and tried again.
    pub(super) fn look_failed(&mut self, now: Now, dirty: &[u8], error: &io::Error) {
        self.errors.set_path(
            dirty,
            format!("{} cannot be read: {error}", path::Escaped(dirty)),
        );
        self.dirty.mark(now.mono, dirty, RETRY_PAUSE);
    }

    fn look_at_directory(
        &mut self,
        now: Now,
        dirty: &[u8],
        row: Option<&Row>,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        let mode = stat.mode & MODE_MASK;
        if row.is_some_and(|row| row.entry.kind == Kind::Directory && row.entry.mode == mode) {
            return Ok(());
        }
        let known = row.is_some_and(|row| row.entry.kind == Kind::Directory);
        let state = Found {
            kind: Kind::Directory,
            mode,
            size: 0,
            mtime: Timestamp::default(),
            content: ContentId::default(),
        };
        self.record(now, dirty, row, state, Vec::new(), None)?;
        if !known {
            // What came with it (moved in, or made before the watch was set).
            self.scans.add(Scan::new(dirty));
        }
        Ok(())
    }

    pub(super) fn look_at_file(
        &mut self,
        now: Now,
        dirty: &[u8],
        row: Option<&Row>,
        stat: &Stat,
        link: bool,
    ) -> Result<(), StoreError> {
        let before = fingerprint(stat, link);
        let doubted = row.is_some_and(|row| self.recheck.doubts(row.entry.sequence));
        if !doubted && row.is_some_and(|row| row.local == Some(before)) {
            return Ok(());
        }
        if is_racy(now, stat) {
            self.dirty.mark(now.mono, dirty, SETTLED_PAUSE);
            return Ok(());
        }
        match self.disk.open(
            At {
                place: Place::Share,
                path: dirty,
            },
            link,
        ) {
            Ok(file) => {
                self.begin_hash(dirty, before, stat.mode & MODE_MASK, file);
                self.hash_slice(now)
            }
            Err(error) if is_absent(&error) => {
                self.dirty.mark(now.mono, dirty, SETTLED_PAUSE);
                Ok(())
            }
            Err(error) => {
                self.look_failed(now, dirty, &error);
                Ok(())
            }
        }
    }
}

/// Whether a later write could leave mtime and ctime as they are, because the file clock has not
/// ticked since the last change. A ctime in the future (the clock was set back) is not waited for.
fn is_racy(now: Now, stat: &Stat) -> bool {
    let age = nanos(now.wall) - nanos(stat.ctime);
    (0..RACY_NANOS).contains(&age)
}

fn nanos(time: Timestamp) -> i128 {
    i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec)
}
