//! What planning asks of a path before a file is fetched for it.

use super::Peer;
use super::zips::MAX_MEMBER;
use crate::disk::{At, Disk, Place, is_absent};
use crate::store::{Pending, StoreError};
use proto_core::content::ContentId;
use proto_core::index::entry::Kind;

impl<D: Disk> Peer<D> {
    /// Whether a file is to land where nothing is or was, neither by our index nor by the disk: of most of many files no
    /// more need be known before their contents are fetched. The disk is not asked where nothing hints at a change that was not
    /// picked up yet: if there is one, a small file is fetched in vain, and found in the way when it lands.
    pub(super) fn is_new_file(&self, path: &[u8], pending: &Pending) -> Result<bool, StoreError> {
        if pending.entry.kind != Kind::File
            || self.store.get(path)?.is_some()
            || !self.may_fetch(path)?
        {
            return Ok(false);
        }
        let looks = self.plan.is_careful()
            || pending.entry.size > MAX_MEMBER
            || self.dirty.contains(path)
            || self.hashings.is_at(path)
            || self.errors.is_unread(path)
            || !self.scans.is_idle();
        if !looks {
            return Ok(true);
        }
        let at = At {
            place: Place::Share,
            path,
        };
        Ok(self.disk.stat(at).is_err_and(|error| is_absent(&error)))
    }

    /// Whether only the content keeps a file from landing: its parent is there and its path is as indexed.
    pub(super) fn may_fetch(&self, path: &[u8]) -> Result<bool, StoreError> {
        let Some(parent) = proto_core::path::parent(path) else {
            return Ok(true);
        };
        Ok(self
            .store
            .get(parent)?
            .is_some_and(|row| row.entry.kind == Kind::Directory))
    }

    /// Whether a content is being fetched or waits to be landed.
    pub(super) fn is_under_way(&self, content: ContentId) -> bool {
        self.transfers
            .iter()
            .any(|transfer| transfer.fetches(content))
            || self.landing.has(content)
    }

    pub(super) fn is_coming(&self, path: &[u8]) -> bool {
        self.transfers.iter().any(|transfer| transfer.path == path) || self.landing.has_path(path)
    }
}
