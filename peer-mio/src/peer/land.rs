//! Landing: what is pending gets into `share/`, a group at a time (docs/architecture.md, "Landing").

use super::Peer;
use super::transfer::Transfer;
use super::trash::{move_to_trash, way};
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, RenameMode, Stat, is_absent};
use crate::store::{Durability, Fingerprint, Pending, Row, StoreError};
use crate::watch::dirty::SETTLED_PAUSE;
use crate::watch::scan::{fingerprint, join};
use proto_core::content::ContentId;
use proto_core::index::conflict::conflict_name;
use proto_core::index::entry::{Entry, Kind};
use proto_core::index::reconcile::{Decision, Found, local_change, reconcile};
use proto_core::path::{self, Escaped};
use proto_core::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::io;

/// Files in a group.
const GROUP: usize = 48;
/// Up to so many files are flushed one by one, more by one flush of the file system.
const FLUSH_EACH: usize = 2;
/// A file of more bytes is flushed by itself, so that no flush of all takes long.
const LARGE: u64 = 1024 * 1024;
/// A group waits at most this long for more files.
const GROUP_PAUSE: Duration = Duration::from_millis(20);

/// Complete contents that wait to be landed together.
#[derive(Debug)]
pub struct Landing<F> {
    ready: Vec<Ready<F>>,
    /// How many of them have their mode and time.
    prepared: usize,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Ready<F> {
    path: Vec<u8>,
    /// Its name in `download/`.
    name: Vec<u8>,
    content: ContentId,
    size: u64,
    fetched: u64,
    started: Instant,
    file: F,
}

impl<F> Default for Landing<F> {
    fn default() -> Self {
        Self {
            ready: Vec::new(),
            prepared: 0,
            since: Instant::ZERO,
        }
    }
}

impl<F> Landing<F> {
    /// Adds a complete content.
    pub fn add(&mut self, now: Now, transfer: Transfer<F>) {
        if self.ready.is_empty() {
            self.since = now.mono;
        }
        let (path, name, content, size) = (
            transfer.path.clone(),
            transfer.name.clone(),
            transfer.content,
            transfer.size,
        );
        let (fetched, started) = (transfer.fetched, transfer.started);
        self.ready.push(Ready {
            path,
            name,
            content,
            size,
            fetched,
            started,
            file: transfer.into_file(),
        });
    }

    /// Whether this content waits here.
    #[must_use]
    pub fn has(&self, content: ContentId) -> bool {
        self.ready.iter().any(|ready| ready.content == content)
    }

    /// Whether a content for this path waits here.
    #[must_use]
    pub fn has_path(&self, path: &[u8]) -> bool {
        self.ready.iter().any(|ready| ready.path == path)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// When the group is landed even if it is small.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        (!self.ready.is_empty()).then(|| self.since + GROUP_PAUSE)
    }
}

/// Why something did not land.
#[derive(Debug)]
pub(super) enum NotLanded {
    /// The path is not any more what the decision was based on; it is dirty now.
    Changed,
    /// Something else has to land or be deleted first.
    Blocked,
    /// A directory has live children that stay.
    Occupied,
    /// The disk refused.
    Disk(io::Error),
    /// The index failed.
    Store(StoreError),
}

impl From<io::Error> for NotLanded {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<StoreError> for NotLanded {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Directories whose names changed: flushed once for the whole group, the trash first, so that
/// nothing is gone from `share/` before it is safe there.
#[derive(Debug, Default)]
pub(super) struct Touched {
    trash: BTreeSet<Vec<u8>>,
    share: BTreeSet<Vec<u8>>,
}

impl Touched {
    /// Whether any name changed.
    pub fn any(&self) -> bool {
        !self.trash.is_empty() || !self.share.is_empty()
    }

    fn trashed(&mut self, target: &[u8]) {
        self.trash.extend(way(target).map(<[u8]>::to_vec));
    }

    fn name(&mut self, path: &[u8]) {
        self.share
            .insert(path::parent(path).unwrap_or_default().to_vec());
    }

