//! Picking up symlinks: followed, kept as such, or skipped (docs/operations.md, "Symlinks").

use super::Peer;
use super::pickup::Looked;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place, Stat, is_absent};
use crate::store::{Row, StoreError};
use crate::watch::scan::{Symlinks, fingerprint};
use proto_core::content::ContentId;
use proto_core::index::entry::{Kind, Timestamp};
use proto_core::index::reconcile::Found;
use proto_core::path::Escaped;
use std::io;

impl<D: Disk> Peer<D> {
    pub(super) fn look_at_symlink(
        &mut self,
        now: Now,
        dirty: &[u8],
        row: Option<&Row>,
        stat: &Stat,
    ) -> Result<Looked, StoreError> {
        let at = At {
            place: Place::Share,
            path: dirty,
        };
        let print = fingerprint(stat, true);
        let kept = row.filter(|row| row.entry.kind == Kind::Symlink);
        if kept.is_some_and(|row| row.local == Some(print)) {
            return Ok(Looked::Done);
        }
        if kept.is_some() || self.config.symlinks == Symlinks::Keep {
            let target = match self.disk.read_link(at) {
                Ok(target) => target,
                Err(error) => return Ok(self.look_failed(now, dirty, &error)),
            };
            // One that came as a link stays one, whatever is done with links here.
            if self.config.symlinks == Symlinks::Keep
                || kept.is_some_and(|row| row.target == target)
            {
                let state = Found {
                    kind: Kind::Symlink,
                    mode: 0,
                    size: 0,
                    mtime: Timestamp::default(),
                    content: ContentId(*blake3::hash(&target).as_bytes()),
                };
                self.record(now, dirty, row, state, target, Some(print))?;
                return Ok(Looked::Done);
            }
        }
        let target = self.disk.open(at, true).and_then(|file| file.stat());
        match (self.config.symlinks, target) {
            (Symlinks::Follow, Ok(target)) => self.look_at_file(now, dirty, row, &target, true),
            (_, Ok(target)) => {
                let known = row.is_some_and(|row| row.local == Some(fingerprint(&target, true)));
                if known {
                    return Ok(Looked::Done);
                }
                self.link_is_not_shared(now, dirty, row, "a link, and links are skipped here")
            }
            (_, Err(error)) => {
                let what = format!("a link to nothing that can be shared ({error})");
                self.link_is_not_shared(now, dirty, row, &what)
            }
        }
    }

    /// There is a link that is not shared: what was there before it is gone. But not if that came
    /// through the link itself: what it led to may be back soon.
    fn link_is_not_shared(
        &mut self,
        now: Now,
        dirty: &[u8],
        row: Option<&Row>,
        what: &str,
    ) -> Result<Looked, StoreError> {
        match row.filter(|row| row.entry.kind != Kind::Tombstone) {
            None => self.skipped.note(dirty, format_args!("{what}")),
            Some(row) if is_followed(row) => {
                let path = Escaped(dirty);
                let sentence = format!(
                    "{path} is {what}, but was shared: bring back what it led to, or remove it"
                );
                self.errors.set_unread(dirty, sentence);
                return Ok(Looked::Later);
            }
            Some(row) => self.record_deletion(now, dirty, row)?,
        }
        Ok(Looked::Done)
    }

    /// Whether a symlink at a path is shared, as itself or as what it leads to.
    pub(super) fn is_link_shared(&self, at: At<'_>) -> io::Result<bool> {
        match self.config.symlinks {
            Symlinks::Keep => Ok(true),
            Symlinks::Skip => Ok(false),
            Symlinks::Follow => match self.disk.open(at, true) {
                Ok(_) => Ok(true),
                Err(error) if is_absent(&error) => Ok(false),
                Err(error) => match error.kind() {
                    // It leads to a folder or the like, in a circle, or to what is not for us.
                    io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied => Ok(false),
                    _ => Err(error),
                },
            },
        }
    }
}

/// Whether a row is of a file that a symlink led to.
pub(super) fn is_followed(row: &Row) -> bool {
    row.entry.kind == Kind::File && row.local.is_some_and(|local| local.link)
}
