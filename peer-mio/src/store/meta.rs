//! The small things: counters over all rows, cursors into the journals of others, session
//! initiations, and values by name.

use super::error::{Durability, Opened, StoreError};
use super::tables::{
    CONTENTS, CURSORS, INITIATIONS, JOURNAL, META, PENDING, RECIPES, ROWS, Table, WANTED,
    number_key, number_of,
};
use super::{Store, Totals, unreadable};
use proto_core::index::entry::{Entry, IndexId, Kind, Sequence};
use redb::{ReadableDatabase, TableError, WriteTransaction};

/// Which tables there are and how their records lie. Another number costs a new index.
const LAYOUT: &[u8] = &[2];
const LAYOUT_KEY: &str = "layout";
const INDEX_KEY: &str = "index id";
const COUNTERS_KEY: &str = "counters";

/// What is counted rather than searched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Newest sequence.
    pub sequence: Sequence,
    /// Sums over all rows.
    pub totals: Totals,
    /// Pending changes.
    pub pending: u64,
}

impl Counters {
    /// A row came.
    pub fn add(&mut self, path: &[u8], entry: &Entry) {
        self.count(path, entry, u64::saturating_add);
    }

    /// A row went.
    pub fn remove(&mut self, path: &[u8], entry: &Entry) {
        self.count(path, entry, u64::saturating_sub);
    }

    fn count(&mut self, path: &[u8], entry: &Entry, step: fn(u64, u64) -> u64) {
        let totals = &mut self.totals;
        match entry.kind {
            Kind::File => {
                totals.files = step(totals.files, 1);
                totals.bytes = step(totals.bytes, entry.size);
                if is_conflict_copy(path) {
                    totals.conflicts = step(totals.conflicts, 1);
                }
            }
            Kind::Tombstone => totals.tombstones = step(totals.tombstones, 1),
            Kind::Symlink | Kind::Directory => {}
        }
    }

    fn encode(self) -> Vec<u8> {
        let Totals {
            files,
            bytes,
            conflicts,
            tombstones,
        } = self.totals;
        [
            self.sequence,
            files,
            bytes,
            conflicts,
            tombstones,
            self.pending,
        ]
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return None;
        }
        let &[sequence, files, bytes, conflicts, tombstones, pending] = numbers else {
            return None;
        };
        let [sequence, files, bytes, conflicts, tombstones, pending] =
            [sequence, files, bytes, conflicts, tombstones, pending].map(u64::from_be_bytes);
        Some(Self {
            sequence,
            totals: Totals {
                files,
                bytes,
                conflicts,
                tombstones,
            },
            pending,
        })
    }
}

/// Whether the last component of a path holds `.conflict-`.
fn is_conflict_copy(path: &[u8]) -> bool {
    let mark = b".conflict-";
    proto_core::path::name(path)
        .windows(mark.len())
        .any(|part| part == mark)
}

impl Store {
    /// Reads what is held in memory, or begins a new index in an empty database.
    pub(super) fn load_or_begin(&mut self) -> Result<Opened, StoreError> {
        if !self.is_unborn()? {
            self.load()?;
            return Ok(Opened::Existing);
        }
        let id = self.index_id;
        self.change(|transaction| create_tables(transaction, id))?;
        self.commit(Durability::Durable)?;
        Ok(Opened::Created)
    }

