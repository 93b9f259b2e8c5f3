//! What had landed in a run that was killed before the index said so (docs/architecture.md, "Landing"): the start finds it by
//! what is pending. A scan would too, but perhaps only after others have told of something newer for the same path: then what
//! landed would pass for a user's change and be in conflict with that.

use super::pickup::{is_racy, never_matching};
use super::recover::hash;
use crate::clock::Now;
use crate::disk::{At, Disk, FileKind, Place};
use crate::store::{Fingerprint, Pending, Row, Run, Store, StoreError};
use crate::watch::scan::fingerprint;
use proto_core::content::cut;
use proto_core::content::recipe::MAX_RECIPE_BLOCK;
use proto_core::index::entry::{Entry, Kind, MODE_MASK};
use proto_core::index::reconcile::{Decision, reconcile};
use proto_core::path;
use std::io;

/// Bytes that are hashed for it at most: what else looks as if it had landed, say a folder that was copied by hand, is left to
/// the scan.
const MOST: u64 = 64 * 1024 * 1024;
/// What a look at a path counts for, so that a million of them take no longer than these bytes ...
const LOOK: u64 = 256;
/// ... and what opening a file does.
const OPEN: u64 = 4096;

/// A file that is what was to land.
struct Landed {
    local: Fingerprint,
    /// Its recipe, block after block.
    recipe: Vec<u8>,
}

/// The index says what has landed. The names of all that is in `share/` must be on the disk.
#[cold] // A start is to be small rather than fast.
pub(super) fn find_landed<D: Disk>(
    disk: &D,
    store: &mut Store,
    now: Now,
    run: Run,
) -> Result<(), StoreError> {
    let (mut after, mut bytes) = (None::<Vec<u8>>, MOST);
    while bytes >= LOOK
        && let Some((path, pending)) = store.next_pending(after.as_deref())?
    {
        bytes -= LOOK;
        let row = store.get(&path)?;
        if let Some(entry) = wanted(store, row.as_ref(), &path, &pending)? {
            // What cannot be read now is left to the scan.
            let found = find(disk, row.as_ref(), &path, &entry, &mut bytes);
            if let Ok(Some(landed)) = found {
                put_landed(store, now, run, &path, entry, &landed)?;
            }
        }
        after = Some(path);
    }
    Ok(())
}

/// What the index is to say if it has landed. `None`: it has not, or more than one file belongs to it.
#[cold]
fn wanted(
    store: &Store,
    row: Option<&Row>,
    path: &[u8],
    pending: &Pending,
) -> Result<Option<Entry>, StoreError> {
    let is_known = row.is_some_and(|row| row.entry.kind == Kind::Directory);
    if !matches!(pending.entry.kind, Kind::File | Kind::Directory) || is_known {
        return Ok(None);
    }
    if let Some(parent) = path::parent(path) {
        let parent = store.get(parent)?;
        if parent.is_none_or(|parent| parent.entry.kind != Kind::Directory) {
            return Ok(None);
        }
    }
    Ok(match reconcile(row.map(|row| &row.entry), &pending.entry) {
        Decision::Take(entry) | Decision::Merge(entry) => Some(entry),
        _ => None,
    })
}

#[cold]
fn find<D: Disk>(
    disk: &D,
    row: Option<&Row>,
    path: &[u8],
    entry: &Entry,
    bytes: &mut u64,
) -> io::Result<Option<Landed>> {
    let at = At {
        place: Place::Share,
        path,
    };
    let stat = disk.stat(at)?;
    let local = fingerprint(&stat, false);
    let mut landed = Landed {
        local,
        recipe: Vec::new(),
    };
    if local.mode != entry.mode & MODE_MASK {
        return Ok(None);
    }
    if entry.kind == Kind::Directory {
        return Ok((stat.kind == FileKind::Directory).then_some(landed));
    }
    let is_indexed = row
        .and_then(|row| row.local)
        .is_some_and(|known| known.inode == local.inode);
    if stat.kind != FileKind::File
        || (local.size, local.mtime) != (entry.size, entry.mtime)
        || is_indexed
        || local.size.saturating_add(OPEN) > *bytes
    {
        return Ok(None);
    }
    *bytes -= local.size + OPEN;
    let recipe = &mut landed.recipe;
    let hashed = hash(disk.open(at, false)?, local.size, &mut |_, block| {
        recipe.extend_from_slice(block);
        Ok(())
    })?;
    let same = (hashed.content, hashed.size) == (entry.content, entry.size)
        && fingerprint(&disk.stat(at)?, false) == local;
    Ok(same.then_some(landed))
}

#[cold]
fn put_landed(
    store: &mut Store,
    now: Now,
    run: Run,
    path: &[u8],
    entry: Entry,
    landed: &Landed,
) -> Result<(), StoreError> {
    let is_file = entry.kind == Kind::File;
    if is_file && entry.size > u64::from(cut::SMALLEST_CHUNK) {
        for (number, block) in (0..).zip(landed.recipe.chunks(MAX_RECIPE_BLOCK)) {
            store.put_recipe_block(entry.content, number, block)?;
        }
    }
    let local = landed.local;
    // A write in the same tick may have left the same times.
    let racy = is_racy(now, local.mtime) || is_racy(now, local.ctime);
    let local = if racy { never_matching(local) } else { local };
    store.put(
        path,
        Row {
            entry,
            target: Vec::new(),
            local: is_file.then_some(local),
            run,
        },
    )?;
    store.remove_pending(path)
}
