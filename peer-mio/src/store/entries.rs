//! Entries by path, by sequence and by content: three tables that always agree.

use super::schema::{CONTENTS, ENTRIES, JOURNAL, below, path_of, tree_key};
use super::{BATCH, Fingerprint, Row, Store, StoreError, Totals};
use proto_core::content::ContentId;
use proto_core::index::conflict::is_conflict_name;
use proto_core::index::entry::{Entry, Kind, Sequence};
use std::ops::{Bound, ControlFlow};

/// Content id and tree key as one key.
pub(super) fn content_key(content: ContentId, tree_key: &[u8]) -> Vec<u8> {
    [content.0.as_slice(), tree_key].concat()
}

fn is_conflict(path: &[u8]) -> bool {
    is_conflict_name(proto_core::path::name(path))
}

fn count(totals: &mut Totals, path: &[u8], entry: &Entry, by: impl Fn(&mut u64, u64)) {
    match entry.kind {
        Kind::File => {
            by(&mut totals.files, 1);
            by(&mut totals.bytes, entry.size);
            by(&mut totals.conflicts, u64::from(is_conflict(path)));
        }
        Kind::Tombstone => by(&mut totals.tombstones, 1),
        Kind::Directory | Kind::Symlink => {}
    }
}

impl Store {
    /// What the index says of a path.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn get(&self, path: &[u8]) -> Result<Option<Row>, StoreError> {
        self.read(ENTRIES, &tree_key(path))?
            .map(|bytes| Row::decode(&bytes))
            .transpose()
    }

    /// Sets what the index says of a path and gives it the next sequence, which is returned.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn put(&mut self, path: &[u8], mut row: Row) -> Result<Sequence, StoreError> {
        let key = tree_key(path);
        self.unlink(path, &key)?;
        let sequence = self.next_sequence();
        row.entry.sequence = sequence;
        self.write(ENTRIES, &key, &row.encode())?;
        self.write(JOURNAL, &sequence.to_be_bytes(), &key)?;
        if row.entry.kind == Kind::File {
            self.write(CONTENTS, &content_key(row.entry.content, &key), &[])?;
        }
        self.counters.sequence = sequence;
        count(&mut self.counters.totals, path, &row.entry, |total, by| {
            *total = total.saturating_add(by);
        });
        Ok(sequence)
    }

    /// Takes a path's old row out of the other tables and the totals.
    fn unlink(&mut self, path: &[u8], key: &[u8]) -> Result<(), StoreError> {
        let Some(old) = self.get(path)? else {
            return Ok(());
        };
        self.remove(JOURNAL, &old.entry.sequence.to_be_bytes())?;
        if old.entry.kind == Kind::File {
            self.remove(CONTENTS, &content_key(old.entry.content, key))?;
        }
        count(&mut self.counters.totals, path, &old.entry, |total, by| {
            *total = total.saturating_sub(by);
        });
        Ok(())
    }

    /// Sets only the fingerprint: no change that others need to know.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn set_fingerprint(&mut self, path: &[u8], local: Fingerprint) -> Result<(), StoreError> {
        if let Some(row) = self.get(path)? {
            self.write(
                ENTRIES,
                &tree_key(path),
                &Row {
                    local: Some(local),
                    ..row
                }
                .encode(),
            )?;
        }
        Ok(())
    }

    /// Forgets a path for good.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn forget(&mut self, path: &[u8]) -> Result<(), StoreError> {
        let key = tree_key(path);
        self.unlink(path, &key)?;
        self.remove(ENTRIES, &key)?;
        Ok(())
    }

    /// Visits rows in tree order, strictly after a path.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn walk(
        &self,
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut last = after.map(tree_key);
        loop {
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let rows = self.range(ENTRIES, (from, Bound::Unbounded), BATCH, false)?;
            for (key, value) in &rows {
                if visit(&path_of(key), &Row::decode(value)?).is_break() {
                    return Ok(());
                }
            }
            match rows.into_iter().last() {
                Some((key, _)) => last = Some(key),
                None => return Ok(()),
            }
        }
    }

    /// Whether anything live is below a directory.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn has_live_below(&self, directory: &[u8]) -> Result<bool, StoreError> {
        let mut live = false;
        self.walk(Some(directory), &mut |path, row| {
            if !proto_core::path::is_below(path, directory) {
                return ControlFlow::Break(());
            }
            live = row.entry.kind != Kind::Tombstone;
            if live {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(live)
    }

    /// Visits rows in the order of their sequences, after one.
    ///
    /// # Errors
    /// `Failed`, `Damaged`.
    pub fn journal(
        &self,
        after: Sequence,
        visit: &mut dyn FnMut(Sequence, &[u8], &Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut last = after.to_be_bytes().to_vec();
        loop {
            let rows = self.range(
                JOURNAL,
                (Bound::Excluded(&last), Bound::Unbounded),
                BATCH,
                false,
            )?;
            for (number, key) in &rows {
                let path = path_of(key);
                let row = self.get(&path)?.ok_or_else(|| {
                    StoreError::Damaged("the journal names a path without a row".to_owned())
                })?;
                let sequence = number.as_slice().try_into().map_or(0, u64::from_be_bytes);
                if visit(sequence, &path, &row).is_break() {
                    return Ok(());
                }
            }
            match rows.into_iter().last() {
                Some((number, _)) => last = number,
                None => return Ok(()),
            }
        }
    }

    /// Visits the paths of live files with a content.
    ///
    /// # Errors
    /// `Failed`.
    pub fn paths_of(
        &self,
        content: ContentId,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut last = content_key(content, &[]);
        loop {
            let rows = self.range(
                CONTENTS,
                (Bound::Excluded(&last), Bound::Unbounded),
                BATCH,
                false,
            )?;
            for (key, _) in &rows {
                let Some(key) = key.strip_prefix(&content.0) else {
                    return Ok(());
                };
                if visit(&path_of(key)).is_break() {
                    return Ok(());
                }
            }
            match rows.into_iter().last() {
                Some((key, _)) => last = key,
                None => return Ok(()),
            }
        }
    }

    /// Whether a live file has this content.
    pub(super) fn is_live_content(&self, content: ContentId) -> Result<bool, StoreError> {
        let first = content_key(content, &[]);
        let rows = self.range(
            CONTENTS,
            (Bound::Excluded(&first), Bound::Unbounded),
            1,
            false,
        )?;
        Ok(rows
            .first()
            .is_some_and(|(key, _)| key.starts_with(&content.0)))
    }

    /// Whether a key of `table` is below a directory.
    pub(super) fn has_key_below(
        &self,
        table: super::Table,
        directory: &[u8],
    ) -> Result<bool, StoreError> {
        let (first, behind) = below(directory);
        Ok(!self
            .range(
                table,
                (Bound::Included(&first), Bound::Excluded(&behind)),
                1,
                false,
            )?
            .is_empty())
    }
}
