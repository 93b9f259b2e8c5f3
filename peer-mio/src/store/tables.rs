//! The tables of the index and their keys.

use super::error::StoreError;
use super::unreadable;
use proto_core::content::ContentId;

/// A table of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// Tree key to row.
    Rows,
    /// Sequence (as of [`number_key`]) to the tree key of the row that bears it.
    Journal,
    /// Content id and tree key of every live file, to nothing.
    Contents,
    /// Tree key to pending change.
    Pending,
    /// Content id and tree key of every pending file that is long enough for a recipe, to nothing.
    Wanted,
    /// Content id and block number to a block of a recipe.
    Recipes,
    /// Content id and path in the trash of a file that was put there, to nothing.
    Trashed,
    /// Index id, as a number, to how far its journal was read.
    Cursors,
    /// Name to value.
    Meta,
}

/// How many there are.
pub const TABLES: usize = 9;

impl Table {
    /// All of them.
    pub const ALL: [Self; TABLES] = [
        Self::Rows,
        Self::Journal,
        Self::Contents,
        Self::Pending,
        Self::Wanted,
        Self::Recipes,
        Self::Trashed,
        Self::Cursors,
        Self::Meta,
    ];

    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Journal => "journal",
            Self::Contents => "contents",
            Self::Pending => "pending",
            Self::Wanted => "wanted",
            Self::Recipes => "recipes",
            Self::Trashed => "trashed",
            Self::Cursors => "cursors",
            Self::Meta => "meta",
        }
    }
}

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
