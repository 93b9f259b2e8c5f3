//! What is pending, by path.

use super::entries::content_key;
use super::schema::{PENDING, PENDING_CONTENTS, path_of, tree_key};
use super::{Pending, Store, StoreError};
use proto_core::content::ContentId;
use proto_core::index::entry::Kind;
use std::ops::Bound;

impl Store {
    /// What is pending at a path.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn pending(&self, path: &[u8]) -> Result<Option<Pending>, StoreError> {
        self.read(PENDING, &tree_key(path))?
            .map(|bytes| Pending::decode(&bytes))
            .transpose()
    }

    /// Sets what is pending at a path.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn put_pending(&mut self, path: &[u8], pending: &Pending) -> Result<(), StoreError> {
        self.remove_pending(path)?;
        let key = tree_key(path);
        self.write(PENDING, &key, &pending.encode())?;
        if pending.entry.kind == Kind::File {
            self.write(
                PENDING_CONTENTS,
                &content_key(pending.entry.content, &key),
                &[],
            )?;
        }
        self.counters.pending += 1;
        Ok(())
    }

    /// Nothing is pending at a path any more.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn remove_pending(&mut self, path: &[u8]) -> Result<(), StoreError> {
        let Some(old) = self.pending(path)? else {
            return Ok(());
        };
        let key = tree_key(path);
        self.remove(PENDING, &key)?;
        if old.entry.kind == Kind::File {
            self.remove(PENDING_CONTENTS, &content_key(old.entry.content, &key))?;
        }
        self.counters.pending = self.counters.pending.saturating_sub(1);
        Ok(())
    }

    /// How many entries are pending.
    #[must_use]
    pub fn pending_len(&self) -> u64 {
        self.counters.pending
    }

    /// The first pending entry strictly after a path, in tree order.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn next_pending(
        &self,
        after: Option<&[u8]>,
    ) -> Result<Option<(Vec<u8>, Pending)>, StoreError> {
        let after = after.map(tree_key);
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.one_pending((from, Bound::Unbounded), false)
    }

    /// The last pending entry strictly before a path, in tree order.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn previous_pending(
        &self,
        before: Option<&[u8]>,
    ) -> Result<Option<(Vec<u8>, Pending)>, StoreError> {
        let before = before.map(tree_key);
        let to = before.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.one_pending((Bound::Unbounded, to), true)
    }

    fn one_pending(
        &self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        backwards: bool,
    ) -> Result<Option<(Vec<u8>, Pending)>, StoreError> {
        let row = self.range(PENDING, range, 1, backwards)?.pop();
        row.map(|(key, value)| Ok((path_of(&key), Pending::decode(&value)?)))
            .transpose()
    }

    /// Whether anything is pending below a directory.
    ///
    /// # Errors
    /// `Failed`.
    pub fn has_pending_below(&self, directory: &[u8]) -> Result<bool, StoreError> {
        self.has_key_below(PENDING, directory)
    }

    /// Whether a pending file has this content.
    pub(super) fn is_pending_content(&self, content: ContentId) -> Result<bool, StoreError> {
        let first = content_key(content, &[]);
        let rows = self.range(
            PENDING_CONTENTS,
            (Bound::Excluded(&first), Bound::Unbounded),
            1,
            false,
        )?;
        Ok(rows
            .first()
            .is_some_and(|(key, _)| key.starts_with(&content.0)))
    }
}
