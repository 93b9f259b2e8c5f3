//! How much of the index is held in memory: what was read stays until the file is closed, so a small index is to have a small
//! cache; but with a small one the pages of a large index are read and written again and again while many entries come
//! (docs/performance.md, "Where the time of small files goes"). redb's own default is 1 GiB.

use super::open_tables::Committed;
use super::{Check, Store};
use crate::disk::DiskFile;

/// Bytes of a small index, and of a large one.
const LEAST: usize = 1024 * 1024;
const MOST: usize = 4 * 1024 * 1024;
/// Of the others this part.
const PART: u64 = 4;

/// Bytes of the cache for the index in a file.
pub(super) fn for_index(file: &dyn DiskFile) -> usize {
    let size = file.stat().map_or(0, |stat| stat.size);
    usize::try_from(size / PART).map_or(MOST, |part| part.clamp(LEAST, MOST))
}

impl Store {
    /// Opens the file anew with a larger cache when it has become much larger, at most twice. All must be durable.
    pub(super) fn fit_cache(&mut self) {
        let fit = for_index(&*self.file);
        if fit < 2 * self.cache {
            return;
        }
        self.cache = fit;
        self.reading = Committed::default();
        // If it fails, what is done next does too, and is taken back.
        self.open_anew(Check::Least);
    }
}
