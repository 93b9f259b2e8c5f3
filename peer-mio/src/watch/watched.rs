//! Which kernel watch belongs to which directory: the only thing kept for a tree, some 100 bytes
//! and its path for each directory, nothing for a file.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Watch descriptors and the paths of the directories they watch, found by either. One descriptor
/// has one path and one path one descriptor.
#[derive(Debug, Default)]
pub(super) struct Watched {
    by_descriptor: BTreeMap<i32, Arc<[u8]>>,
    by_path: BTreeMap<Arc<[u8]>, i32>,
}

impl Watched {
    /// How many directories.
    pub(super) fn len(&self) -> usize {
        self.by_descriptor.len()
    }

    /// The path that a descriptor watches.
    pub(super) fn path(&self, descriptor: i32) -> Option<&[u8]> {
        self.by_descriptor.get(&descriptor).map(AsRef::as_ref)
    }

    /// Notes that `descriptor` watches `path`. A descriptor that had another path was moved. Gives
    /// back the descriptor that had this path: the directory behind it is somewhere else now.
    pub(super) fn insert(&mut self, descriptor: i32, path: &[u8]) -> Option<i32> {
        if self.path(descriptor) == Some(path) {
            return None;
        }
        self.remove(descriptor);
        let displaced = self.by_path.get(path).copied();
        if let Some(old) = displaced {
            self.remove(old);
        }
        let path: Arc<[u8]> = path.into();
        self.by_descriptor.insert(descriptor, Arc::clone(&path));
        self.by_path.insert(path, descriptor);
        displaced
    }

    /// Forgets a descriptor.
    pub(super) fn remove(&mut self, descriptor: i32) {
        if let Some(path) = self.by_descriptor.remove(&descriptor) {
            self.by_path.remove(&path);
        }
    }

    /// Forgets one directory at or below `path` and gives its descriptor; `None` when there is none
    /// left.
    pub(super) fn take_below(&mut self, path: &[u8]) -> Option<i32> {
        let below = [path, b"/"].concat();
        let descriptor = self.by_path.get(path).copied().or_else(|| {
            let from = (Bound::Included(below.as_slice()), Bound::Unbounded);
            let (first, descriptor) = self.by_path.range::<[u8], _>(from).next()?;
            first.starts_with(&below).then_some(*descriptor)
        })?;
        self.remove(descriptor);
        Some(descriptor)
    }
}

#[cfg(test)]
mod tests {
    use super::Watched;

    #[test]
    fn a_moved_directory_has_only_its_new_path() {
        let mut watched = Watched::default();
        assert_eq!(watched.insert(1, b"a"), None);
        assert_eq!(watched.insert(1, b"b"), None);
        assert_eq!(watched.path(1), Some(&b"b"[..]));
        assert_eq!(watched.take_below(b"a"), None);
        assert_eq!(watched.len(), 1);
    }

    #[test]
    fn a_path_taken_over_gives_the_old_watch_back() {
        let mut watched = Watched::default();
        watched.insert(1, b"a");
        assert_eq!(watched.insert(2, b"a"), Some(1));
        assert_eq!(watched.path(1), None);
        assert_eq!(watched.path(2), Some(&b"a"[..]));
    }

    #[test]
    fn what_is_below_is_found_and_only_that() {
        let mut watched = Watched::default();
        // '.' and '0' sort right before and right behind '/'.
        let paths: [&[u8]; 8] = [b"", b"a", b"a.", b"a.b/c", b"a/b", b"a/b/c", b"a0", b"ab/c"];
        for (descriptor, path) in (1..).zip(paths) {
            watched.insert(descriptor, path);
        }
        let mut taken: Vec<i32> = std::iter::from_fn(|| watched.take_below(b"a")).collect();
        taken.sort_unstable();
        assert_eq!(taken, [2, 5, 6]);
        assert_eq!(watched.len(), 5);
    }
}
