//! Rows: by path, in tree order, in the order of their sequences, and by content.

use super::error::StoreError;
use super::open_tables::Changing;
use super::row::{Fingerprint, Row, Run};
use super::tables::{Table, below, content_key, number_key, number_of, path_of, tree_key};
use super::{BATCH, Store, unreadable};
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, Kind, Sequence};
use redb::AccessGuard;
use std::ops::{Bound, ControlFlow};

/// Sees the records of the journal: sequence, path and row. It may read the store.
pub type JournalVisitor<'a> = dyn FnMut(Sequence, &[u8], &Row) -> ControlFlow<()> + 'a;

impl Store {
    /// The row of a path.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn get(&self, path: &[u8]) -> Result<Option<Row>, StoreError> {
        self.row(&tree_key(path)?)
    }

    fn row(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let view = self.view(Table::Rows)?;
        let Some(value) = view.get(key)? else {
            return Ok(None);
        };
        Row::decode(value.value())
            .map(Some)
            .ok_or_else(|| unreadable("rows"))
    }

    /// Gives the row the next sequence, which is returned, and puts it in the place of the path's
    /// old one.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn put(&mut self, path: &[u8], mut row: Row) -> Result<Sequence, StoreError> {
        let key = tree_key(path)?;
        let sequence = self.next_sequence();
        if sequence == self.sequence() {
            return Err(StoreError::Failed("out of sequences".to_owned()));
        }
        row.entry.sequence = sequence;
        let before = self.change(|changing| {
            let rows = changing.table(Table::Rows)?;
            let before = entry_of(rows.insert(key.as_slice(), row.encode().as_slice())?)?;
            relist(changing, &key, before.as_ref(), Some(&row.entry))?;
            Ok(before)
        })?;
        self.counters.sequence = sequence;
        if let Some(before) = &before {
            self.counters.remove(path, before);
        }
        self.counters.add(path, &row.entry);
        Ok(sequence)
    }

    /// What the file looks like here now; nothing that others need to know, so the row keeps its
    /// sequence. A path without a row stays without one.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn set_fingerprint(
        &mut self,
        path: &[u8],
        local: Fingerprint,
        run: Run,
    ) -> Result<(), StoreError> {
        let key = tree_key(path)?;
        let Some(mut row) = self.row(&key)? else {
            return Ok(());
        };
        row.local = Some(local);
        row.run = run;
        self.change(|changing| {
            let rows = changing.table(Table::Rows)?;
            rows.insert(key.as_slice(), row.encode().as_slice())?;
            Ok(())
        })
    }

    /// Drops the row of a path, as if there had never been one.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn forget(&mut self, path: &[u8]) -> Result<(), StoreError> {
        let key = tree_key(path)?;
        let Some(row) = self.row(&key)? else {
            return Ok(());
        };
        self.change(|changing| {
            changing.table(Table::Rows)?.remove(key.as_slice())?;
            relist(changing, &key, Some(&row.entry), None)
        })?;
        self.counters.remove(path, &row.entry);
        Ok(())
    }

    /// Visits all rows in tree order, those after a path only if one is given. The visitor may read
    /// the store.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn walk(
        &self,
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut after = after.map(tree_key).transpose()?;
        loop {
            let batch = self.rows_after(after.as_deref())?;
            for (key, row) in &batch {
                if visit(&path_of(key), row).is_break() {
                    return Ok(());
                }
            }
            if batch.len() < BATCH {
                return Ok(());
            }
            after = batch.into_iter().next_back().map(|(key, _)| key);
        }
    }

    fn rows_after(&self, after: Option<&[u8]>) -> Result<Vec<(Vec<u8>, Row)>, StoreError> {
        let view = self.view(Table::Rows)?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut batch = Vec::new();
        for record in view.range((start, Bound::Unbounded))?.take(BATCH) {
            let (key, value) = record?;
            let row = Row::decode(value.value()).ok_or_else(|| unreadable("rows"))?;
            batch.push((key.value().to_vec(), row));
        }
        Ok(batch)
    }

    /// Visits the rows of all that is below a directory, at any depth, in tree order; for the empty
    /// path all rows. The visitor may read the store, as in [`Self::walk`].
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn walk_below(
        &self,
        directory: &[u8],
        visit: &mut dyn FnMut(&[u8], &Row) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // The first key below a directory directly follows its own.
        self.walk(Some(directory), &mut |path, row| {
            if proto_core::path::is_below(path, directory) {
                visit(path, row)
            } else {
                ControlFlow::Break(())
            }
        })
    }

    /// Whether anything that was not deleted is below a directory.
    ///
    /// # Errors
    /// Those of the disk; `Failed` for a path that holds a NUL.
    pub fn has_live_below(&self, directory: &[u8]) -> Result<bool, StoreError> {
        let (first, end) = below(directory)?;
        let view = self.view(Table::Rows)?;
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for record in view.range((Bound::Included(first.as_slice()), end))? {
            let (key, value) = record?;
            let row = Row::decode(value.value()).ok_or_else(|| unreadable("rows"))?;
            // Not below itself: the row of the empty path, if there were one.
            if row.entry.kind != Kind::Tombstone && !key.value().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Visits the rows with a greater sequence than `after`, in the order of their sequences. The
    /// visitor may read the store.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn journal(
        &self,
        after: Sequence,
        visit: &mut JournalVisitor<'_>,
    ) -> Result<(), StoreError> {
        let mut after = after;
        loop {
            let batch = self.journal_after(after)?;
            for (sequence, key) in &batch {
                let row = self.row(key)?.ok_or_else(|| unreadable("journal"))?;
                if visit(*sequence, &path_of(key), &row).is_break() {
                    return Ok(());
                }
                after = *sequence;
            }
            if batch.len() < BATCH {
                return Ok(());
            }
        }
    }

    fn journal_after(&self, after: Sequence) -> Result<Vec<(Sequence, Vec<u8>)>, StoreError> {
        let view = self.view(Table::Journal)?;
        let mut batch = Vec::new();
        let after = number_key(after);
        for record in view
            .range((Bound::Excluded(after.as_slice()), Bound::Unbounded))?
            .take(BATCH)
        {
            let (sequence, key) = record?;
            let sequence = number_of(sequence.value(), Table::Journal)?;
            batch.push((sequence, key.value().to_vec()));
        }
        Ok(batch)
    }

    /// Visits the paths of all live files with this content. The visitor may read the store.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn paths_of(
        &self,
        content: ContentId,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut after = content_key(content, b"");
        loop {
            let batch = self.contents_after(content, &after)?;
            for key in &batch {
                let tree_key = key
                    .get(content.0.len()..)
                    .ok_or_else(|| unreadable("contents"))?;
                if visit(&path_of(tree_key)).is_break() {
                    return Ok(());
                }
            }
            match batch.into_iter().next_back() {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    fn contents_after(&self, content: ContentId, after: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let view = self.view(Table::Contents)?;
        let mut batch = Vec::new();
        for record in view
            .range((Bound::Excluded(after), Bound::Unbounded))?
            .take(BATCH)
        {
            let (key, _) = record?;
            if !key.value().starts_with(&content.0) {
                break;
            }
            batch.push(key.value().to_vec());
        }
        Ok(batch)
    }
}

/// The entry of a row that was replaced.
fn entry_of(row: Option<AccessGuard<'_, &'static [u8]>>) -> Result<Option<Entry>, StoreError> {
    let Some(row) = row else {
        return Ok(None);
    };
    let row = Row::decode(row.value()).ok_or_else(|| unreadable("rows"))?;
    Ok(Some(row.entry))
}

/// Lists a path under its new sequence and content instead of the old ones.
fn relist(
    changing: &mut Changing<'_, '_>,
    key: &[u8],
    before: Option<&Entry>,
    after: Option<&Entry>,
) -> Result<(), StoreError> {
    let journal = changing.table(Table::Journal)?;
    if let Some(before) = before {
        journal.remove(number_key(before.sequence).as_slice())?;
    }
    if let Some(after) = after {
        journal.insert(number_key(after.sequence).as_slice(), key)?;
    }
    let (old, new) = (before.and_then(content_of), after.and_then(content_of));
    if old == new {
        return Ok(());
    }
    let contents = changing.table(Table::Contents)?;
    if let Some(old) = old {
        contents.remove(content_key(old, key).as_slice())?;
    }
    if let Some(new) = new {
        contents.insert(content_key(new, key).as_slice(), [].as_slice())?;
    }
    Ok(())
}

/// The content of a regular file.
pub fn content_of(entry: &Entry) -> Option<ContentId> {
    (entry.kind == Kind::File).then_some(entry.content)
}
