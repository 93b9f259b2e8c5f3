//! Changes that were told and are not landed yet, in tree order.

use super::entries::content_of;
use super::error::StoreError;
use super::row::Pending;
use super::tables::{PENDING, WANTED, below, content_key, path_of, tree_key};
use super::{Store, unreadable};
use proto_core::content::ContentId;
use redb::{AccessGuard, StorageError, WriteTransaction};
use std::ops::Bound;

/// What a range over the pending table gives.
type Record<'a> = Result<
    (
        AccessGuard<'a, &'static [u8]>,
        AccessGuard<'a, &'static [u8]>,
    ),
    StorageError,
>;

impl Store {
    /// The pending change of a path.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn pending(&self, path: &[u8]) -> Result<Option<Pending>, StoreError> {
        self.pending_at(&tree_key(path)?)
    }

    fn pending_at(&self, key: &[u8]) -> Result<Option<Pending>, StoreError> {
        let view = self.view(PENDING)?;
        let Some(value) = view.get(key)? else {
            return Ok(None);
        };
        Pending::decode(value.value())
            .map(Some)
            .ok_or_else(|| unreadable("pending"))
    }

    /// Puts a pending change in the place of the path's old one.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn put_pending(&mut self, path: &[u8], pending: &Pending) -> Result<(), StoreError> {
        let key = tree_key(path)?;
        let before = self.pending_at(&key)?;
        self.pending_undurable = true;
        self.change(|transaction| {
            transaction
                .open_table(PENDING)?
                .insert(key.as_slice(), pending.encode().as_slice())?;
            want(transaction, &key, before.as_ref(), Some(pending))
        })?;
        if before.is_none() {
            self.counters.pending = self.counters.pending.saturating_add(1);
        }
        Ok(())
    }

    /// Drops the pending change of a path; nothing if there is none.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn remove_pending(&mut self, path: &[u8]) -> Result<(), StoreError> {
        let key = tree_key(path)?;
        let Some(before) = self.pending_at(&key)? else {
            return Ok(());
        };
        self.change(|transaction| {
            transaction.open_table(PENDING)?.remove(key.as_slice())?;
            want(transaction, &key, Some(&before), None)
        })?;
        self.counters.pending = self.counters.pending.saturating_sub(1);
        Ok(())
    }

    /// How many changes are pending.
    #[must_use]
    pub fn pending_len(&self) -> u64 {
        self.counters.pending
    }

    /// The first pending change in tree order, or the first one after a path.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn next_pending(
        &self,
        after: Option<&[u8]>,
    ) -> Result<Option<(Vec<u8>, Pending)>, StoreError> {
        let after = after.map(tree_key).transpose()?;
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let view = self.view(PENDING)?;
        let found = view.range((start, Bound::Unbounded))?.next();
        read(found)
    }

    /// The last pending change in tree order, or the last one before a path.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn previous_pending(
        &self,
        before: Option<&[u8]>,
    ) -> Result<Option<(Vec<u8>, Pending)>, StoreError> {
        let before = before.map(tree_key).transpose()?;
        let end = before.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let view = self.view(PENDING)?;
        let found = view.range((Bound::Unbounded, end))?.next_back();
        read(found)
    }

    /// Whether a change is pending anywhere below a directory.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn has_pending_below(&self, directory: &[u8]) -> Result<bool, StoreError> {
        let (first, end) = below(directory)?;
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let view = self.view(PENDING)?;
        let found = view
            .range((Bound::Included(first.as_slice()), end))?
            .next()
            .transpose()?;
        Ok(found.is_some())
    }

    /// Whether a pending file has this content.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn pending_wants(&self, content: ContentId) -> Result<bool, StoreError> {
        let view = self.view(WANTED)?;
        let found = view
            .range((Bound::Included(content.0.as_slice()), Bound::Unbounded))?
            .next()
            .transpose()?;
        Ok(found.is_some_and(|(key, _)| key.value().starts_with(&content.0)))
    }
}

fn read(record: Option<Record<'_>>) -> Result<Option<(Vec<u8>, Pending)>, StoreError> {
    let Some((key, value)) = record.transpose()? else {
        return Ok(None);
    };
    let pending = Pending::decode(value.value()).ok_or_else(|| unreadable("pending"))?;
    Ok(Some((path_of(key.value()), pending)))
}

/// Lists a path under the content that it now waits for instead of the old one.
fn want(
    transaction: &WriteTransaction,
    key: &[u8],
    before: Option<&Pending>,
    after: Option<&Pending>,
) -> Result<(), StoreError> {
    let content = |pending: &Pending| content_of(&pending.entry);
    let (old, new) = (before.and_then(content), after.and_then(content));
    if old == new {
        return Ok(());
    }
    let mut wanted = transaction.open_table(WANTED)?;
    if let Some(old) = old {
        wanted.remove(content_key(old, key).as_slice())?;
    }
    if let Some(new) = new {
        wanted.insert(content_key(new, key).as_slice(), [].as_slice())?;
    }
    Ok(())
}
