//! The index of one peer, in an embedded crash-safe database (redb) under `.tinypeer/`: what is in
//! `share/`, what peers told that is not landed yet, the recipes of contents, and how far the
//! journals of others were read.
//!
//! Changes gather in one transaction until [`Store::commit`]; what reads sees them at once. After
//! any failed change nothing can be committed before [`Store::abandon`] took all of it back.

mod backend;
mod cache;
mod entries;
mod error;
mod meta;
mod open_tables;
mod pending;
mod recipes;
mod renew;
mod row;
mod tables;
#[cfg(test)]
mod tests;
mod trashed;

use crate::disk::DiskFile;
use backend::{FileBackend, IndexFile};
pub use entries::JournalVisitor;
pub use error::{Durability, Opened, StoreError};
use meta::Counters;
use open_tables::{Changing, Committed, View, Writing};
pub use pending::PendingWalk;
use proto_core::content::ContentId;
use proto_core::index::entry::{IndexId, Sequence};
use redb::Database;
pub use row::{Fingerprint, Pending, Row, Run};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tables::Table;

/// Records that are read at a time, before a visitor sees them.
const BATCH: usize = 64;

/// Sums over all rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Live regular files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Live files whose name holds `.conflict-`.
    pub conflicts: u64,
    /// Rows of what was deleted.
    pub tombstones: u64,
}

/// The index of one peer.
#[derive(Debug)]
pub struct Store {
    // Both before the database: transactions end before what they belong to.
    writing: Option<Writing>,
    /// Nothing but what reads between two commits.
    reading: Committed,
    /// `None` after a failure, until the file could be opened again.
    database: Option<Database>,
    file: IndexFile,
    /// Whether the file refused anything since it was opened: redb then refuses all else.
    file_failed: Arc<AtomicBool>,
    /// Bytes of it that are held in memory at most.
    cache: usize,
    /// Whether a change failed half-way.
    change_failed: bool,
    /// Counts changes, and what took them back: what was read before may not be true any more.
    revision: u64,
    index_id: IndexId,
    /// With what is not committed.
    counters: Counters,
    /// As of the last commit.
    committed: Counters,
    /// Whether a commit was made that a power cut would take back.
    undurable: bool,
    /// Whether a pending change was put that a power cut would take back.
    pending_undurable: bool,
    /// Where the last sweep of recipes ended.
    swept: Option<ContentId>,
    /// Where the last sweep of the trash's records ended.
    swept_trashed: Option<Vec<u8>>,
}

impl Store {
    /// Opens the index in a file, or begins one under `fresh_id` if the file is empty. Every page is
    /// checked against its checksum, which reads all of the file.
    ///
    /// # Errors
    /// `Damaged` if the file holds anything else than a whole index; `Disk` if it cannot be read or
    /// written.
    pub fn open<F: DiskFile>(file: F, fresh_id: IndexId) -> Result<(Self, Opened), StoreError> {
        let file: IndexFile = Arc::new(file);
        let cache = cache::for_index(&*file);
        let (database, file_failed) = open_database(&file, cache, Check::All)?;
        let mut store = Self {
            writing: None,
            reading: Committed::default(),
            database: Some(database),
            file,
            file_failed,
            cache,
            change_failed: false,
            revision: 0,
            index_id: fresh_id,
            counters: Counters::default(),
            committed: Counters::default(),
            undurable: false,
            pending_undurable: false,
            swept: None,
            swept_trashed: None,
        };
        let opened = store.load_or_begin()?;
        Ok((store, opened))
    }

    /// Names this life of the index.
    #[must_use]
    pub fn index_id(&self) -> IndexId {
        self.index_id
    }

