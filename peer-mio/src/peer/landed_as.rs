//! After a landing: what is at the path now is what landed, or a user has been there already.

use super::Peer;
use super::pickup::{is_racy, never_matching};
use crate::clock::Now;
use crate::disk::{At, Disk, FileKind, Place, Stat};
use crate::store::Fingerprint;
use crate::watch::dirty::{SECOND_LOOK, SETTLED_PAUSE};
use crate::watch::scan::fingerprint;

/// Whether a file is the one that it was, untouched: all but its name and ctime, which a rename changes.
pub(super) fn is_untouched(now: &Stat, before: &Stat) -> bool {
    now.kind == before.kind
        && now.inode == before.inode
        && now.size == before.size
        && now.mtime == before.mtime
        && now.mode == before.mode
}

impl<D: Disk> Peer<D> {
    /// The fingerprint of what has just landed at a path. `None` if it is not any more what it was:
    /// somebody wrote to it since. Then the path is dirty, and what is there is picked up as a change
    /// on top of what landed.
    pub(super) fn landed_as(
        &mut self,
        now: Now,
        path: &[u8],
        link: bool,
        as_it_was: impl Fn(&Stat) -> bool,
    ) -> Option<Fingerprint> {
        let at = At {
            place: Place::Share,
            path,
        };
        let stat = self.disk.stat(at).ok();
        self.known_as(now, path, link, stat, as_it_was)
    }

    /// The same of what is known to be at the path, or was a moment ago.
    pub(super) fn known_as(
        &mut self,
        now: Now,
        path: &[u8],
        link: bool,
        stat: Option<Stat>,
        as_it_was: impl Fn(&Stat) -> bool,
    ) -> Option<Fingerprint> {
        match stat {
            // So fresh that a user's write within this tick may have left it the same time.
            Some(stat)
                if as_it_was(&stat) && stat.kind == FileKind::File && is_racy(now, stat.mtime) =>
            {
                self.dirty.mark_if_clean(now.mono, path, SECOND_LOOK);
                Some(never_matching(fingerprint(&stat, link)))
            }
            Some(stat) if as_it_was(&stat) => Some(fingerprint(&stat, link)),
            _ => {
                self.dirty.mark_if_clean(now.mono, path, SETTLED_PAUSE);
                None
            }
        }
    }
}
