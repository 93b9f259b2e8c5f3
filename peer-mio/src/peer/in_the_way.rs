//! What is at a path before something lands there: what the index says, or a change not picked up yet.

use super::Peer;
use super::land::NotLanded;
use super::pickup_links::is_followed;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, Stat, is_absent};
use crate::store::{Fingerprint, Row};
use crate::watch::dirty::SETTLED_PAUSE;
use crate::watch::scan::fingerprint;
use proto_core::index::entry::Kind;

/// What is at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum There {
    /// What the index says; nothing, if it says nothing.
    AsIndexed,
    /// A symlink that is not shared: it leads to nothing, or links are skipped.
    UnsharedLink,
}

impl<D: Disk> Peer<D> {
    /// The path must hold just what the index says: what is there may be a change that nobody has
    /// picked up yet. What is never shared makes way if it is a link.
    pub(super) fn still_as_indexed(
        &mut self,
        now: Now,
        path: &[u8],
        row: Option<&Row>,
    ) -> Result<There, NotLanded> {
        if self.hashings.is_at(path) {
            return Err(NotLanded::Blocked);
        }
        let at = At {
            place: Place::Share,
            path,
        };
        let stat = match self.disk.stat(at) {
            Ok(stat) => Some(stat),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(error.into()),
        };
        let same = match (&stat, row) {
            (None, None) => true,
            (Some(stat), Some(row)) => match row.entry.kind {
                Kind::Directory => stat.kind == FileKind::Directory,
                // What a power cut may have changed under the same fingerprint is hashed first.
                _ if self.recheck.doubts(row) => false,
                _ => row
                    .local
                    .is_some_and(|local| self.matches(path, stat, &local)),
            },
            _ => false,
        };
        if same {
            return Ok(There::AsIndexed);
        }
        match stat.map(|stat| stat.kind) {
            Some(FileKind::Symlink)
                if row.is_none_or(is_followed) && !self.is_link_shared(at)? =>
            {
                return Ok(There::UnsharedLink);
            }
            Some(FileKind::Other) if row.is_none() => {
                return Err(NotLanded::InTheWay("a socket, fifo or device"));
            }
            _ => {}
        }
        self.dirty.mark_if_clean(now.mono, path, SETTLED_PAUSE);
        Err(NotLanded::Changed)
    }

    fn matches(&self, path: &[u8], stat: &Stat, local: &Fingerprint) -> bool {
        match stat.kind {
            FileKind::File => fingerprint(stat, false) == *local,
            FileKind::Symlink if !local.link => false,
            // A kept link is known by itself, a followed one by what it leads to.
            FileKind::Symlink => {
                fingerprint(stat, true) == *local
                    || self
                        .disk
                        .open(
                            At {
                                place: Place::Share,
                                path,
                            },
                            true,
                        )
                        .and_then(|file| file.stat())
                        .is_ok_and(|target| fingerprint(&target, true) == *local)
            }
            _ => false,
        }
    }
}
