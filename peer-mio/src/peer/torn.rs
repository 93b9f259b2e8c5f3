//! What a run that does not flush (`--durability none`) may leave after a power cut: files that are torn, empty or
//! missing. They land again (docs/architecture.md, "Durability").

use super::Peer;
use super::land::NotLanded;
use super::landing::Flushing;
use super::open_way::{close_way, open_way};
use super::recover::holds;
use super::start::StartError;
use super::touched::Touched;
use super::trash::move_to_trash;
use crate::clock::Now;
use crate::disk::{At, Disk, FileKind, Place, RenameMode, is_absent};
use crate::store::{Fingerprint, Pending, Row, Run, Store, StoreError};
use crate::watch::dirty::SETTLED_PAUSE;
use crate::watch::scan::fingerprint;
use proto_core::index::entry::{IndexId, Kind};
use proto_core::path::Escaped;
use std::io;

/// Name of the stored note.
const UNFLUSHED: &str = "unflushed";
/// Runs that are noted at most: each is a power cut within minutes of the one before.
const MOST: usize = 64;

/// The runs that landed files without flushing them, as far as a row of theirs may be in doubt.
#[derive(Debug, Default)]
pub(super) struct Unflushed(Vec<Run>);

impl Unflushed {
    /// Reads the note, and adds this run to it if it will not flush. The start commits it, before anything can land.
    pub fn begin(store: &mut Store, run: Run, flushing: Flushing) -> Result<Self, StoreError> {
        let bytes = store.meta(UNFLUSHED)?.unwrap_or_default();
        let (noted, _) = bytes.as_chunks::<4>();
        let mut runs: Vec<Run> = noted.iter().map(|run| Run::from_be_bytes(*run)).collect();
        if flushing == Flushing::Never && !runs.contains(&run) {
            runs.push(run);
            runs.drain(..runs.len().saturating_sub(MOST));
            write(store, &runs)?;
        }
        Ok(Self(runs))
    }

    /// Whether the power was off since one of them.
    pub fn any_before(&self, run: Run) -> bool {
        self.0.iter().any(|noted| *noted != run)
    }

    /// Nothing of earlier runs is in doubt any more.
    pub fn settled(
        &mut self,
        store: &mut Store,
        run: Run,
        flushing: Flushing,
    ) -> Result<(), StoreError> {
        let before = self.0.len();
        self.0
            .retain(|noted| *noted == run && flushing == Flushing::Never);
        if self.0.len() == before {
            return Ok(());
        }
        write(store, &self.0)
    }
}

fn write(store: &mut Store, runs: &[Run]) -> Result<(), StoreError> {
    let bytes: Vec<u8> = runs.iter().flat_map(|run| run.to_be_bytes()).collect();
    store.set_meta(UNFLUSHED, &bytes)
}

/// Files that landed, though the power was cut before the index said so, and that are not what was to land there: they
/// go to the trash. The paths of these.
pub(super) fn drop_torn<D: Disk>(
    disk: &D,
    store: &Store,
    now: Now,
) -> Result<Vec<Vec<u8>>, StartError> {
    let (mut dropped, mut after) = (Vec::new(), None::<Vec<u8>>);
    while let Some((path, pending)) = store.next_pending(after.as_deref())? {
        let row = store.get(&path)?;
        match is_torn(disk, row.as_ref(), &path, &pending) {
            Ok(None) => {}
            // If it stayed, it would be told as a user's.
            Ok(Some(found)) => {
                if to_trash(disk, store, now, &path, found)? {
                    dropped.push(path.clone());
                }
            }
            Err(error) => log::warn!("{} cannot be looked at: {error}", Escaped(&path)),
        }
        after = Some(path);
    }
    Ok(dropped)
}

/// What was found, if it is not whole.
fn is_torn<D: Disk>(
    disk: &D,
    row: Option<&Row>,
    path: &[u8],
    pending: &Pending,
) -> io::Result<Option<Fingerprint>> {
    let at = At {
        place: Place::Share,
        path,
    };
    let stat = match disk.stat(at) {
        Err(error) if is_absent(&error) => return Ok(None),
        stat => stat?,
    };
    // A row that speaks of this file settles it (`Peer::may_be_torn`).
    let is_indexed = row
        .and_then(|row| row.local)
        .is_some_and(|known| known.inode == stat.inode);
    if pending.entry.kind != Kind::File
        || stat.kind != FileKind::File
        || stat.mtime != pending.entry.mtime
        || is_indexed
    {
        return Ok(None);
    }
    let name = pending.entry.content.to_string();
    let whole = stat.size == pending.entry.size && holds(disk, at, name.as_bytes())?;
    Ok((!whole).then(|| fingerprint(&stat, false)))
}

