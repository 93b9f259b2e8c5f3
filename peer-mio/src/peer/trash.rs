//! The trash: what a remote change replaced or deleted is kept for a while, under the time and the
//! path that it had.

use super::Peer;
use crate::clock::Now;
use crate::disk::{At, Disk, FileKind, Place, RenameMode};
use crate::store::{Row, StoreError};
use proto_core::index::conflict::timestamp_text;
use proto_core::index::entry::Kind;
use std::io;

/// How long something stays, in seconds: a week.
const KEPT_SECONDS: i64 = 7 * 24 * 3600;
/// Names tried for one path within one second.
const ATTEMPTS: u32 = 1000;

/// Moves what is at `from` into the trash under `path`; where it is then.
pub fn move_to_trash<D: Disk>(
    disk: &D,
    now: Now,
    from: At<'_>,
    path: &[u8],
) -> io::Result<Vec<u8>> {
    let folder = timestamp_text(now.wall.sec).to_string();
    for attempt in 0..ATTEMPTS {
        let mut target = if attempt == 0 {
            folder.clone()
        } else {
            format!("{folder}.{attempt}")
        }
        .into_bytes();
        target.push(b'/');
        target.extend_from_slice(path);
        let to = At {
            place: Place::Trash,
            path: &target,
        };
        match disk.rename(from, to, RenameMode::NoReplace) {
            Ok(()) => return Ok(target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.stat(from)?;
                make_parents(disk, &target)?;
                match disk.rename(from, to, RenameMode::NoReplace) {
                    Ok(()) => return Ok(target),
                    Err(error) if taken(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            // Another path of the same second is there, or is a file where we need a directory.
            Err(error) if taken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "no free name in the trash",
    ))
}

fn taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
    )
}

fn make_parents<D: Disk>(disk: &D, target: &[u8]) -> io::Result<()> {
    for (end, _) in target.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let Some(path) = target.get(..end) else {
            continue;
        };
        match disk.make_dir(
            At {
                place: Place::Trash,
                path,
            },
            0o700,
        ) {
            Ok(()) => {}
            Err(error) if taken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The folders of the trash on the way to something in it, the trash itself first.
pub fn way(target: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = target.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    std::iter::once(&b""[..]).chain(ends.filter_map(|(end, _)| target.get(..end)))
}

impl<D: Disk> Peer<D> {
    /// What a row speaks of is in the trash now: it may come again (docs/architecture.md, "Deltas").
    pub(super) fn note_trashed(&mut self, row: &Row, path: &[u8]) -> Result<(), StoreError> {
        // Of a followed link the trash has only the link.
        let is_file = row.entry.kind == Kind::File && row.local.is_some_and(|local| !local.link);
        if is_file && row.entry.size > 0 {
            self.store.put_trashed(row.entry.content, path)?;
        }
        Ok(())
    }

    /// Forgets where in the trash contents lay that are not there any more.
    pub(super) fn sweep_trashed(&mut self) -> Result<(), StoreError> {
        let disk = &self.disk;
        self.store
            .sweep_trashed(&mut |path| disk.stat(trash(path)).is_ok())
    }

    /// Removes one folder of the trash whose time is over. True if there was one.
    pub(super) fn expire_trash(&mut self, now: Now) -> io::Result<bool> {
        let oldest_kept = timestamp_text(now.wall.sec.saturating_sub(KEPT_SECONDS));
        let Some(oldest) = folders_by_age(&self.disk)?.into_iter().next() else {
            return Ok(false);
        };
        if oldest.as_slice() >= oldest_kept.as_bytes() {
            return Ok(false);
        }
        remove_all(&self.disk, &oldest, 0)?;
        Ok(true)
    }
}

/// The folders of the trash, the oldest first: their names are times.
pub fn folders_by_age<D: Disk>(disk: &D) -> io::Result<Vec<Vec<u8>>> {
    let mut folders = disk.list(trash(b""))?;
    folders.sort_unstable();
    Ok(folders)
}

/// Bytes of disk that removing a folder of the trash gives back.
pub fn held<D: Disk>(disk: &D, folder: &[u8]) -> io::Result<u64> {
    let mut bytes = 0u64;
    let mut waiting = vec![folder.to_vec()];
    while let Some(path) = waiting.pop() {
        let stat = disk.stat(trash(&path))?;
        match stat.kind {
            FileKind::Directory => waiting.extend(
                disk.list(trash(&path))?
                    .iter()
                    .map(|name| crate::watch::scan::join(&path, name)),
            ),
            FileKind::File if stat.links == 1 => bytes = bytes.saturating_add(stat.allocated),
            _ => {}
        }
    }
    Ok(bytes)
}

fn trash(path: &[u8]) -> At<'_> {
    At {
        place: Place::Trash,
        path,
    }
}

/// Removes a folder of the trash and all below it. Depth is bounded by that of paths.
pub fn remove_all<D: Disk>(disk: &D, path: &[u8], depth: usize) -> io::Result<()> {
    let at = trash(path);
    if disk.stat(at)?.kind != FileKind::Directory {
        return disk.remove_file(at);
    }
    if depth > proto_core::limits::MAX_PATH / 2 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too deep"));
    }
    for name in disk.list(at)? {
        remove_all(disk, &crate::watch::scan::join(path, &name), depth + 1)?;
    }
    disk.remove_dir(at)
}