    fn sync<D: Disk>(&self, disk: &D) -> io::Result<()> {
        for directory in &self.trash {
            disk.sync_dir(At {
                place: Place::Trash,
                path: directory,
            })?;
        }
        for directory in &self.share {
            match disk.sync_dir(At {
                place: Place::Share,
                path: directory,
            }) {
                Err(error) if !is_absent(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl<D: Disk> Peer<D> {
    /// Prepares one waiting file or lands the group. True if there is more to do now.
    pub(super) fn step_landing(&mut self, now: Now) -> bool {
        if self.landing.prepared < self.landing.ready.len() {
            self.prepare_next();
            return true;
        }
        if self.landing.is_empty() {
            return false;
        }
        let waits = self.landing.ready.len() < GROUP
            && !self.transfers.is_empty()
            && self.landing.due().is_some_and(|due| now.mono < due);
        if waits {
            return false;
        }
        if self.landing.ready.len() > FLUSH_EACH
            && let Err(error) = self.disk.sync_all() {
                self.errors
                    .set("flush", format!("the disk cannot be flushed: {error}"));
                self.landing = Landing::default();
                self.plan.retry_later();
                return true;
            }
        self.land_group(now);
        true
    }

    /// Sets mode and time of the next file, and flushes it if it is large: a group of small ones is
    /// flushed at once.
    fn prepare_next(&mut self) {
        let place = self.landing.prepared;
        let Some(ready) = self.landing.ready.get(place) else {
            return;
        };
        let entry = match self.store.pending(&ready.path) {
            Ok(pending) => pending.map(|pending| pending.entry),
            Err(error) => return self.store_failed(&error),
        };
        let alone = self.landing.ready.len() <= FLUSH_EACH || ready.size > LARGE;
        let prepared = entry.map_or(Ok(()), |entry| {
            ready.file.set_mode(entry.mode)?;
            ready.file.set_mtime(entry.mtime)?;
            if alone {
                ready.file.sync_data()
            } else {
                Ok(())
            }
        });
        if let Err(error) = prepared {
            let ready = self.landing.ready.remove(place);
            let sentence = format!("{} cannot be flushed: {error}", Escaped(&ready.path));
            self.errors.set_path(&ready.path, sentence);
            self.plan.retry_later();
        } else {
            self.landing.prepared += 1;
        }
    }

    fn land_group(&mut self, now: Now) {
        let group = std::mem::take(&mut self.landing);
        let mut touched = Touched::default();
        let mut landed = Vec::new();
        for ready in group.ready {
            let result = self.land_path(now, &ready.path, Some(&ready), &mut touched);
            if matches!(result, Ok(true)) {
                landed.push((
                    ready.path.clone(),
                    ready.size,
                    ready.fetched,
                    now.mono.saturating_since(ready.started),
                ));
            }
            self.landed(now, &ready.path, result.map(|_| ()));
        }
        self.plan.content_landed();
        if self.finish_landing(&touched) {
            for (path, size, fetched, time) in landed {
                self.report.landed(&path, size, fetched, time);
            }
        }
    }

    /// Flushes the directories, then commits: only now the index says that the files are there.
    pub(super) fn finish_landing(&mut self, touched: &Touched) -> bool {
        if let Err(error) = touched.sync(&self.disk) {
            self.errors
                .set("flush", format!("a directory cannot be flushed: {error}"));
            self.plan.retry_later();
        } else {
            self.errors.clear("flush");
        }
        self.commit_changes(Durability::Durable)
    }

    /// What follows from a try to land a path.
    pub(super) fn landed(&mut self, now: Now, path: &[u8], result: Result<(), NotLanded>) {
        match result {
            Ok(()) => self.errors.clear_path(path),
            Err(NotLanded::Changed) => {
                self.dirty.mark_if_clean(now.mono, path, SETTLED_PAUSE);
                self.plan.retry_later();
            }
            Err(NotLanded::Blocked | NotLanded::Occupied) => self.plan.retry_later(),
            Err(NotLanded::Disk(error)) => {
                self.errors
                    .set_path(path, format!("{} cannot be landed: {error}", Escaped(path)));
                self.plan.retry_later();
            }
            Err(NotLanded::Store(error)) => self.store_failed(&error),
        }
    }

    /// Lands what is pending at a path; `ready` is complete in `download/` if given. True if a
    /// file came in; `Ok(false)` also if nothing is left to do.
    pub(super) fn land_path(
        &mut self,
        now: Now,
        path: &[u8],
        ready: Option<&Ready<D::File>>,
        touched: &mut Touched,
    ) -> Result<bool, NotLanded> {
        let Some(pending) = self.store.pending(path)? else {
            return Ok(false);
        };
        let row = self.store.get(path)?;
        let (entry, keep) = match reconcile(row.as_ref().map(|row| &row.entry), &pending.entry) {
            Decision::Nothing => {
                self.store.remove_pending(path)?;
                self.changes.note();
                return Ok(false);
            }
            Decision::Keep(entry) => {
                if let Some(row) = row {
                    self.store.put(path, Row { entry, ..row })?;
                }
                self.store.remove_pending(path)?;
                self.changes.note();
                return Ok(false);
            }
            Decision::Merge(entry) | Decision::Take(entry) => (entry, false),
            Decision::ConflictTake(entry) => (entry, true),
        };
        self.parent_is_live(path)?;
        let row = row.filter(|row| row.entry.kind != Kind::Tombstone);
        self.still_as_indexed(now, path, row.as_ref())?;
        let row = row.as_ref();
        let landed = match entry.kind {
            Kind::Tombstone => self
                .land_deletion(now, path, row, entry, touched)
                .map(|()| false),
            Kind::Directory => self
                .land_directory(now, path, row, entry, keep, touched)
                .map(|()| false),
            Kind::Symlink => self
                .land_symlink(now, path, row, &pending, entry, keep, touched)
                .map(|()| false),
            Kind::File => match (
                row.filter(|row| has_content(row, &entry)),
                ready.filter(|ready| ready.content == entry.content),
            ) {
                (Some(row), _) => self.land_metadata(path, row, entry).map(|()| false),
                (None, Some(ready)) => self
                    .land_file(now, path, row, ready, entry, keep, touched)
                    .map(|()| true),
                // A newer version came while this one was fetched.
                (None, None) => Err(NotLanded::Blocked),
            },
        };
        match (landed, row) {
            (Err(NotLanded::Occupied), Some(row)) => {
                self.assert_directory(path, row, &pending).map(|()| false)
            }
            (landed, _) => landed,
        }
    }

    fn parent_is_live(&self, path: &[u8]) -> Result<(), NotLanded> {
        let Some(parent) = path::parent(path) else {
            return Ok(());
        };
        match self.store.get(parent)? {
            Some(row) if row.entry.kind == Kind::Directory => Ok(()),
            _ => Err(NotLanded::Blocked),
        }
    }

    /// The path must hold just what the index says: what is there may be a change that nobody has
    /// picked up yet.
    fn still_as_indexed(
        &mut self,
        now: Now,
        path: &[u8],
        row: Option<&Row>,
    ) -> Result<(), NotLanded> {
        if self.hashing_path() == Some(path) {
            return Err(NotLanded::Blocked);
        }
        let stat = match self.disk.stat(At {
            place: Place::Share,
            path,
        }) {
            Ok(stat) => Some(stat),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(error.into()),
        };
        let same = match (&stat, row) {
            (None, None) => true,
            (Some(stat), Some(row)) => match row.entry.kind {
                Kind::Directory => stat.kind == FileKind::Directory,
                _ => row
                    .local
                    .is_some_and(|local| self.matches(path, stat, &local)),
            },
            _ => false,
        };
        if same {
            return Ok(());
        }
        self.dirty.mark_if_clean(now.mono, path, SETTLED_PAUSE);
        Err(NotLanded::Changed)
    }

    fn matches(&self, path: &[u8], stat: &Stat, local: &Fingerprint) -> bool {
        match stat.kind {
            FileKind::File => fingerprint(stat, false) == *local,
            FileKind::Symlink if !local.link => false,
            // A kept link is known by itself, a followed one by what it leads to.
            FileKind::Symlink => {
                fingerprint(stat, true) == *local
                    || self
                        .disk
                        .open(
                            At {
                                place: Place::Share,
                                path,
                            },
                            true,
                        )
                        .and_then(|file| file.stat())
                        .is_ok_and(|target| fingerprint(&target, true) == *local)
            }
            _ => false,
        }
    }

    /// Only mode or time differ.
    fn land_metadata(&mut self, path: &[u8], row: &Row, entry: Entry) -> Result<(), NotLanded> {
        let at = At {
            place: Place::Share,
            path,
        };
        let mut local = row.local;
        if row.entry.mode != entry.mode || row.entry.mtime != entry.mtime {
            if row.entry.mode != entry.mode {
                self.disk.set_mode(at, entry.mode)?;
            }
            if row.entry.mtime != entry.mtime {
                self.disk.open(at, false)?.set_mtime(entry.mtime)?;
            }
            local = Some(fingerprint(&self.disk.stat(at)?, false));
        }
        self.adopt(
            path,
            Row {
                entry,
                target: Vec::new(),
                local,
            },
        )
    }

    fn land_file(
        &mut self,
        now: Now,
        path: &[u8],
        row: Option<&Row>,
        ready: &Ready<D::File>,
        entry: Entry,
        keep: bool,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let (part, file) = (&ready.name, &ready.file);
        let landing = land_name(part);
        let from = At {
            place: Place::Download,
            path: &landing,
        };
        let stat = file.stat()?;
        if stat.mode != entry.mode || stat.mtime != entry.mtime {
            // The version that is wanted changed after the flush, only in its mode or time.
            file.set_mode(entry.mode)?;
            file.set_mtime(entry.mtime)?;
            file.sync_data()?;
        }
        self.disk.rename(
            At {
                place: Place::Download,
                path: part,
            },
            from,
            RenameMode::Replace,
        )?;
        match self.put_in_place(now, from, path, row, keep, touched) {
            Ok(()) => {}
            Err(error) => {
                // Back, so that the next try finds it.
                let _ = self.disk.rename(
                    from,
                    At {
                        place: Place::Download,
                        path: part,
                    },
                    RenameMode::NoReplace,
                );
                return Err(error);
            }
        }
        let stat = self.disk.stat(At {
            place: Place::Share,
            path,
        })?;
        self.adopt(
            path,
            Row {
                entry,
                target: Vec::new(),
                local: Some(fingerprint(&stat, false)),
            },
        )
    }

    fn land_symlink(
        &mut self,
        now: Now,
        path: &[u8],
        row: Option<&Row>,
        pending: &Pending,
        entry: Entry,
        keep: bool,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let name = land_name(format!("{}.part", entry.content).as_bytes());
        let from = At {
            place: Place::Download,
            path: &name,
        };
        match self.disk.make_symlink(&pending.target, from) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        self.put_in_place(now, from, path, row, keep, touched)?;
        let stat = self.disk.stat(At {
            place: Place::Share,
            path,
        })?;
        self.adopt(
            path,
            Row {
                entry,
                target: pending.target.clone(),
                local: Some(fingerprint(&stat, true)),
            },
        )
    }

    /// Moves `from` to `path`; what was there goes to the trash or becomes the conflict copy.
    fn put_in_place(
        &mut self,
        now: Now,
        from: At<'_>,
        path: &[u8],
        row: Option<&Row>,
        keep: bool,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let to = At {
            place: Place::Share,
            path,
        };
        let Some(row) = row else {
            return self.put_new(from, to, touched);
        };
        if row.entry.kind == Kind::Directory {
            self.clear_directory(now, path)?;
            return self.put_new(from, to, touched);
        }
        match self.disk.rename(from, to, RenameMode::Exchange) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(NotLanded::Changed);
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.set_aside(now, to, path, row, keep, touched)?;
                return self.put_new(from, to, touched);
            }
            Err(error) => return Err(error.into()),
        }
        touched.name(path);
        if !self.is_what_was_indexed(from, row)? {
            // Written between the last look and the swap: it goes back, and is picked up.
            self.disk.rename(from, to, RenameMode::Exchange)?;
            return Err(NotLanded::Changed);
        }
        self.set_aside(now, from, path, row, keep, touched)
    }

    fn put_new(
        &mut self,
        from: At<'_>,
        to: At<'_>,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        match self.disk.rename(from, to, RenameMode::NoReplace) {
            Ok(()) => {
                touched.name(to.path);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(NotLanded::Changed),
            Err(error) if is_absent(&error) => Err(NotLanded::Blocked),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether what was swapped out or moved is what the index knew (a rename changes only ctime).
    fn is_what_was_indexed(&self, at: At<'_>, row: &Row) -> io::Result<bool> {
        let stat = self.disk.stat(at)?;
        let Some(local) = row.local else {
            return Ok(false);
        };
        Ok(match stat.kind {
            FileKind::Symlink => local.link,
            FileKind::File => {
                stat.inode == local.inode && stat.size == local.size && stat.mtime == local.mtime
            }
            _ => false,
        })
    }

    /// What was at `path` and is at `from` now is kept: as a conflict copy, or in the trash.
    fn set_aside(
        &mut self,
        now: Now,
        from: At<'_>,
        path: &[u8],
        row: &Row,
        keep: bool,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        if keep && self.keep_conflict_copy(from, path, row, touched)? {
            return Ok(());
        }
        touched.trashed(&move_to_trash(&self.disk, now, from, path)?);
        Ok(())
    }

    /// Renames the loser to its conflict name and indexes it as a file of its own. False if that
    /// very copy exists already.
    fn keep_conflict_copy(
        &mut self,
        from: At<'_>,
        path: &[u8],
        row: &Row,
        touched: &mut Touched,
    ) -> Result<bool, NotLanded> {
        for attempt in 0..100 {
            let mut name = heapless::Vec::new();
            conflict_name(path::name(path), &row.entry, attempt, &mut name);
            let copy = join(path::parent(path).unwrap_or_default(), &name);
            if path::check(&copy).is_err() {
                // Too long with the folder's path: the trash keeps it.
                return Ok(false);
            }
            let before = self.store.get(&copy)?;
            if before.as_ref().is_some_and(|before| {
                before.entry.kind == row.entry.kind && before.entry.content == row.entry.content
            }) {
                return Ok(false);
            }
            let at = At {
                place: Place::Share,
                path: &copy,
            };
            match self.disk.rename(from, at, RenameMode::NoReplace) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error.into()),
            }
            touched.name(&copy);
            log::warn!(
                "{} was changed on two peers at once: ours is kept as {}",
                Escaped(path),
                Escaped(&copy)
            );
            let link = row.local.is_some_and(|local| local.link);
            let stat = if link && row.entry.kind == Kind::File {
                self.disk.open(at, true).and_then(|file| file.stat())
            } else {
                self.disk.stat(at)
            };
            let Ok(stat) = stat else { return Ok(true) };
            let state = Found {
                kind: row.entry.kind,
                mode: row.entry.mode,
                size: row.entry.size,
                mtime: row.entry.mtime,
                content: row.entry.content,
            };
            let sequence = self.store.next_sequence();
            let entry = local_change(
                before.as_ref().map(|before| &before.entry),
                self.store.index_id(),
                sequence,
                state,
            );
            self.store.put(
                &copy,
                Row {
                    entry,
                    target: row.target.clone(),
                    local: Some(fingerprint(&stat, link)),
                },
            )?;
            self.changes.note();
            return Ok(true);
        }
        Ok(false)
    }

    fn land_directory(
        &mut self,
        now: Now,
        path: &[u8],
        row: Option<&Row>,
        entry: Entry,
        keep: bool,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let at = At {
            place: Place::Share,
            path,
        };
        match row {
            Some(row) if row.entry.kind == Kind::Directory => {
                if row.entry.mode != entry.mode {
                    self.disk.set_mode(at, entry.mode)?;
                }
            }
            other => {
                if let Some(row) = other {
                    self.set_aside(now, at, path, row, keep, touched)?;
                }
                match self.disk.make_dir(at, entry.mode) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        return Err(NotLanded::Changed);
                    }
                    Err(error) => return Err(error.into()),
                }
                (self.watch)(path);
                touched.name(path);
            }
        }
        self.adopt(
            path,
            Row {
                entry,
                target: Vec::new(),
                local: None,
            },
        )
    }

    fn land_deletion(
        &mut self,
        now: Now,
        path: &[u8],
        row: Option<&Row>,
        entry: Entry,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        if let Some(row) = row {
            if row.entry.kind == Kind::Directory {
                self.clear_directory(now, path)?;
            } else {
                let at = At {
                    place: Place::Share,
                    path,
                };
                let trashed = move_to_trash(&self.disk, now, at, path)?;
                let moved = At {
                    place: Place::Trash,
                    path: &trashed,
                };
                if !self.is_what_was_indexed(moved, row)? {
                    self.disk.rename(moved, at, RenameMode::NoReplace)?;
                    return Err(NotLanded::Changed);
                }
                touched.trashed(&trashed);
            }
            touched.name(path);
        }
        self.adopt(
            path,
            Row {
                entry,
                target: Vec::new(),
                local: None,
            },
        )
    }

    /// Removes a directory that is to make place. `Blocked`: its children go first; `Occupied`: it has
    /// children that stay.
    fn clear_directory(&mut self, now: Now, path: &[u8]) -> Result<(), NotLanded> {
        if self.store.has_live_below(path)? {
            // What is in it may be deleted further on in a journal that we have not read yet.
            return Err(
                if self.store.has_pending_below(path)? || !self.engine.is_caught_up() {
                    NotLanded::Blocked
                } else {
                    NotLanded::Occupied
                },
            );
        }
        match self.disk.remove_dir(At {
            place: Place::Share,
            path,
        }) {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                // Something in it that nobody has indexed: picked up first; what can never be shared
                // keeps the directory.
                if self.leftovers.insert(path.to_vec()) {
                    self.scans.add(crate::watch::scan::Scan::new(path));
                    self.dirty.mark_if_clean(now.mono, path, SETTLED_PAUSE);
                    return Err(NotLanded::Blocked);
                }
                if self.scans.is_idle() && self.dirty.is_empty() {
                    self.leftovers.remove(path);
                    return Err(NotLanded::Occupied);
                }
                Err(NotLanded::Blocked)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A directory with live children beats its tombstone: it is asserted again, with both versions.
    pub(super) fn assert_directory(
        &mut self,
        path: &[u8],
        row: &Row,
        pending: &Pending,
    ) -> Result<(), NotLanded> {
        let state = Found {
            kind: Kind::Directory,
            mode: row.entry.mode,
            size: 0,
            mtime: row.entry.mtime,
            content: row.entry.content,
        };
        let mut merged = row.entry.clone();
        merged.version = row.entry.version.merge(&pending.entry.version);
        let sequence = self.store.next_sequence();
        let entry = local_change(Some(&merged), self.store.index_id(), sequence, state);
        self.adopt(
            path,
            Row {
                entry,
                target: Vec::new(),
                local: None,
            },
        )
    }

    fn adopt(&mut self, path: &[u8], row: Row) -> Result<(), NotLanded> {
        self.served.close(path);
        self.served.changed.remove(path);
        log::debug!(
            "landed: {} ({:?}, {} bytes)",
            Escaped(path),
            row.entry.kind,
            row.entry.size
        );
        self.store.put(path, row)?;
        self.store.remove_pending(path)?;
        self.changes.note();
        Ok(())
    }
}

/// Whether a row's file holds an entry's content and is a file of our own.
fn has_content(row: &Row, entry: &Entry) -> bool {
    row.entry.kind == Kind::File
        && row.entry.content == entry.content
        && !row.local.is_some_and(|local| local.link)
}

/// Name of a content that is just being landed, in `download/`: `X.part` becomes `X.land`.
#[must_use]
pub fn land_name(part: &[u8]) -> Vec<u8> {
    let mut name = part.strip_suffix(b".part").unwrap_or(part).to_vec();
    name.extend_from_slice(b".land");
    name
}
