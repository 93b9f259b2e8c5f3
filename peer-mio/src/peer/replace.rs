//! Getting a file or symlink to its path, and keeping what was there (docs/architecture.md, "Landing").

use super::Peer;
use super::in_the_way::There;
use super::land::{NotLanded, Target};
use super::landed_as::is_untouched;
use super::landing_name::{in_download, land_name};
use super::pickup::is_racy;
use super::touched::Touched;
use super::trash::move_to_trash;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, RenameMode, Stat, is_absent};
use crate::store::{Fingerprint, Pending, Row};
use crate::watch::dirty::SETTLED_PAUSE;
use crate::watch::scan::{fingerprint, join};
use proto_core::index::conflict::conflict_name;
use proto_core::index::entry::{Entry, Kind, MODE_MASK};
use proto_core::index::reconcile::{Found, local_change};
use proto_core::path::{self, Escaped};
use std::io;

impl<D: Disk> Peer<D> {
    /// A kept symlink is made.
    pub(super) fn land_symlink(
        &mut self,
        now: Now,
        target: Target<'_>,
        pending: &Pending,
        entry: Entry,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let path = target.path;
        let name = land_name(format!("{}.part", entry.content).as_bytes());
        let from = in_download(&name);
        self.take_landing_name(now, from, path, |disk| {
            disk.make_symlink(&pending.target, from)
        })?;
        let readied = self.disk.stat(from)?;
        if let Err(error) = self.put_in_place(now, from, &readied, target, touched) {
            if self.is_ours_again(now, from, &readied, path) {
                // If it stays, it goes to the trash.
                let _ = self.disk.remove_file(from);
            }
            return Err(error);
        }
        let local = self.landed_as(now, path, true, |stat| is_untouched(stat, &readied));
        self.adopt(
            path,
            Row {
                entry,
                target: pending.target.clone(),
                local,
                run: self.recheck.run(),
            },
        )
    }

