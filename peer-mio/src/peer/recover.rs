//! What start-up does with what it finds in `download/` (docs/architecture.md, "Landing").

use super::land_group::PRIVATE;
use super::landed_as::is_untouched;
use super::open_way::{NOTE, close_noted};
use super::start::StartError;
use super::trash::move_to_trash;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, RenameMode, Stat, is_absent};
use crate::jobs::Progress;
use crate::jobs::hash::{HashJob, Hashed};
use crate::store::{Store, StoreError};
use proto_core::content::ContentId;
use proto_core::path::Escaped;
use std::io;
use std::ops::ControlFlow;

/// Names of one file that are looked at.
const MAX_NAMES: usize = 16;
/// Bytes hashed at once.
const SLICE: usize = 16 * 1024 * 1024;

/// Puts `download/` in order. A `.land` file is either a content that was about to land, then it
/// becomes `.part` again; or what a user had at the path and was swapped out, then it is swapped back,
/// or goes to the trash. A note about a directory that was opened closes it again. `.part` files
/// get a mode that lets us open them; anything else is left alone.
/// `dropped`: paths whose torn files were in the way of what they had replaced.
#[cold]
pub fn recover_downloads<D: Disk>(
    disk: &D,
    store: &Store,
    now: Now,
    dropped: &[Vec<u8>],
) -> Result<(), StartError> {
    let root = At {
        place: Place::Download,
        path: b"",
    };
    let names = disk.list(root)?;
    // What is to be renamed may be in a directory that a note speaks of, so these come last.
    for name in &names {
        let at = At {
            place: Place::Download,
            path: name,
        };
        let recovered = if let Some(stem) = name.strip_suffix(b".land") {
            recover_landing(disk, store, now, at, stem, dropped)
        } else if name.ends_with(b".part") {
            open_to_us(disk, at).map_err(StartError::from)
        } else {
            Ok(())
        };
        match recovered {
            // A full trash, a folder that the user has closed: it stays, and the next start tries again.
            Err(StartError::Disk(error)) => {
                log::warn!("download/{} stays as it is: {error}", Escaped(name));
            }
            recovered => recovered?,
        }
    }
    for name in names.iter().filter(|name| name.ends_with(NOTE)) {
        close_noted(
            disk,
            At {
                place: Place::Download,
                path: name,
            },
        )?;
    }
    Ok(())
}

#[cold]
fn open_to_us<D: Disk>(disk: &D, part: At<'_>) -> io::Result<()> {
    if disk.stat(part)?.kind == FileKind::File {
        disk.set_mode(part, PRIVATE)?;
    }
    Ok(())
}

#[cold]
fn recover_landing<D: Disk>(
    disk: &D,
    store: &Store,
    now: Now,
    at: At<'_>,
    stem: &[u8],
    dropped: &[Vec<u8>],
) -> Result<(), StartError> {
    if !holds(disk, at, stem)? {
        let swapped = find_rows(store, &disk.stat(at)?)?;
        if let Some(path) = swapped.iter().find(|path| dropped.contains(path)) {
            let share = At {
                place: Place::Share,
                path,
            };
            return Ok(disk.rename(at, share, RenameMode::NoReplace)?);
        }
        if !swap_back(disk, at, &swapped, stem)? {
            let path = swapped.first().map_or(at.path, Vec::as_slice);
            let kept = move_to_trash(disk, now, at, path)?;
            log::warn!(
                "a change was interrupted while it was landing: what it replaced is in the trash as {}",
                Escaped(&kept)
            );
            return Ok(());
        }
    }
    if disk.stat(at)?.kind == FileKind::Symlink {
        // It is made again.
        return Ok(disk.remove_file(at)?);
    }
    let part = [stem, b".part"].concat();
    let to = At {
        place: Place::Download,
        path: &part,
    };
    disk.rename(at, to, RenameMode::Replace)?;
    Ok(disk.set_mode(to, PRIVATE)?)
}

/// Undoes an exchange: what is at `at` was at one of `paths`, where now the content is that it is named after.
/// Then that lands again, and what it replaces is kept as it must be. False if somebody has changed the path
/// since.
#[cold]
fn swap_back<D: Disk>(disk: &D, at: At<'_>, paths: &[Vec<u8>], stem: &[u8]) -> io::Result<bool> {
    for path in paths {
        let share = At {
            place: Place::Share,
            path,
        };
        let looked = disk
            .stat(share)
            .and_then(|stat| Ok(holds(disk, share, stem)?.then_some(stat)));
        let ours = match looked {
            Ok(Some(ours)) => ours,
            Err(error) if !is_absent(&error) => return Err(error),
            _ => continue,
        };
        match disk.rename(at, share, RenameMode::Exchange) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        if is_untouched(&disk.stat(at)?, &ours) {
            return Ok(true);
        }
        // Somebody wrote there while it was hashed: that goes back.
        disk.rename(at, share, RenameMode::Exchange)?;
        return Ok(false);
    }
    Ok(false)
}

/// The paths of the rows that this is the file or link of: several, if it has several names.
#[cold]
fn find_rows(store: &Store, stat: &Stat) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut found = Vec::new();
    store.walk(None, &mut |path, row| {
        let same = row.local.is_some_and(|local| {
            (local.inode, local.size, local.mtime) == (stat.inode, stat.size, stat.mtime)
        });
        if same {
            found.push(path.to_vec());
        }
        if found.len() < MAX_NAMES {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(found)
}

/// Whether a file or symlink holds the content that the first 64 digits of a name say.
pub(super) fn holds<D: Disk>(disk: &D, at: At<'_>, stem: &[u8]) -> io::Result<bool> {
    let stat = disk.stat(at)?;
    let is_it = |content: ContentId| stem.get(..64) == Some(content.to_string().as_bytes());
    if stat.kind == FileKind::Symlink {
        let text = blake3::hash(&disk.read_link(at)?);
        return Ok(is_it(ContentId(*text.as_bytes())));
    }
    if stat.kind != FileKind::File || stat.links > 1 {
        return Ok(false);
    }
    let file = match disk.open(at, false) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // Its mode is that of the entry already.
            disk.set_mode(at, stat.mode | PRIVATE)?;
            let file = disk.open(at, false);
            disk.set_mode(at, stat.mode)?;
            file?
        }
        file => file?,
    };
    let hashed = hash(file, stat.size, &mut |_, _| Ok(()))?;
    Ok(hashed.size == stat.size && is_it(hashed.content))
}

/// Hashes all of a file.
#[cold] // A start is to be small rather than fast.
pub(super) fn hash<F: DiskFile>(
    file: F,
    size: u64,
    mut recipe: &mut dyn FnMut(u32, &[u8]) -> io::Result<()>,
) -> io::Result<Hashed> {
    let mut job = HashJob::new(file, size);
    loop {
        if let Progress::Done(hashed) = job.step(SLICE, &mut recipe)? {
            return Ok(hashed);
        }
    }
}
