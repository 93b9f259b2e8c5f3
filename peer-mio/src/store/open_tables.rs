//! How tables are reached: those that the transaction being written has changed through it, the others as of the
//! last commit. Each is opened once between two commits: a folder of small files asks for some twenty records a file, and
//! opening a table costs as much as asking.

use super::error::StoreError;
use super::tables::{TABLES, Table};
use redb::{
    AccessGuard, Database, Range, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};
use std::cell::OnceCell;
use std::fmt;
use std::ops::RangeBounds;

/// Keys and values are bytes in every table: each further pair of types would bring a B-tree of its
/// own into the binary, 50 KB of code.
type Bytes = &'static [u8];

/// What the database knows a table by.
pub fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

/// The tables that a transaction changes, open.
#[derive(Default)]
pub struct Changed<'txn> {
    open: [Option<redb::Table<'txn, Bytes, Bytes>>; TABLES],
}

self_cell::self_cell!(
    /// A transaction that is being written, and the tables that it has changed.
    pub struct Writing {
        owner: WriteTransaction,
        #[covariant]
        dependent: Changed,
    }
);

impl Writing {
    /// Begins one.
    pub fn begin(database: &Database) -> Result<Self, StoreError> {
        Ok(Self::new(database.begin_write()?, |_| Changed::default()))
    }

    /// Makes a change.
    pub fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Changing<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_dependent_mut(|transaction, changed| {
            change(&mut Changing {
                transaction,
                changed,
            })
        })
    }

    /// A table to read from, if it was changed.
    fn changed(&self, table: Table) -> Option<&redb::Table<'_, Bytes, Bytes>> {
        self.borrow_dependent().open.get(table as usize)?.as_ref()
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writing")
    }
}

/// What a change is made through.
pub struct Changing<'a, 'txn> {
    transaction: &'txn WriteTransaction,
    changed: &'a mut Changed<'txn>,
}

impl<'txn> Changing<'_, 'txn> {
    /// A table to change.
    pub fn table(
        &mut self,
        table: Table,
    ) -> Result<&mut redb::Table<'txn, Bytes, Bytes>, StoreError> {
        let place = self.changed.open.get_mut(table as usize);
        let place = place.ok_or_else(|| StoreError::Failed("no such table".to_owned()))?;
        let open = match place.take() {
            Some(open) => open,
            None => self.transaction.open_table(definition(table))?,
        };
        Ok(place.insert(open))
    }
}

/// The tables as of the last commit, open once they were asked for.
#[derive(Default)]
pub struct Committed {
    open: [OnceCell<ReadOnlyTable<Bytes, Bytes>>; TABLES],
}

impl Committed {
    fn table(
        &self,
        database: &Database,
        table: Table,
    ) -> Result<Option<&ReadOnlyTable<Bytes, Bytes>>, StoreError> {
        let Some(place) = self.open.get(table as usize) else {
            return Ok(None);
        };
        if place.get().is_none() {
            let open = database.begin_read()?.open_table(definition(table))?;
            // It was empty.
            let _ = place.set(open);
        }
        Ok(place.get())
    }
}

impl fmt::Debug for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Committed")
    }
}

/// A table to read from.
pub enum View<'a> {
    /// With what is not committed yet.
    Changed(&'a redb::Table<'a, Bytes, Bytes>),
    /// As of the last commit: nothing was changed since.
    Committed(&'a ReadOnlyTable<Bytes, Bytes>),
}

impl View<'_> {
    /// Runs one lookup.
    pub fn get(&self, key: &[u8]) -> Result<Option<AccessGuard<'_, Bytes>>, StoreError> {
        Ok(match self {
            Self::Changed(table) => table.get(key),
            Self::Committed(table) => ReadableTable::get(*table, key),
        }?)
    }

    /// The records in a range of keys, from either end.
    pub fn range<'k>(
        &self,
        range: impl RangeBounds<&'k [u8]> + 'k,
    ) -> Result<Range<'_, Bytes, Bytes>, StoreError> {
        Ok(match self {
            Self::Changed(table) => table.range(range),
            Self::Committed(table) => ReadableTable::range(*table, range),
        }?)
    }
}

/// Opens a table to read from.
pub fn view<'a>(
    writing: Option<&'a Writing>,
    committed: &'a Committed,
    database: Option<&Database>,
    table: Table,
) -> Result<View<'a>, StoreError> {
    if let Some(changed) = writing.and_then(|writing| writing.changed(table)) {
        return Ok(View::Changed(changed));
    }
    let closed = || StoreError::Failed("the file is closed after an earlier failure".to_owned());
    let open = committed.table(database.ok_or_else(closed)?, table)?;
    open.map(View::Committed).ok_or_else(closed)
}