    /// Reads what is held in memory.
    pub(super) fn load(&mut self) -> Result<(), StoreError> {
        if self.is_unborn()? {
            return Err(StoreError::Damaged("the file is empty".to_owned()));
        }
        if self.meta(LAYOUT_KEY)?.as_deref() != Some(LAYOUT) {
            return Err(StoreError::Damaged("another layout".to_owned()));
        }
        let id = self
            .meta(INDEX_KEY)?
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_be_bytes);
        self.index_id = IndexId(id.ok_or_else(|| unreadable("meta"))?);
        let counters = self
            .meta(COUNTERS_KEY)?
            .and_then(|bytes| Counters::decode(&bytes));
        self.counters = counters.ok_or_else(|| unreadable("meta"))?;
        self.committed = self.counters;
        Ok(())
    }

    /// Whether the first commit was never made: a database without any table.
    fn is_unborn(&self) -> Result<bool, StoreError> {
        let Some(database) = &self.database else {
            return Ok(false);
        };
        match database.begin_read()?.open_table(META) {
            Ok(_) => Ok(false),
            Err(TableError::TableDoesNotExist(_)) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn put_counters(&mut self) -> Result<(), StoreError> {
        let counters = self.counters;
        self.change(|transaction| put_meta(transaction, COUNTERS_KEY, &counters.encode()))
    }

    /// How far the journal of this index was read; 0 before the first page.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn cursor(&self, index: IndexId) -> Result<Sequence, StoreError> {
        Ok(self.number(CURSORS, index)?.unwrap_or(0))
    }

    /// The journal of this index was read up to this sequence.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn set_cursor(&mut self, index: IndexId, cursor: Sequence) -> Result<(), StoreError> {
        if self.number(CURSORS, index)? == Some(cursor) {
            return Ok(());
        }
        self.change(|transaction| put_number(transaction, CURSORS, index, cursor))
    }

    /// Remembers the counter of the last session initiation of a peer, against replays.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn set_last_initiation(&mut self, index: IndexId, counter: u64) -> Result<(), StoreError> {
        self.change(|transaction| put_number(transaction, INITIATIONS, index, counter))
    }

    /// The counter of the last session initiation of this index; `None` if it never began one.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn last_initiation(&self, index: IndexId) -> Result<Option<u64>, StoreError> {
        self.number(INITIATIONS, index)
    }

    /// The last session initiation of every index that ever began a session.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn initiations(&self) -> Result<Vec<(IndexId, u64)>, StoreError> {
        let view = self.view(INITIATIONS)?;
        let mut found = Vec::new();
        for record in view.range(..)? {
            let (index, counter) = record?;
            found.push((
                IndexId(number_of(index.value(), INITIATIONS)?),
                number_of(counter.value(), INITIATIONS)?,
            ));
        }
        Ok(found)
    }

    /// What this table says of an index.
    fn number(&self, table: Table, index: IndexId) -> Result<Option<u64>, StoreError> {
        self.view(table)?
            .get(&number_key(index.0))?
            .map(|number| number_of(number.value(), table))
            .transpose()
    }

    /// The value of this name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .view(META)?
            .get(name.as_bytes())?
            .map(|value| value.value().to_vec()))
    }

    /// Sets the value of a name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.change(|transaction| put_meta(transaction, name, value))
    }
}

fn put_meta(transaction: &WriteTransaction, name: &str, value: &[u8]) -> Result<(), StoreError> {
    transaction
        .open_table(META)?
        .insert(name.as_bytes(), value)?;
    Ok(())
}

fn put_number(
    transaction: &WriteTransaction,
    table: Table,
    index: IndexId,
    number: u64,
) -> Result<(), StoreError> {
    transaction.open_table(table)?.insert(
        number_key(index.0).as_slice(),
        number_key(number).as_slice(),
    )?;
    Ok(())
}

/// Every table, so that reading need not ask whether there is one.
fn create_tables(transaction: &WriteTransaction, id: IndexId) -> Result<(), StoreError> {
    for table in [
        ROWS,
        JOURNAL,
        CONTENTS,
        PENDING,
        WANTED,
        RECIPES,
        CURSORS,
        INITIATIONS,
        META,
    ] {
        transaction.open_table(table)?;
    }
    put_meta(transaction, LAYOUT_KEY, LAYOUT)?;
    put_meta(transaction, INDEX_KEY, &id.0.to_be_bytes())?;
    put_meta(transaction, COUNTERS_KEY, &Counters::default().encode())
}
