//! The index of one peer: crash-safe, on redb. One write transaction is open at a time; reads see
//! what it holds. What a crash loses is what [`Store::commit`] says.

mod backend;
mod entries;
mod pending;
mod recipes;
mod row;
mod schema;
#[cfg(test)]
mod tests;

use crate::disk::DiskFile;
use backend::Backend;
use proto_core::index::entry::{IndexId, Sequence};
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};
pub use row::{Fingerprint, Pending, Row};
use schema::{ALL, CURSORS, META, Table};
use std::fmt::{Display, Formatter};
use std::ops::Bound;

/// Pages that redb keeps, in bytes; its default is 1 GiB.
const CACHE: usize = 1024 * 1024;
/// Rows read at a time, so that a visitor may use the store.
const BATCH: usize = 64;

const INDEX_ID: &str = "index id";
const COUNTERS: &str = "counters";

/// Why the store does not do what it is asked.
#[derive(Debug)]
pub enum StoreError {
    /// The file is no index or a damaged one: it is to be made anew.
    Damaged(String),
    /// It cannot be read or written now (a full disk, mostly).
    Failed(String),
}

impl Display for StoreError {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged(why) => write!(f, "damaged: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}

fn failed(error: impl Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// Whether the index was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// It was.
    Existing,
    /// It is new and empty.
    Created,
}

/// What a commit withstands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// A power cut.
    Durable,
    /// Nothing; it becomes durable with the next one that is.
    Eventual,
}

/// Counts of live entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are conflict copies.
    pub conflicts: u64,
    /// Tombstones.
    pub tombstones: u64,
}

/// What is counted along, and stored with each commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counters {
    sequence: Sequence,
    totals: Totals,
    pending: u64,
}

impl Counters {
    fn encode(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        let Totals {
            files,
            bytes: size,
            conflicts,
            tombstones,
        } = self.totals;
        for (place, number) in bytes.chunks_mut(8).zip([
            self.sequence,
            files,
            size,
            conflicts,
            tombstones,
            self.pending,
        ]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let [sequence, files, size, conflicts, tombstones, pending] = *numbers else {
            return None;
        };
        Some(Self {
            sequence: u64::from_be_bytes(sequence),
            totals: Totals {
                files: u64::from_be_bytes(files),
                bytes: u64::from_be_bytes(size),
                conflicts: u64::from_be_bytes(conflicts),
                tombstones: u64::from_be_bytes(tombstones),
            },
            pending: u64::from_be_bytes(pending),
        })
    }
}

/// The index of one peer.
pub struct Store {
    database: Database,
    /// Begun by the first write after a commit.
    writing: Option<WriteTransaction>,
    index_id: IndexId,
    counters: Counters,
    committed: Counters,
    /// Where dropping unneeded recipes goes on.
    swept: Option<Vec<u8>>,
}

/// Runs `$body` with `$table` bound to a table of the open write transaction, or else of a new read
/// transaction: the two have different types.
macro_rules! with_table {
    ($store:expr, $definition:expr, $table:ident => $body:expr) => {
        match &$store.writing {
            Some(writing) => {
                let $table = writing.open_table($definition).map_err(failed)?;
                $body
            }
            None => {
                let reading = $store.database.begin_read().map_err(failed)?;
                let $table = reading.open_table($definition).map_err(failed)?;
                $body
            }
        }
    };
}

impl Store {
    /// Opens the index in a file, or makes one with the id `fresh` if the file is empty.
    ///
    /// # Errors
    /// `Damaged` if the file is no index; `Failed` if it cannot be read or written.
    pub fn open<F: DiskFile>(file: F, fresh: IndexId) -> Result<(Self, Opened), StoreError> {
        let empty = file.stat().map_err(failed)?.size == 0;
        let opened = Database::builder()
            .set_cache_size(CACHE)
            .create_with_backend(Backend::new(file));
        let database = match opened {
            Ok(database) => database,
            Err(error) if empty => return Err(failed(error)),
            Err(error) => return Err(StoreError::Damaged(error.to_string())),
        };
        let mut store = Self {
            database,
            writing: None,
            index_id: fresh,
            counters: Counters::default(),
            committed: Counters::default(),
            swept: None,
        };
        if empty {
            store.create(fresh)?;
            return Ok((store, Opened::Created));
        }
        match store.load() {
            Ok(true) => Ok((store, Opened::Existing)),
            // A crash before the first commit.
            Ok(false) => {
                store.create(fresh)?;
                Ok((store, Opened::Created))
            }
            Err(StoreError::Failed(why) | StoreError::Damaged(why)) => {
                Err(StoreError::Damaged(why))
            }
        }
    }

