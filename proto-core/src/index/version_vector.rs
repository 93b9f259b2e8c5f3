//! Version vectors: which changes of which index led to an entry.

use super::entry::{IndexId, Sequence};
use crate::limits::MAX_VERSIONS;
use heapless::Vec;

/// For each index id the sequence of its last change that is contained; sorted by id, no zeros.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VersionVector {
    changes: Vec<(IndexId, Sequence), MAX_VERSIONS>,
}

/// How two version vectors stand to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The same changes.
    Equal,
    /// The left one contains all of the right one's changes and more.
    After,
    /// The right one contains all of the left one's changes and more.
    Before,
    /// Each contains a change that the other lacks.
    Concurrent,
}
