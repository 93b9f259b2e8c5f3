//! The tables. Keys of paths are tree keys: `/` is written as NUL, which no path holds, so that the
//! order of keys is the tree order.

use redb::TableDefinition;

/// All tables map bytes to bytes.
pub type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Small named values.
pub const META: Table = TableDefinition::new("meta");
/// Tree key to [`super::Row`].
pub const ENTRIES: Table = TableDefinition::new("entries");
/// Sequence to tree key.
pub const JOURNAL: Table = TableDefinition::new("journal");
/// Content id and tree key of live files; no value.
pub const CONTENTS: Table = TableDefinition::new("contents");
/// Content id and block number to recipe block.
pub const RECIPES: Table = TableDefinition::new("recipes");
/// Tree key to [`super::Pending`].
pub const PENDING: Table = TableDefinition::new("pending");
/// Content id and tree key of pending files; no value.
pub const PENDING_CONTENTS: Table = TableDefinition::new("pending contents");
/// Index id to cursor.
pub const CURSORS: Table = TableDefinition::new("cursors");

/// All of them.
pub const ALL: [Table; 8] = [
    META,
    ENTRIES,
    JOURNAL,
    CONTENTS,
    RECIPES,
    PENDING,
    PENDING_CONTENTS,
    CURSORS,
];

/// The tree key of a path.
#[must_use]
pub fn tree_key(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|byte| if *byte == b'/' { 0 } else { *byte })
        .collect()
}

/// The path of a tree key.
#[must_use]
pub fn path_of(key: &[u8]) -> Vec<u8> {
    key.iter()
        .map(|byte| if *byte == 0 { b'/' } else { *byte })
        .collect()
}

/// First key of all that is below a directory, and the first one behind it.
#[must_use]
pub fn below(directory: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut first = tree_key(directory);
    first.push(0);
    let mut behind = first.clone();
    if let Some(last) = behind.last_mut() {
        *last = 1;
    }
    (first, behind)
}