    fn create(&mut self, fresh: IndexId) -> Result<(), StoreError> {
        let writing = self.writing()?;
        for table in ALL {
            writing.open_table(table).map_err(failed)?;
        }
        self.set_meta(INDEX_ID, &fresh.0.to_be_bytes())?;
        self.commit(Durability::Durable)
    }

    /// Reads what is kept in memory. False if nothing was ever committed.
    fn load(&mut self) -> Result<bool, StoreError> {
        let reading = self.database.begin_read().map_err(failed)?;
        if reading.list_tables().map_err(failed)?.next().is_none() {
            return Ok(false);
        }
        for table in ALL {
            reading.open_table(table).map_err(failed)?;
        }
        drop(reading);
        let id = self
            .meta(INDEX_ID)?
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_be_bytes);
        let counters = self.meta(COUNTERS)?.as_deref().and_then(Counters::decode);
        let (Some(id), Some(counters)) = (id, counters) else {
            return Err(StoreError::Damaged("it has no id".to_owned()));
        };
        self.index_id = IndexId(id);
        self.counters = counters;
        self.committed = counters;
        Ok(true)
    }

    /// The name of this life of the index.
    #[must_use]
    pub fn index_id(&self) -> IndexId {
        self.index_id
    }

    /// The newest sequence, committed or not.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.counters.sequence
    }

    /// The sequence that the next [`Self::put`] gives.
    #[must_use]
    pub fn next_sequence(&self) -> Sequence {
        self.counters.sequence + 1
    }

    /// Counts of live entries.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.counters.totals
    }

    /// A small named value.
    ///
    /// # Errors
    /// `Failed`.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(META, name.as_bytes())
    }

    /// Sets a small named value.
    ///
    /// # Errors
    /// `Failed`.
    pub fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(META, name.as_bytes(), value)
    }

    /// How far the journal of this index has been read; 0 if nothing of it.
    ///
    /// # Errors
    /// `Failed`.
    pub fn cursor(&self, index: IndexId) -> Result<Sequence, StoreError> {
        let bytes = self.read(CURSORS, &index.0.to_be_bytes())?;
        Ok(bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_be_bytes))
    }

    /// Notes how far the journal of this index has been read.
    ///
    /// # Errors
    /// `Failed`.
    pub fn set_cursor(&mut self, index: IndexId, cursor: Sequence) -> Result<(), StoreError> {
        self.write(CURSORS, &index.0.to_be_bytes(), &cursor.to_be_bytes())
    }

    /// Whether anything was written since the last commit.
    #[must_use]
    pub fn dirty(&self) -> bool {
        self.writing.is_some()
    }

    /// Everything written since the last commit happens at once. After an `Eventual` one a crash may
    /// take it back, together with all `Eventual` ones since the last `Durable` one.
    ///
    /// # Errors
    /// `Failed`: nothing of it happened, the transaction is gone; see [`Self::abandon`].
    pub fn commit(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.writing.is_none() && durability == Durability::Eventual {
            return Ok(());
        }
        if self.counters != self.committed || self.writing.is_some() {
            let counters = self.counters.encode();
            self.write(META, COUNTERS.as_bytes(), &counters)?;
        }
        let Some(mut writing) = self.writing.take() else {
            return Ok(());
        };
        let wanted = match durability {
            Durability::Durable => redb::Durability::Immediate,
            Durability::Eventual => redb::Durability::None,
        };
        writing.set_durability(wanted).map_err(failed)?;
        writing.commit().map_err(failed)?;
        self.committed = self.counters;
        Ok(())
    }

    /// Takes back everything since the last commit.
    pub fn abandon(&mut self) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.abort();
        }
        self.counters = self.committed;
    }

    fn writing(&mut self) -> Result<&WriteTransaction, StoreError> {
        if self.writing.is_none() {
            self.writing = Some(self.database.begin_write().map_err(failed)?);
        }
        self.writing
            .as_ref()
            .ok_or_else(|| StoreError::Failed("no transaction".to_owned()))
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        with_table!(self, table, table => {
            let found = table.get(key).map_err(failed)?;
            Ok(found.map(|value| value.value().to_vec()))
        })
    }

    fn write(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let mut table = self.writing()?.open_table(table).map_err(failed)?;
        table.insert(key, value).map_err(failed)?;
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        let mut table = self.writing()?.open_table(table).map_err(failed)?;
        let removed = table.remove(key).map_err(failed)?;
        Ok(removed.is_some())
    }

    /// Up to `limit` rows of a range, in order or from its end.
    fn range(
        &self,
        table: Table,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
        backwards: bool,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let mut rows = Vec::new();
        with_table!(self, table, table => {
            let mut found = table.range::<&[u8]>(range).map_err(failed)?;
            while rows.len() < limit {
                let Some(row) = (if backwards { found.next_back() } else { found.next() }) else { break };
                let (key, value) = row.map_err(failed)?;
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
        });
        Ok(rows)
    }
}