    /// The newest sequence, that of a change which is not committed included; 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.counters.sequence
    }

    /// The sequence that the next [`Store::put`] gives.
    #[must_use]
    pub fn next_sequence(&self) -> Sequence {
        self.counters.sequence.saturating_add(1)
    }

    /// Sums over all rows.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.counters.totals
    }

    /// Whether a durable commit would have anything to do.
    #[must_use]
    pub fn dirty(&self) -> bool {
        self.writing.is_some() || self.undurable
    }

    /// Whether all that is pending would be pending after a power cut too.
    #[must_use]
    pub fn is_pending_durable(&self) -> bool {
        !self.pending_undurable
    }

    /// Makes all changes since the last commit last.
    ///
    /// # Errors
    /// Those of the disk. The changes are neither kept nor given up before [`Store::abandon`].
    pub fn commit(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.change_failed {
            return Err(StoreError::Failed("an earlier change failed".to_owned()));
        }
        // Sequences that were given and taken back are not given again, also not after a crash.
        let changed = self.writing.is_some() || self.counters != self.committed;
        if !(changed || self.undurable && durability == Durability::Durable) {
            return Ok(());
        }
        let result = self.write_commit(durability);
        self.change_failed |= result.is_err();
        result
    }

    fn write_commit(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.counters != self.committed {
            self.put_counters()?;
        }
        self.begin()?;
        let Some(writing) = self.writing.take() else {
            return Ok(());
        };
        // What reads as of the commit before keeps that alive.
        self.reading = Committed::default();
        let mut transaction = writing.into_owner();
        transaction.set_durability(match durability {
            Durability::Durable => redb::Durability::Immediate,
            Durability::Eventual => redb::Durability::None,
        })?;
        // One flush more. Without it a damaged page of the last commit cannot be told from a commit
        // that a power cut kept from ending, and opening would go back to the commit before it:
        // sequences that peers know already would be given again.
        transaction.set_two_phase_commit(durability == Durability::Durable);
        transaction.commit()?;
        self.committed = self.counters;
        self.undurable = durability == Durability::Eventual;
        self.pending_undurable &= self.undurable;
        if durability == Durability::Durable {
            self.fit_cache();
        }
        Ok(())
    }

    /// Takes back everything since the last commit. After a failure of the disk the file is opened
    /// again, which takes back to the last *durable* commit; sequences that were given after it are
    /// not given again. If even that fails, so does all else until another `abandon` succeeds.
    pub fn abandon(&mut self) {
        self.revision += 1;
        self.reading = Committed::default();
        let aborted = self
            .writing
            .take()
            .is_none_or(|writing| writing.into_owner().abort().is_ok());
        let reopen = self.change_failed
            || !aborted
            || self.database.is_none()
            || self.file_failed.load(Ordering::Relaxed);
        self.swept = None;
        self.swept_trashed = None;
        if !reopen {
            self.counters = self.committed;
            return;
        }
        let given = self.counters.sequence;
        if self.open_anew(Check::All) {
            self.counters.sequence = given.max(self.counters.sequence);
        }
    }

    /// Closes the file and opens it again; nothing may read from it. False: it stays closed, and all else fails until
    /// [`Store::abandon`] succeeds.
    fn open_anew(&mut self, check: Check) -> bool {
        // The lock that a database holds on its file must be gone before the next one.
        self.database = None;
        let opened = self.reopen(check);
        if let Err(error) = &opened {
            self.database = None;
            log::warn!("the index cannot be opened again: {error}");
        }
        opened.is_ok()
    }

    fn reopen(&mut self, check: Check) -> Result<(), StoreError> {
        let (database, file_failed) = open_database(&self.file, self.cache, check)?;
        self.database = Some(database);
        self.file_failed = file_failed;
        self.load()?;
        self.change_failed = false;
        self.undurable = false;
        Ok(())
    }

    /// A table to read from. It must be gone before anything else touches the same table.
    fn view(&self, table: Table) -> Result<View<'_>, StoreError> {
        open_tables::view(
            self.writing.as_ref(),
            &self.reading,
            self.database.as_ref(),
            table,
        )
    }

    /// The transaction that changes go to.
    fn begin(&mut self) -> Result<&mut Writing, StoreError> {
        if self.change_failed {
            return Err(StoreError::Failed("an earlier change failed".to_owned()));
        }
        let Some(database) = &self.database else {
            return Err(StoreError::Failed(
                "the file is closed after an earlier failure".to_owned(),
            ));
        };
        let writing = match self.writing.take() {
            Some(writing) => writing,
            None => Writing::begin(database)?,
        };
        Ok(self.writing.insert(writing))
    }

    /// Makes a change. If it fails it may have been made in part: nothing is committed after that.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Changing<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.revision += 1;
        let result = self.begin().and_then(|writing| writing.change(change));
        self.change_failed |= result.is_err();
        result
    }
}

/// What of a file is checked against its checksums when it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Check {
    /// Every page.
    All,
    /// What opening needs: it was closed a moment ago.
    Least,
}

fn open_database(
    file: &IndexFile,
    cache: usize,
    check: Check,
) -> Result<(Database, Arc<AtomicBool>), StoreError> {
    let failed = Arc::new(AtomicBool::new(false));
    let backend = FileBackend {
        file: Arc::clone(file),
        failed: Arc::clone(&failed),
    };
    let database = Database::builder()
        .set_cache_size(cache)
        .set_check_integrity_on_open(check == Check::All)
        .create_with_backend(backend)?;
    Ok((database, failed))
}

/// A row or record that does not read as what was written.
fn unreadable(table: &str) -> StoreError {
    StoreError::Damaged(format!("unreadable record in {table}"))
}
