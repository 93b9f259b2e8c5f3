//! The tables of the index, their keys, and how they are reached: through the transaction that is
//! being written if there is one, else as of the last commit.

use super::error::StoreError;
use proto_core::content::ContentId;
use redb::{Key, ReadableDatabase, ReadableTable, TableDefinition, Value};

/// Tree key to row.
pub const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
/// Sequence to the tree key of the row that bears it.
pub const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");
/// Content id and tree key of every live file.
pub const CONTENTS: TableDefinition<&[u8], ()> = TableDefinition::new("contents");
/// Tree key to pending change.
pub const PENDING: TableDefinition<&[u8], &[u8]> = TableDefinition::new("pending");
/// Content id and tree key of every pending file.
pub const WANTED: TableDefinition<&[u8], ()> = TableDefinition::new("wanted");
/// Content id and block number to a block of a recipe.
pub const RECIPES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("recipes");
/// Index id to how far its journal was read.
pub const CURSORS: TableDefinition<u64, u64> = TableDefinition::new("cursors");
/// Index id to the counter of its last session initiation.
pub const INITIATIONS: TableDefinition<u64, u64> = TableDefinition::new("initiations");
/// Name to value.
pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// The path's place in the tree order (`proto_core::path::tree_cmp`): `/` becomes 0, which no path holds.
///
/// # Errors
/// `Failed` if the path holds a 0.
pub fn tree_key(path: &[u8]) -> Result<Vec<u8>, StoreError> {
    if path.contains(&0) {
        return Err(StoreError::Failed("a path holds a NUL".to_owned()));
    }
    Ok(path
        .iter()
        .map(|&byte| if byte == b'/' { 0 } else { byte })
        .collect())
}

/// The path of a tree key.
pub fn path_of(key: &[u8]) -> Vec<u8> {
    key.iter()
        .map(|&byte| if byte == 0 { b'/' } else { byte })
        .collect()
}

/// Content id and tree key in one.
pub fn content_key(content: ContentId, tree_key: &[u8]) -> Vec<u8> {
    [content.0.as_slice(), tree_key].concat()
}

/// Content id and block number in one.
pub fn recipe_key(content: ContentId, number: u32) -> Vec<u8> {
    [content.0.as_slice(), &number.to_be_bytes()].concat()
}

/// The tree keys of all that is below a directory: from the first, up to before the second.
pub fn below(directory: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
    let key = tree_key(directory)?;
    if key.is_empty() {
        return Ok((key, None));
    }
    Ok((
        [key.as_slice(), &[0]].concat(),
        Some([key.as_slice(), &[1]].concat()),
    ))
}

/// A table to read from.
pub enum View<'txn, K: Key + 'static, V: Value + 'static> {
    /// With what is not committed yet. Only one view of a table can be open at a time.
    Written(redb::Table<'txn, K, V>),
    /// As of the last commit.
    Committed(redb::ReadOnlyTable<K, V>),
}

impl<K: Key + 'static, V: Value + 'static> View<'_, K, V> {
    /// Runs one lookup.
    pub fn get<'a>(
        &self,
        key: impl std::borrow::Borrow<K::SelfType<'a>>,
    ) -> Result<Option<redb::AccessGuard<'_, V>>, StoreError> {
        Ok(match self {
            Self::Written(table) => table.get(key),
            Self::Committed(table) => ReadableTable::get(table, key),
        }?)
    }

    /// The records in a range of keys, from either end.
    pub fn range<'a, R>(
        &self,
        range: impl std::ops::RangeBounds<R> + 'a,
    ) -> Result<redb::Range<'_, K, V>, StoreError>
    where
        R: std::borrow::Borrow<K::SelfType<'a>> + 'a,
    {
        Ok(match self {
            Self::Written(table) => table.range(range),
            Self::Committed(table) => ReadableTable::range(table, range),
        }?)
    }
}

/// Opens a table to read from: in the transaction that is being written, or as of the last commit.
pub fn view<'txn, K: Key + 'static, V: Value + 'static>(
    writing: Option<&'txn redb::WriteTransaction>,
    database: Option<&redb::Database>,
    table: TableDefinition<'_, K, V>,
) -> Result<View<'txn, K, V>, StoreError> {
    if let Some(transaction) = writing {
        return Ok(View::Written(transaction.open_table(table)?));
    }
    let Some(database) = database else {
        return Err(StoreError::Failed(
            "the file is closed after an earlier failure".to_owned(),
        ));
    };
    Ok(View::Committed(database.begin_read()?.open_table(table)?))
}
