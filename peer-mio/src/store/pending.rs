//! Changes that were told and are not landed yet, in tree order.

use super::entries::content_of;
use super::error::StoreError;
use super::open_tables::Changing;
use super::row::Pending;
use super::tables::{Table, below, content_key, path_of, tree_key};
use super::{Store, unreadable};
use proto_core::content::ContentId;
use proto_core::content::cut::SMALLEST_CHUNK;
use redb::{AccessGuard, StorageError};
use std::ops::Bound;

/// What a range over the pending table gives.
type Record<'a> = Result<
    (
        AccessGuard<'a, &'static [u8]>,
        AccessGuard<'a, &'static [u8]>,
    ),
    StorageError,
>;

/// Records that [`PendingWalk`] reads at once.
const AHEAD: usize = 32;

/// A walk over the pending changes in tree order, which reads ahead as long as nothing changes.
#[derive(Debug, Default)]
pub struct PendingWalk {
    ahead: std::vec::IntoIter<(Vec<u8>, Pending)>,
    revision: u64,
}

impl PendingWalk {
    /// The first one, or the first one after a path: that of the call before.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn next(
        &mut self,
        store: &Store,
        after: Option<&[u8]>,
    ) -> Result<Option<(Vec<u8>, Pending)>, StoreError> {
        if self.revision != store.revision || self.ahead.as_slice().is_empty() {
            self.ahead = store.pending_after(after, AHEAD)?.into_iter();
            self.revision = store.revision;
        }
        Ok(self.ahead.next())
    }
}

impl Store {
    /// The pending change of a path.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn pending(&self, path: &[u8]) -> Result<Option<Pending>, StoreError> {
        self.pending_at(&tree_key(path)?)
    }

    fn pending_at(&self, key: &[u8]) -> Result<Option<Pending>, StoreError> {
        let view = self.view(Table::Pending)?;
        decode(view.get(key)?)
    }

    /// Puts a pending change in the place of the path's old one.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn put_pending(&mut self, path: &[u8], pending: &Pending) -> Result<(), StoreError> {
        let key = tree_key(path)?;
        self.pending_undurable = true;
        let is_new = self.change(|changing| {
            let table = changing.table(Table::Pending)?;
            let before = decode(table.insert(key.as_slice(), pending.encode().as_slice())?)?;
            want(changing, &key, before.as_ref(), Some(pending))?;
            Ok(before.is_none())
        })?;
        if is_new {
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
        if self.writing.is_none() && self.pending_at(&key)?.is_none() {
            return Ok(());
        }
        let was_there = self.change(|changing| {
            let table = changing.table(Table::Pending)?;
            let before = decode(table.remove(key.as_slice())?)?;
            want(changing, &key, before.as_ref(), None)?;
            Ok(before.is_some())
        })?;
        if was_there {
            self.counters.pending = self.counters.pending.saturating_sub(1);
        }
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
        Ok(self.pending_after(after, 1)?.into_iter().next())
    }

    fn pending_after(
        &self,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<(Vec<u8>, Pending)>, StoreError> {
        let after = after.map(tree_key).transpose()?;
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let view = self.view(Table::Pending)?;
        let found = view.range((start, Bound::Unbounded))?.take(most);
        found.map(read).collect()
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
        let view = self.view(Table::Pending)?;
        let found = view.range((Bound::Unbounded, end))?.next_back();
        found.map(read).transpose()
    }

    /// Whether a change is pending anywhere below a directory.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn has_pending_below(&self, directory: &[u8]) -> Result<bool, StoreError> {
        let (first, end) = below(directory)?;
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let view = self.view(Table::Pending)?;
        let found = view
            .range((Bound::Included(first.as_slice()), end))?
            .next()
            .transpose()?;
        Ok(found.is_some())
    }

    /// Whether a pending file that is long enough for a recipe has this content.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn pending_wants(&self, content: ContentId) -> Result<bool, StoreError> {
        let view = self.view(Table::Wanted)?;
        let found = view
            .range((Bound::Included(content.0.as_slice()), Bound::Unbounded))?
            .next()
            .transpose()?;
        Ok(found.is_some_and(|(key, _)| key.value().starts_with(&content.0)))
    }
}

fn decode(value: Option<AccessGuard<'_, &'static [u8]>>) -> Result<Option<Pending>, StoreError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let pending = Pending::decode(value.value()).ok_or_else(|| unreadable("pending"))?;
    Ok(Some(pending))
}

fn read(record: Record<'_>) -> Result<(Vec<u8>, Pending), StoreError> {
    let (key, value) = record?;
    let pending = Pending::decode(value.value()).ok_or_else(|| unreadable("pending"))?;
    Ok((path_of(key.value()), pending))
}

/// Lists a path under the content that it now waits for instead of the old one.
fn want(
    changing: &mut Changing<'_, '_>,
    key: &[u8],
    before: Option<&Pending>,
    after: Option<&Pending>,
) -> Result<(), StoreError> {
    // Only those whose recipe may be here: others would cost two records in no order for each small file.
    let content = |pending: &Pending| {
        let has_recipe = pending.entry.size > u64::from(SMALLEST_CHUNK);
        content_of(&pending.entry).filter(|_| has_recipe)
    };
    let (old, new) = (before.and_then(content), after.and_then(content));
    if old == new {
        return Ok(());
    }
    let wanted = changing.table(Table::Wanted)?;
    if let Some(old) = old {
        wanted.remove(content_key(old, key).as_slice())?;
    }
    if let Some(new) = new {
        wanted.insert(content_key(new, key).as_slice(), [].as_slice())?;
    }
    Ok(())
}
