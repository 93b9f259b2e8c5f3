//! The small things: counters over all rows, cursors into the journals of others, and values by name.

use super::error::{Durability, Opened, StoreError};
use super::open_tables::{Changing, definition};
use super::tables::{Table, number_key, number_of};
use super::{Store, Totals, unreadable};
use proto_core::index::conflict::is_conflict_name;
use proto_core::index::entry::{Entry, IndexId, Kind, Sequence};
use redb::{ReadableDatabase, TableError};

/// Which tables there are, how their records lie and how contents are cut. Another number costs a new index.
const LAYOUT: &[u8] = &[4];
const LAYOUT_KEY: &str = "layout";
const INDEX_KEY: &str = "index id";
const COUNTERS_KEY: &str = "counters";
const AGREED_KEY: &str = "agreed";
const TOLD_KEY: &str = "told";

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

/// Whether a path is named as conflict copies are.
fn is_conflict_copy(path: &[u8]) -> bool {
    is_conflict_name(proto_core::path::name(path))
}

impl Store {
    /// Reads what is held in memory, or begins a new index in an empty database.
    pub(super) fn load_or_begin(&mut self) -> Result<Opened, StoreError> {
        if !self.is_unborn()? {
            self.load()?;
            self.add_trashed()?;
            return Ok(Opened::Existing);
        }
        let id = self.index_id;
        self.change(|changing| create_tables(changing, id))?;
        self.commit(Durability::Durable)?;
        Ok(Opened::Created)
    }

    /// The table that an index of an earlier build has not got.
    fn add_trashed(&mut self) -> Result<(), StoreError> {
        if !self.lacks(Table::Trashed)? {
            return Ok(());
        }
        self.change(|changing| changing.table(Table::Trashed).map(drop))?;
        self.commit(Durability::Durable)
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
        self.lacks(Table::Meta)
    }

    /// Whether a table was never made. A database that is closed lacks nothing.
    fn lacks(&self, table: Table) -> Result<bool, StoreError> {
        let Some(database) = &self.database else {
            return Ok(false);
        };
        match database.begin_read()?.open_table(definition(table)) {
            Ok(_) => Ok(false),
            Err(TableError::TableDoesNotExist(_)) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn put_counters(&mut self) -> Result<(), StoreError> {
        let counters = self.counters;
        self.change(|changing| put_meta(changing, COUNTERS_KEY, &counters.encode()))
    }

    /// How far the journal of this index was read; 0 before the first page.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn cursor(&self, index: IndexId) -> Result<Sequence, StoreError> {
        Ok(self.number(Table::Cursors, index)?.unwrap_or(0))
    }

    /// The journal of this index was read up to this sequence.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn set_cursor(&mut self, index: IndexId, cursor: Sequence) -> Result<(), StoreError> {
        if self.number(Table::Cursors, index)? == Some(cursor) {
            return Ok(());
        }
        self.change(|changing| put_number(changing, Table::Cursors, index, cursor))
    }

    /// All journals are to be read from the beginning.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn forget_cursors(&mut self) -> Result<(), StoreError> {
        self.change(|changing| Ok(changing.table(Table::Cursors)?.retain(|_, _| false)?))
    }

    /// What this table says of an index.
    fn number(&self, table: Table, index: IndexId) -> Result<Option<u64>, StoreError> {
        self.view(table)?
            .get(&number_key(index.0))?
            .map(|number| number_of(number.value(), table))
            .transpose()
    }

    /// Up to which sequence every configured peer once had read our journal (docs/architecture.md,
    /// section 2).
    ///
    /// # Errors
    /// Those of the disk.
    pub fn agreed(&self) -> Result<Sequence, StoreError> {
        Ok(self.sequence_of(AGREED_KEY)?.unwrap_or(0))
    }

    fn sequence_of(&self, name: &str) -> Result<Option<Sequence>, StoreError> {
        let bytes = self.meta(name)?.and_then(|bytes| bytes.try_into().ok());
        Ok(bytes.map(u64::from_be_bytes))
    }

    /// Every configured peer has read our journal up to this sequence.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn set_agreed(&mut self, agreed: Sequence) -> Result<(), StoreError> {
        self.set_meta(AGREED_KEY, &agreed.to_be_bytes())
    }

    /// Up to which sequence somebody may have read our journal (docs/architecture.md, section 2).
    ///
    /// # Errors
    /// Those of the disk.
    pub fn told(&self) -> Result<Sequence, StoreError> {
        Ok(self.sequence_of(TOLD_KEY)?.unwrap_or(self.sequence()))
    }

    /// Somebody may read our journal up to this sequence.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn set_told(&mut self, told: Sequence) -> Result<(), StoreError> {
        self.set_meta(TOLD_KEY, &told.to_be_bytes())
    }

    /// Writes another id, of which nobody has read anything and which has read nothing. What is held in memory stays.
    pub(super) fn set_index_id(&mut self, id: IndexId) -> Result<(), StoreError> {
        self.set_meta(INDEX_KEY, &id.0.to_be_bytes())?;
        self.forget_cursors()?;
        self.set_agreed(0)?;
        self.set_told(0)
    }

    /// The value of this name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .view(Table::Meta)?
            .get(name.as_bytes())?
            .map(|value| value.value().to_vec()))
    }

    /// Sets the value of a name.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.change(|changing| put_meta(changing, name, value))
    }
}

fn put_meta(changing: &mut Changing<'_, '_>, name: &str, value: &[u8]) -> Result<(), StoreError> {
    changing
        .table(Table::Meta)?
        .insert(name.as_bytes(), value)?;
    Ok(())
}

fn put_number(
    changing: &mut Changing<'_, '_>,
    table: Table,
    index: IndexId,
    number: u64,
) -> Result<(), StoreError> {
    changing.table(table)?.insert(
        number_key(index.0).as_slice(),
        number_key(number).as_slice(),
    )?;
    Ok(())
}

/// Every table, so that reading need not ask whether there is one.
fn create_tables(changing: &mut Changing<'_, '_>, id: IndexId) -> Result<(), StoreError> {
    for table in Table::ALL {
        changing.table(table)?;
    }
    put_meta(changing, LAYOUT_KEY, LAYOUT)?;
    put_meta(changing, INDEX_KEY, &id.0.to_be_bytes())?;
    put_meta(changing, COUNTERS_KEY, &Counters::default().encode())
}
