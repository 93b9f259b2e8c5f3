//! Landing directories and deletions: what is in the way goes first, what must stay is asserted again.

use super::Peer;
use super::in_the_way::There;
use super::land::{NotLanded, Target};
use super::touched::Touched;
use crate::clock::Now;
use crate::disk::{At, Disk, Place, is_absent};
use crate::store::{Pending, Row};
use crate::watch::dirty::SETTLED_PAUSE;
use crate::watch::scan::Scan;
use proto_core::index::entry::{Entry, Kind};
use proto_core::index::reconcile::{Found, local_change};
use std::io;

impl<D: Disk> Peer<D> {
    /// A directory is made, or gets its mode.
    pub(super) fn land_directory(
        &mut self,
        now: Now,
        target: Target<'_>,
        entry: Entry,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let path = target.path;
        let at = At {
            place: Place::Share,
            path,
        };
        match target.row {
            Some(row) if row.entry.kind == Kind::Directory => {
                if row.entry.mode != entry.mode {
                    self.disk.set_mode(at, entry.mode)?;
                    self.keep_open(path, touched);
                }
            }
            other => {
                if target.there == There::UnsharedLink {
                    self.discard_link(now, at, touched)?;
                } else if other.is_some() {
                    self.set_aside(now, at, target, touched)?;
                }
                match self.disk.make_dir(at, entry.mode) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        return Err(NotLanded::Changed);
                    }
                    Err(error) => return Err(error.into()),
                }
                self.came.made(path);
                self.watch_landed(path);
                touched.name(path);
            }
        }
        self.adopt(
            path,
            Row {
                entry,
                target: Vec::new(),
                local: None,
                run: self.recheck.run(),
            },
        )
    }

    /// What is at a path goes to the trash.
    pub(super) fn land_deletion(
        &mut self,
        now: Now,
        target: Target<'_>,
        entry: Entry,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let path = target.path;
        if let Some(row) = target.row {
            if row.entry.kind == Kind::Directory {
                self.clear_directory(now, path)?;
            } else {
                let at = At {
                    place: Place::Share,
                    path,
                };
                self.discard(now, at, path, row, touched)?;
            }
            touched.name(path);
        }
        self.adopt(
            path,
            Row {
                entry,
                target: Vec::new(),
                local: None,
                run: self.recheck.run(),
            },
        )
    }

    /// Removes a directory that is to make place. `Blocked`: its children go first; `Occupied`: it has
    /// children that stay.
    pub(super) fn clear_directory(&mut self, now: Now, path: &[u8]) -> Result<(), NotLanded> {
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
                    self.scans.add(Scan::new(path));
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

    /// A directory with live children beats what is to replace it: it is asserted again. It takes in the
    /// version of a tombstone; with anything else it is left in conflict, so that whoever has that keeps
    /// it as a conflict copy.
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
        let mut before = row.entry.clone();
        if pending.entry.kind == Kind::Tombstone {
            before.version = before.version.merge(&pending.entry.version);
        }
        let sequence = self.store.next_sequence();
        let entry = local_change(Some(&before), self.store.index_id(), sequence, state);
        self.adopt(
            path,
            Row {
                entry,
                target: Vec::new(),
                local: None,
                run: self.recheck.run(),
            },
        )
    }
}
