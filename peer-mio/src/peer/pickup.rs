//! Picking up a local change: a dirty path is looked at, hashed if it differs, and given a version
//! (docs/architecture.md, "Picking up a change").

use super::Peer;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, Stat, is_absent};
use crate::jobs::Progress;
use crate::jobs::hash::{HashJob, Hashed};
use crate::store::{Fingerprint, Row, StoreError};
use crate::watch::dirty::{OPEN_PAUSE, RETRY_PAUSE, SETTLED_PAUSE};
use crate::watch::scan::{Scan, Symlinks, fingerprint};
use proto_core::content::{ContentId, cut};
use proto_core::index::entry::{Entry, Kind, MODE_MASK, Timestamp};
use proto_core::index::reconcile::{Found, local_change};
use proto_core::path;
use proto_core::time::Duration;
use std::io;
use std::ops::ControlFlow;

/// Where a recipe gathers while the content's name is not known yet.
const UNNAMED: ContentId = ContentId([0xff; 32]);
/// Bytes hashed in one slice: about two milliseconds.
const HASH_SLICE: usize = 4 * 1024 * 1024;
/// Children of a vanished directory that get their tombstones in one slice.
const BURY_SLICE: usize = 256;
/// A file whose ctime is this young may change again within the same tick of the file clock.
const RACY_NANOS: i128 = 20_000_000;

/// The file that is being hashed.
#[derive(Debug)]
pub struct Hashing<F> {
    path: Vec<u8>,
    before: Fingerprint,
    mode: u16,
    job: HashJob<F>,
    /// The first recipe block; further ones gather in the store under [`UNNAMED`].
    first_block: Vec<u8>,
    blocks: u32,
}

