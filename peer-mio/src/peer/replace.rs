//! Getting a file or symlink to its path, and keeping what was there (docs/architecture.md, "Landing").

use super::Peer;
use super::land::{NotLanded, Target};
use super::land_group::Ready;
use super::touched::Touched;
use super::trash::move_to_trash;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, RenameMode, is_absent};
use crate::store::{Pending, Row};
use crate::watch::scan::{fingerprint, join};
use proto_core::index::conflict::conflict_name;
use proto_core::index::entry::{Entry, Kind};
use proto_core::index::reconcile::{Found, local_change};
use proto_core::path::{self, Escaped};
use std::io;

impl<D: Disk> Peer<D> {
    /// A complete content gets to its path.
    pub(super) fn land_file(
        &mut self,
        now: Now,
        target: Target<'_>,
        ready: &Ready<D::File>,
        entry: Entry,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let path = target.path;
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
        match self.put_in_place(now, from, target, touched) {
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
        let from = At {
            place: Place::Download,
            path: &name,
        };
        match self.disk.make_symlink(&pending.target, from) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        self.put_in_place(now, from, target, touched)?;
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
        target: Target<'_>,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let path = target.path;
        let to = At {
            place: Place::Share,
            path,
        };
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
        if !self.is_what_was_indexed(from, row)? {
            // Written between the last look and the swap: it goes back, and is picked up.
            self.disk.rename(from, to, RenameMode::Exchange)?;
            return Err(NotLanded::Changed);
        }
        if let Err(error) = self.set_aside(now, from, target, touched) {
            // What a user had must not stay under a name of ours.
            self.disk.rename(from, to, RenameMode::Exchange)?;
            return Err(error);
        }
        Ok(())
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
    pub(super) fn is_what_was_indexed(&self, at: At<'_>, row: &Row) -> io::Result<bool> {
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
    pub(super) fn set_aside(
        &mut self,
        now: Now,
        from: At<'_>,
        target: Target<'_>,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        if let Some(row) = target.row.filter(|_| target.keep)
            && self.keep_conflict_copy(from, target.path, row, touched)?
        {
            return Ok(());
        }
        touched.trashed(&move_to_trash(&self.disk, now, from, target.path)?);
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
}

/// Name of a content that is just being landed, in `download/`: `X.part` becomes `X.land`.
#[must_use]
pub fn land_name(part: &[u8]) -> Vec<u8> {
    let mut name = part.strip_suffix(b".part").unwrap_or(part).to_vec();
    name.extend_from_slice(b".land");
    name
}
