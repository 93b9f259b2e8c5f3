//! What start-up does with what it finds in `download/` (docs/architecture.md, "Landing").

use super::trash::move_to_trash;
use crate::clock::Now;
use crate::disk::{At, Disk, FileKind, Place, RenameMode};
use crate::jobs::Progress;
use crate::jobs::hash::HashJob;
use std::io;

/// Bytes hashed at once.
const SLICE: usize = 16 * 1024 * 1024;

/// Puts `download/` in order: a `.land` file is either a content that was about to land, then it
/// becomes `.part` again, or what a user had at the path and was swapped out, then it goes to the
/// trash. Anything else but `.part` is left alone.
pub fn recover_downloads<D: Disk>(disk: &D, now: Now) -> io::Result<()> {
    for name in disk.list(At {
        place: Place::Download,
        path: b"",
    })? {
        let Some(stem) = name.strip_suffix(b".land") else {
            continue;
        };
        let at = At {
            place: Place::Download,
            path: &name,
        };
        if is_content(disk, at, stem)? {
            let part = [stem, b".part"].concat();
            disk.rename(
                at,
                At {
                    place: Place::Download,
                    path: &part,
                },
                RenameMode::Replace,
            )?;
        } else {
            let kept = move_to_trash(disk, now, at, &name)?;
            log::warn!(
                "a change was interrupted while it was landing: what it replaced is in the trash as {}",
                String::from_utf8_lossy(&kept)
            );
        }
    }
    Ok(())
}

/// Whether a file holds the content that the first 64 digits of its name say.
fn is_content<D: Disk>(disk: &D, at: At<'_>, stem: &[u8]) -> io::Result<bool> {
    let stat = disk.stat(at)?;
    if stat.kind != FileKind::File || stat.links > 1 {
        return Ok(false);
    }
    let mut job = HashJob::new(disk.open(at, false)?, stat.size);
    loop {
        match job.step(SLICE, &mut |_, _| Ok(()))? {
            Progress::More => {}
            Progress::Done(hashed) => {
                return Ok(stem.get(..64) == Some(hashed.content.to_string().as_bytes()));
            }
        }
    }
}
