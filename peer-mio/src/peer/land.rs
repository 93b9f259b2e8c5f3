//! Landing: what is pending gets into `share/`, a group at a time (docs/architecture.md, "Landing").

use super::Peer;
use super::transfer::Transfer;
use super::trash::way;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, Stat, is_absent};
use crate::store::{Durability, Fingerprint, Row, StoreError};
use crate::watch::dirty::SETTLED_PAUSE;
use crate::watch::scan::fingerprint;
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, Kind};
use proto_core::index::reconcile::{Decision, reconcile};
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
/// A complete content.
pub(super) struct Ready<F> {
    path: Vec<u8>,
    /// Its name in `download/`.
    pub name: Vec<u8>,
    content: ContentId,
    size: u64,
    fetched: u64,
    started: Instant,
    /// The file itself.
    pub file: F,
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

/// A path that something is to land at.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// Where.
    pub path: &'a [u8],
    /// What is there by our index, if it is live.
    pub row: Option<&'a Row>,
    /// Whether that is the loser of a conflict and is kept beside it.
    pub keep: bool,
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

    /// Something is in the trash now.
    pub fn trashed(&mut self, target: &[u8]) {
        self.trash.extend(way(target).map(<[u8]>::to_vec));
    }

    /// A name in `share/` came, went or was replaced.
    pub fn name(&mut self, path: &[u8]) {
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
            && let Err(error) = self.disk.sync_all()
        {
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
        if let Err(why) = &result {
            log::trace!("not landed: {}: {why:?}", Escaped(path));
        }
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
            Decision::Nothing | Decision::ConflictInsist => {
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
        if entry.kind != Kind::Tombstone {
            self.parent_is_live(path)?;
        }
        let row = row.filter(|row| row.entry.kind != Kind::Tombstone);
        self.still_as_indexed(now, path, row.as_ref())?;
        let row = row.as_ref();
        let target = Target { path, row, keep };
        let landed = match entry.kind {
            Kind::Tombstone => self
                .land_deletion(now, target, entry, touched)
                .map(|()| false),
            Kind::Directory => self
                .land_directory(now, target, entry, touched)
                .map(|()| false),
            Kind::Symlink => self
                .land_symlink(now, target, &pending, entry, touched)
                .map(|()| false),
            Kind::File => match (
                row.filter(|row| has_content(row, &entry)),
                ready.filter(|ready| ready.content == entry.content),
            ) {
                (Some(row), _) => self.land_metadata(path, row, entry).map(|()| false),
                (None, Some(ready)) => self
                    .land_file(now, target, ready, entry, touched)
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

    /// The index says what has landed.
    pub(super) fn adopt(&mut self, path: &[u8], row: Row) -> Result<(), NotLanded> {
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