impl<F> Hashing<F> {
    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }
}

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
        let vanishes = match stat {
            None => live.is_some(),
            Some(stat) => live.is_some() && stat.kind == FileKind::Other,
        };
        if (vanishes || was_directory && !is_directory) && !self.may_delete(now, dirty) {
            return Ok(());
        }
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

    fn look_failed(&mut self, now: Now, dirty: &[u8], error: &io::Error) {
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

    fn look_at_symlink(
        &mut self,
        now: Now,
        dirty: &[u8],
        row: Option<&Row>,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        let at = At {
            place: Place::Share,
            path: dirty,
        };
        let print = fingerprint(stat, true);
        if row.is_some_and(|row| row.entry.kind == Kind::Symlink && row.local == Some(print)) {
            return Ok(());
        }
        match self.config.symlinks {
            Symlinks::Skip => Ok(()),
            Symlinks::Keep => {
                let target = match self.disk.read_link(at) {
                    Ok(target) => target,
                    Err(error) => {
                        self.look_failed(now, dirty, &error);
                        return Ok(());
                    }
                };
                let content = ContentId(*blake3::hash(&target).as_bytes());
                let state = Found {
                    kind: Kind::Symlink,
                    mode: 0,
                    size: 0,
                    mtime: Timestamp::default(),
                    content,
                };
                self.record(now, dirty, row, state, target, Some(print))
            }
            Symlinks::Follow => match self.disk.open(at, true).and_then(|file| file.stat()) {
                Ok(target) => self.look_at_file(now, dirty, row, &target, true),
                Err(error) => {
                    log::info!(
                        "{} is a link to nothing that can be shared ({error}): skipped",
                        path::Escaped(dirty)
                    );
                    Ok(())
                }
            },
        }
    }

    fn look_at_file(
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
                let job = HashJob::new(file, stat.size);
                let mode = stat.mode & MODE_MASK;
                self.hashing = Some(Hashing {
                    path: dirty.to_vec(),
                    before,
                    mode,
                    job,
                    first_block: Vec::new(),
                    blocks: 0,
                });
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

    fn hash_slice(&mut self, now: Now) -> Result<(), StoreError> {
        let Some(mut hashing) = self.hashing.take() else {
            return Ok(());
        };
        let store = &mut self.store;
        let (first, blocks) = (&mut hashing.first_block, &mut hashing.blocks);
        let progress = hashing.job.step(HASH_SLICE, &mut |number, block| {
            *blocks = number + 1;
            if number == 0 {
                first.clear();
                first.extend_from_slice(block);
                return Ok(());
            }
            store
                .put_recipe_block(UNNAMED, number, block)
                .map_err(io::Error::other)
        });
        match progress {
            Ok(Progress::More) => {
                self.hashing = Some(hashing);
                Ok(())
            }
            Ok(Progress::Done(hashed)) => self.hashed(now, &hashing, hashed),
            Err(error) => {
                self.store.remove_recipe(UNNAMED)?;
                self.look_failed(now, &hashing.path, &error);
                Ok(())
            }
        }
    }

    fn hashed(
        &mut self,
        now: Now,
        hashing: &Hashing<D::File>,
        hashed: Hashed,
    ) -> Result<(), StoreError> {
        let Hashed { content, size, .. } = hashed;
        let at = At {
            place: Place::Share,
            path: &hashing.path,
        };
        let after = if hashing.before.link {
            self.disk.open(at, true).and_then(|file| file.stat())
        } else {
            self.disk.stat(at)
        };
        let unchanged = after.is_ok_and(|stat| {
            stat.kind == FileKind::File && fingerprint(&stat, hashing.before.link) == hashing.before
        });
        if !unchanged || size != hashing.before.size {
            // Somebody writes: when it is quiet, again.
            self.store.remove_recipe(UNNAMED)?;
            self.dirty
                .mark_if_clean(now.mono, &hashing.path, OPEN_PAUSE);
            return Ok(());
        }
        self.name_recipe(hashing, content)?;
        let row = self.store.get(&hashing.path)?;
        let state = Found {
            kind: Kind::File,
            mode: hashing.mode,
            size,
            mtime: hashing.before.mtime,
            content,
        };
        self.record(
            now,
            &hashing.path,
            row.as_ref(),
            state,
            Vec::new(),
            Some(hashing.before),
        )
    }

    /// The recipe that gathered gets its content's name. A file of one small chunk needs none.
    fn name_recipe(
        &mut self,
        hashing: &Hashing<D::File>,
        content: ContentId,
    ) -> Result<(), StoreError> {
        if hashing.before.size > u64::from(cut::SMALLEST_CHUNK) {
            self.store
                .put_recipe_block(content, 0, &hashing.first_block)?;
            for number in 1..hashing.blocks {
                if let Some(block) = self.store.recipe_block(UNNAMED, number)? {
                    self.store.put_recipe_block(content, number, &block)?;
                }
            }
        }
        if hashing.blocks > 1 {
            self.store.remove_recipe(UNNAMED)?;
        }
        Ok(())
    }

    /// What is at a path now becomes its entry, with a version of ours; unless it is just what a
    /// pending entry says (a crash between rename and commit, or a copy by hand): then that has come.
    fn record(
        &mut self,
        now: Now,
        changed: &[u8],
        row: Option<&Row>,
        state: Found,
        target: Vec<u8>,
        local: Option<Fingerprint>,
    ) -> Result<(), StoreError> {
        if let Some(row) = row.filter(|row| says(&row.entry, &state)) {
            // Only the fingerprint is new: nothing that others need to know.
            if row.local != local
                && let Some(local) = local
            {
                self.store.set_fingerprint(changed, local)?;
                self.changes.note();
            }
            return Ok(());
        }
        self.served.close(changed);
        self.served.changed.remove(changed);
        if let Some(pending) = self
            .store
            .pending(changed)?
            .filter(|pending| says(&pending.entry, &state))
        {
            self.store.put(
                changed,
                Row {
                    entry: pending.entry,
                    target,
                    local,
                },
            )?;
            self.store.remove_pending(changed)?;
            self.changes.note();
            return Ok(());
        }
        if state.kind != Kind::Tombstone && !self.parent_is_known(now, changed)? {
            return Ok(());
        }
        let sequence = self.store.next_sequence();
        let entry = local_change(
            row.map(|row| &row.entry),
            self.store.index_id(),
            sequence,
            state,
        );
        log::debug!(
            "changed here: {} ({:?}, {} bytes) as {sequence}",
            path::Escaped(changed),
            entry.kind,
            entry.size
        );
        self.store.put(
            changed,
            Row {
                entry,
                target,
                local,
            },
        )?;
        self.changes.note();
        // What was decided about this path no longer holds.
        self.plan.restart();
        Ok(())
    }

    /// An index is closed under parents: a new path whose parent has no entry waits for the parent.
    fn parent_is_known(&mut self, now: Now, changed: &[u8]) -> Result<bool, StoreError> {
        let Some(parent) = path::parent(changed) else {
            return Ok(true);
        };
        if self
            .store
            .get(parent)?
            .is_some_and(|row| row.entry.kind == Kind::Directory)
        {
            return Ok(true);
        }
        self.dirty.mark_if_clean(now.mono, parent, SETTLED_PAUSE);
        self.dirty
            .mark_if_clean(now.mono, changed, SETTLED_PAUSE * 2);
        Ok(false)
    }

    fn record_deletion(&mut self, now: Now, gone: &[u8], row: &Row) -> Result<(), StoreError> {
        self.record(now, gone, Some(row), Found::NOTHING, Vec::new(), None)
    }
}

/// Whether an entry already says what is there.
fn says(entry: &Entry, state: &Found) -> bool {
    entry.kind == state.kind
        && entry.mode == state.mode
        && entry.size == state.size
        && entry.mtime == state.mtime
        && entry.content == state.content
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