/// Moves what is at a path of `share/` to the trash, on the disk too. False: it is not what was found there before, and
/// stays.
fn to_trash<D: Disk>(
    disk: &D,
    store: &Store,
    now: Now,
    path: &[u8],
    found: Fingerprint,
) -> io::Result<bool> {
    let mut touched = Touched::default();
    let done = match open_way(disk, store, path, &mut touched) {
        Ok(()) => move_found(disk, now, path, found, &mut touched),
        Err(NotLanded::Disk(error)) => Err(error),
        Err(other) => Err(io::Error::other(format!("{other:?}"))),
    };
    let done = done.and_then(|same| touched.sync(disk).map(|()| same));
    close_way(disk, &touched);
    done
}

fn move_found<D: Disk>(
    disk: &D,
    now: Now,
    path: &[u8],
    found: Fingerprint,
    touched: &mut Touched,
) -> io::Result<bool> {
    let share = At {
        place: Place::Share,
        path,
    };
    let trashed = move_to_trash(disk, now, share, path)?;
    touched.trashed(&trashed);
    touched.name(path);
    let trash = At {
        place: Place::Trash,
        path: &trashed,
    };
    // A rename changes ctime.
    let moved = Fingerprint {
        ctime: found.ctime,
        ..fingerprint(&disk.stat(trash)?, found.link)
    };
    if moved == found {
        return Ok(true);
    }
    match disk.rename(trash, share, RenameMode::NoReplace) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(false),
    }
}

/// Paths whose torn files were dropped and that nothing came back to: what the index had there is not there, and that
/// was no user's deletion.
pub(super) fn forget_dropped<D: Disk>(
    disk: &D,
    store: &mut Store,
    dropped: &[Vec<u8>],
) -> Result<(), StoreError> {
    for path in dropped {
        let at = At {
            place: Place::Share,
            path,
        };
        let live = store
            .get(path)?
            .is_some_and(|row| row.entry.kind != Kind::Tombstone);
        if live && disk.stat(at).is_err_and(|error| is_absent(&error)) {
            store.forget(path)?;
        }
    }
    Ok(())
}

impl<D: Disk> Peer<D> {
    /// Whether a row's file landed without a flush, and a power cut may have torn it since.
    pub(super) fn may_be_torn(&self, row: &Row) -> bool {
        may_be_torn(&self.unflushed, &self.recheck, &self.store, row)
    }

    /// What landed is not there, or not whole: it is pending again. `there` is what was found instead.
    pub(super) fn land_again(
        &mut self,
        now: Now,
        path: &[u8],
        row: &Row,
        there: Option<Fingerprint>,
    ) -> Result<(), StoreError> {
        if let Some(found) = there {
            match to_trash(&self.disk, &self.store, now, path, found) {
                Ok(true) => {}
                Ok(false) => {
                    self.dirty.mark_if_clean(now.mono, path, SETTLED_PAUSE);
                    return Ok(());
                }
                Err(error) => {
                    self.look_failed(now, path, &error);
                    return Ok(());
                }
            }
        }
        log::warn!(
            "{} had not reached the disk when the power was cut: it comes again",
            Escaped(path)
        );
        self.served.close(path);
        self.store.forget(path)?;
        if self.store.pending(path)?.is_none() {
            // Whoever has it is asked: who told of it is not known any more.
            let pending = Pending {
                entry: row.entry.clone(),
                target: Vec::new(),
                told_by: IndexId::NOBODY,
            };
            self.store.put_pending(path, &pending)?;
        }
        self.changes.note();
        self.plan.restart();
        Ok(())
    }

    /// Nothing of earlier runs is in doubt any more.
    pub(super) fn all_settled(&mut self) -> Result<(), StoreError> {
        let (run, flushing) = (self.recheck.run(), self.config.flushing);
        self.unflushed.settled(&mut self.store, run, flushing)
    }
}

/// [`Peer::may_be_torn`], where only parts of the peer are at hand.
pub(super) fn may_be_torn(
    unflushed: &Unflushed,
    recheck: &super::Recheck,
    store: &Store,
    row: &Row,
) -> bool {
    // A change of our own is nowhere else yet, perhaps.
    let elsewhere =
        row.entry.modified_by != store.index_id() && row.entry.modified_by != IndexId::NOBODY;
    recheck.doubts(row)
        && unflushed.0.contains(&row.run)
        && elsewhere
        && !row.local.is_some_and(|local| local.link)
}
