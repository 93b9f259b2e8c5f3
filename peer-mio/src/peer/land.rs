//! Landing: what is pending at a path gets into `share/` (docs/architecture.md, "Landing").

use super::Peer;
use super::in_the_way::There;
use super::ready::Ready;
use super::touched::Touched;
use super::transfer::has_recipe;
use crate::clock::Now;
use crate::disk::{At, Disk, Place};
use crate::store::{Row, StoreError};
use crate::watch::dirty::SETTLED_PAUSE;
use proto_core::index::entry::{Entry, Kind};
use proto_core::index::reconcile::{Decision, reconcile};
use proto_core::path::{self, Escaped};
use std::io;

/// A path that something is to land at.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// Where.
    pub path: &'a [u8],
    /// What is there by our index, if it is live.
    pub row: Option<&'a Row>,
    /// Whether that is the loser of a conflict and is kept beside it.
    pub keep: bool,
    /// What is there by the disk.
    pub there: There,
}

/// Why something did not land.
#[derive(Debug)]
pub(super) enum NotLanded {
    /// The path is not any more what the decision was based on; it is dirty now.
    Changed,
    /// Something else has to land or be deleted first.
    Blocked,
    /// This is there, is never shared and stays.
    InTheWay(&'static str),
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

impl<D: Disk> Peer<D> {
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
            Err(NotLanded::InTheWay(what)) => {
                let sentence = format!(
                    "{} cannot be landed: {what} is there, move it away",
                    Escaped(path)
                );
                self.errors.set_path(path, sentence);
                self.plan.retry_later();
            }
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
        let landed = self.try_land(now, path, ready, touched);
        if landed.is_err() {
            // With the transaction the row of the parent may go.
            touched.way = None;
        }
        landed
    }

    fn try_land(
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
                    let row = self.recheck.kept(row);
                    self.store.put(path, Row { entry, ..row })?;
                }
                self.store.remove_pending(path)?;
                self.changes.note();
                return Ok(false);
            }
            Decision::Merge(entry) | Decision::Take(entry) => (entry, false),
            Decision::ConflictTake(entry) => (entry, true),
        };
        // Where something has just landed, the parent was looked at.
        let is_known = touched.way.is_some() && touched.way.as_deref() == path::parent(path);
        if entry.kind != Kind::Tombstone && !is_known {
            self.parent_is_live(path)?;
        }
        self.open_way(path, touched)?;
        if entry.kind != Kind::File {
            // A directory may go, or come.
            touched.way = None;
        }
        let row = row.filter(|row| row.entry.kind != Kind::Tombstone);
        let ready = match ready.filter(|ready| ready.content == entry.content) {
            // Others will ask for its recipe, which may have been taken back since it came.
            Some(ready) if has_recipe(&self.store, ready.content, ready.size)? => Some(ready),
            _ => None,
        };
        if let (None, Some(ready), Kind::File, false) = (&row, ready, entry.kind, keep)
            && self.land_new_file(now, path, ready, &entry, touched)?
        {
            return Ok(true);
        }
        let there = self.still_as_indexed(now, path, row.as_ref())?;
        let row = row.as_ref();
        if keep && there == There::UnsharedLink {
            return Err(NotLanded::InTheWay(
                "a link to nothing, and both it and what comes were changed",
            ));
        }
        let target = Target {
            path,
            row,
            keep,
            there,
        };
        touched.flush |= keep || entry.kind != Kind::File;
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
            Kind::File => match (row.filter(|row| has_content(row, &entry)), ready) {
                (Some(row), _) => self.land_metadata(now, path, row, entry).map(|()| false),
                (None, Some(ready)) => self
                    .land_file(now, target, ready, entry, touched)
                    .map(|()| true),
                // A newer version came while this one was fetched, or its recipe went.
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

    /// Only mode or time differ.
    fn land_metadata(
        &mut self,
        now: Now,
        path: &[u8],
        row: &Row,
        entry: Entry,
    ) -> Result<(), NotLanded> {
        let at = At {
            place: Place::Share,
            path,
        };
        let mut local = row.local;
        if row.entry.mode != entry.mode || row.entry.mtime != entry.mtime {
            if row.entry.mode != entry.mode {
                self.disk.set_mode(at, entry.mode)?;
            }
            let retimed = row.entry.mtime != entry.mtime && self.is_what_was_indexed(at, row)?;
            if retimed {
                self.disk.set_mtime(at, entry.mtime)?;
            }
            local = self.landed_as(now, path, false, |stat| {
                stat.mtime == entry.mtime
                    && row
                        .local
                        .is_some_and(|local| (local.inode, local.size) == (stat.inode, stat.size))
            });
            // A write leaves its mark in the time. What came between the look and the new time left none, so the
            // content is looked at again, if we may.
            if retimed && self.disk.open(at, false).is_ok() {
                local = None;
                self.dirty.mark_if_clean(now.mono, path, SETTLED_PAUSE);
            }
        }
        self.adopt_landed(path, local, entry)
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
        self.drafts.note(&row.entry);
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
