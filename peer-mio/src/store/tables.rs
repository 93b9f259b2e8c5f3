//! The tables of the index, their keys, and how they are reached: through the transaction that is
//! being written if there is one, else as of the last commit.

use super::error::StoreError;
use super::unreadable;
use proto_core::content::ContentId;
use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableHandle};

/// Keys and values are bytes in every table: each further pair of types would bring a B-tree of its
/// own into the binary, 50 KB of code.
pub type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Tree key to row.
pub const ROWS: Table = TableDefinition::new("rows");
/// Sequence (as of `number_key`) to the tree key of the row that bears it.
pub const JOURNAL: Table = TableDefinition::new("journal");
/// Content id and tree key of every live file, to nothing.
pub const CONTENTS: Table = TableDefinition::new("contents");
/// Tree key to pending change.
pub const PENDING: Table = TableDefinition::new("pending");
/// Content id and tree key of every pending file, to nothing.
pub const WANTED: Table = TableDefinition::new("wanted");
/// Content id and block number to a block of a recipe.
pub const RECIPES: Table = TableDefinition::new("recipes");
/// Content id and path in the trash of a file that was put there, to nothing.
pub const TRASHED: Table = TableDefinition::new("trashed");
/// Index id, as a number, to how far its journal was read.
pub const CURSORS: Table = TableDefinition::new("cursors");
/// Name to value.
pub const META: Table = TableDefinition::new("meta");

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

/// Content id and tree key, or path in the trash, in one.
pub fn content_key(content: ContentId, path: &[u8]) -> Vec<u8> {
    [content.0.as_slice(), path].concat()
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

/// A number as a key or a value: the order of the bytes is that of the numbers.
pub fn number_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in a key or a value of this table.
///
/// # Errors
/// `Damaged` if there are not eight bytes.
pub fn number_of(bytes: &[u8], table: Table) -> Result<u64, StoreError> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| unreadable(table.name()))
}

/// A table to read from.
pub enum View<'txn> {
    /// With what is not committed yet. Only one view of a table can be open at a time.
    Written(redb::Table<'txn, &'static [u8], &'static [u8]>),
    /// As of the last commit.
    Committed(redb::ReadOnlyTable<&'static [u8], &'static [u8]>),
}

impl View<'_> {
    /// Runs one lookup.
    pub fn get(
        &self,
        key: &[u8],
    ) -> Result<Option<redb::AccessGuard<'_, &'static [u8]>>, StoreError> {
        Ok(match self {
            Self::Written(table) => table.get(key),
            Self::Committed(table) => ReadableTable::get(table, key),
        }?)
    }

    /// The records in a range of keys, from either end.
    pub fn range<'a>(
        &self,
        range: impl std::ops::RangeBounds<&'a [u8]> + 'a,
    ) -> Result<redb::Range<'_, &'static [u8], &'static [u8]>, StoreError> {
        Ok(match self {
            Self::Written(table) => table.range(range),
            Self::Committed(table) => ReadableTable::range(table, range),
        }?)
    }
}

/// Opens a table to read from: in the transaction that is being written, or as of the last commit.
pub fn view<'txn>(
    writing: Option<&'txn redb::WriteTransaction>,
    database: Option<&redb::Database>,
    table: Table,
) -> Result<View<'txn>, StoreError> {
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
