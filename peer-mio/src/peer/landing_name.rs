//! The name in `download/` from which something lands. What was at its path may be there after an
//! exchange that could not be undone, so nothing there is ever replaced or taken for ours unseen.

use super::Peer;
use super::landed_as::is_untouched;
use super::trash::move_to_trash;
use crate::clock::Now;
use crate::disk::{At, Disk, Place, Stat, is_absent};
use proto_core::path::Escaped;
use std::io;

/// Name of a content that is just being landed, in `download/`: `X.part` becomes `X.land`.
pub(super) fn land_name(part: &[u8]) -> Vec<u8> {
    let mut name = part.strip_suffix(b".part").unwrap_or(part).to_vec();
    name.extend_from_slice(b".land");
    name
}

impl<D: Disk> Peer<D> {
    /// Makes the name `at` with `make`, which fails if it is taken. What an earlier landing left there goes to the
    /// trash as `path`.
    pub(super) fn take_landing_name(
        &self,
        now: Now,
        at: At<'_>,
        path: &[u8],
        make: impl Fn(&D) -> io::Result<()>,
    ) -> io::Result<()> {
        match make(&self.disk) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let kept = move_to_trash(&self.disk, now, at, path)?;
                log::warn!(
                    "an earlier change could not be undone: what it replaced is in the trash as {}",
                    Escaped(&kept)
                );
                make(&self.disk)
            }
            made => made,
        }
    }

    /// After a landing of `path` that failed: whether what was `readied` is at `at` again. Anything else there is
    /// a user's that could not go back, and goes to the trash.
    pub(super) fn is_ours_again(&self, now: Now, at: At<'_>, readied: &Stat, path: &[u8]) -> bool {
        let kept = match self.disk.stat(at) {
            Ok(stat) if is_untouched(&stat, readied) => return true,
            Ok(_) => move_to_trash(&self.disk, now, at, path).map(drop),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            log::warn!(
                "what was at {} is left in download/ as {}: {error}",
                Escaped(path),
                Escaped(at.path)
            );
        }
        false
    }
}

/// A name in `download/`.
pub(super) fn in_download(name: &[u8]) -> At<'_> {
    At {
        place: Place::Download,
        path: name,
    }
}
