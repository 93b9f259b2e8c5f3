//! Picking up symlinks: followed, kept as such, or skipped (docs/operations.md, "Symlinks").

use super::Peer;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place, Stat};
use crate::store::{Row, StoreError};
use crate::watch::scan::{Symlinks, fingerprint};
use proto_core::content::ContentId;
use proto_core::index::entry::{Kind, Timestamp};
use proto_core::index::reconcile::Found;
use proto_core::path;

impl<D: Disk> Peer<D> {
    pub(super) fn look_at_symlink(
        &mut self,
        now: Now,
        dirty: &[u8],
        row: Option<&Row>,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        let at = At {
            place: Place::Share,
            path: dirty,
        };
        let print = fingerprint(stat, true);
        if row.is_some_and(|row| row.entry.kind == Kind::Symlink && row.local == Some(print)) {
            return Ok(());
        }
        match self.config.symlinks {
            Symlinks::Skip => Ok(()),
            Symlinks::Keep => {
                let target = match self.disk.read_link(at) {
                    Ok(target) => target,
                    Err(error) => {
                        self.look_failed(now, dirty, &error);
                        return Ok(());
                    }
                };
                let content = ContentId(*blake3::hash(&target).as_bytes());
                let state = Found {
                    kind: Kind::Symlink,
                    mode: 0,
                    size: 0,
                    mtime: Timestamp::default(),
                    content,
                };
                self.record(now, dirty, row, state, target, Some(print))
            }
            Symlinks::Follow => match self.disk.open(at, true).and_then(|file| file.stat()) {
                Ok(target) => self.look_at_file(now, dirty, row, &target, true),
                Err(error) => {
                    log::info!(
                        "{} is a link to nothing that can be shared ({error}): skipped",
                        path::Escaped(dirty)
                    );
                    Ok(())
                }
            },
        }
    }
}