    /// Moves `from`, which was `readied`, to `path`; what was there goes to the trash or becomes the
    /// conflict copy.
    pub(super) fn put_in_place(
        &mut self,
        now: Now,
        from: At<'_>,
        readied: &Stat,
        target: Target<'_>,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let path = target.path;
        let to = At {
            place: Place::Share,
            path,
        };
        if target.there == There::UnsharedLink {
            self.discard_link(now, to, touched)?;
            return self.put_new(from, to, touched);
        }
        let Some(row) = target.row else {
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
                self.set_aside(now, to, target, touched)?;
                return self.put_new(from, to, touched);
            }
            Err(error) => return Err(error.into()),
        }
        touched.name(path);
        // Written between the last look and the swap: it goes back, and is picked up. So does what a
        // user had and cannot be kept: it must not stay under a name of ours.
        let kept = match self.is_what_was_indexed(from, row) {
            Ok(true) => self.set_aside(now, from, target, touched),
            Ok(false) => Err(NotLanded::Changed),
            Err(error) => Err(error.into()),
        };
        if kept.is_err() {
            self.swap_back(now, from, to, readied)?;
        }
        kept
    }

    /// Undoes an exchange: what is at `from` was at `to`.
    fn swap_back(
        &mut self,
        now: Now,
        from: At<'_>,
        to: At<'_>,
        readied: &Stat,
    ) -> Result<(), NotLanded> {
        match self.disk.rename(from, to, RenameMode::Exchange) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(self.disk.rename(from, to, RenameMode::NoReplace)?);
            }
            Err(error) => return Err(error.into()),
        }
        // What comes back may be a file of the user's by now, perhaps with the time that it had.
        let back = self.disk.stat(from)?;
        if !is_untouched(&back, readied) || is_racy(now, back.mtime) {
            move_to_trash(&self.disk, now, from, to.path)?;
        }
        Ok(())
    }

    pub(super) fn put_new(
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
    pub(super) fn is_what_was_indexed(&self, at: At<'_>, row: &Row) -> io::Result<bool> {
        let stat = self.disk.stat(at)?;
        let Some(local) = row.local else {
            return Ok(false);
        };
        Ok(match stat.kind {
            // Of a followed link the index knows only what it led to.
            FileKind::Symlink if row.entry.kind == Kind::File => local.link,
            FileKind::Symlink | FileKind::File => {
                stat.inode == local.inode && stat.size == local.size && stat.mtime == local.mtime
            }
            _ => false,
        })
    }

    /// What was at a path and is at `from` now is kept: as a conflict copy, or in the trash. If it is
    /// not what the index knew, it stays at `from`.
    pub(super) fn set_aside(
        &mut self,
        now: Now,
        from: At<'_>,
        target: Target<'_>,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let Some(row) = target.row else {
            return Err(NotLanded::Changed);
        };
        if target.keep && self.keep_conflict_copy(now, from, target.path, row, touched)? {
            return Ok(());
        }
        self.discard(now, from, target.path, row, touched)
    }

    /// What was at a path and is at `from` now goes to the trash, if it is what the index knew.
    pub(super) fn discard(
        &mut self,
        now: Now,
        from: At<'_>,
        path: &[u8],
        row: &Row,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let trashed = move_to_trash(&self.disk, now, from, path)?;
        touched.trashed(&trashed);
        let moved = At {
            place: Place::Trash,
            path: &trashed,
        };
        if self.is_what_was_indexed(moved, row)? {
            self.note_trashed(row, &trashed)?;
            return Ok(());
        }
        self.put_back(moved, from, touched)
    }

    /// A symlink that is not shared makes way: it goes to the trash.
    pub(super) fn discard_link(
        &mut self,
        now: Now,
        at: At<'_>,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let trashed = move_to_trash(&self.disk, now, at, at.path)?;
        touched.trashed(&trashed);
        let moved = At {
            place: Place::Trash,
            path: &trashed,
        };
        if self.disk.stat(moved)?.kind == FileKind::Symlink {
            touched.name(at.path);
            log::info!(
                "{} was a link that is not shared: replaced",
                Escaped(at.path)
            );
            return Ok(());
        }
        self.put_back(moved, at, touched)
    }

    /// What went to the trash turned out to be something else: it goes back. If there is something
    /// new at its path by now, it stays in the trash.
    fn put_back(&self, moved: At<'_>, to: At<'_>, touched: &mut Touched) -> Result<(), NotLanded> {
        if to.place == Place::Share {
            touched.name(to.path);
        }
        match self.disk.rename(moved, to, RenameMode::NoReplace) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
            _ => Err(NotLanded::Changed),
        }
    }

    /// Renames the loser to its conflict name and indexes it as a file of its own. False if that
    /// very copy exists already.
    fn keep_conflict_copy(
        &mut self,
        now: Now,
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
            if !self.is_what_was_indexed(at, row)? {
                if from.place == Place::Share {
                    touched.name(from.path);
                }
                match self.disk.rename(at, from, RenameMode::NoReplace) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error.into());
                    }
                    _ => return Err(NotLanded::Changed),
                }
            }
            log::warn!(
                "{} was changed on two peers at once: ours is kept as {}",
                Escaped(path),
                Escaped(&copy)
            );
            let local = self.copied_as(now, &copy, row);
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
                    local,
                    run: self.recheck.run(),
                },
            )?;
            self.changes.note();
            return Ok(true);
        }
        Ok(false)
    }

    /// The fingerprint of a conflict copy that was just made of what a row says.
    fn copied_as(&mut self, now: Now, copy: &[u8], row: &Row) -> Option<Fingerprint> {
        let local = row.local?;
        if !local.link || row.entry.kind != Kind::File {
            return self.landed_as(now, copy, local.link, |stat| {
                (stat.inode, stat.size, stat.mtime) == (local.inode, local.size, local.mtime)
                    && (row.entry.kind != Kind::File || stat.mode & MODE_MASK == row.entry.mode)
            });
        }
        let at = At {
            place: Place::Share,
            path: copy,
        };
        let target = self.disk.open(at, true).and_then(|file| file.stat());
        match target.map(|stat| fingerprint(&stat, true)) {
            Ok(target) if target == local => Some(local),
            _ => {
                self.dirty.mark_if_clean(now.mono, copy, SETTLED_PAUSE);
                None
            }
        }
    }
}
