//! Directories that came by a rename or were made anew. One may have taken the place of another between
//! two looks: the index then knows a directory there, but not what is in it.

use std::collections::BTreeSet;

/// Directories noted of each sort; beyond it a full scan finds what is in them.
const MAX_NOTED: usize = 1024;

/// What the watcher told of directories, and what of that was our own doing.
#[derive(Debug, Default)]
pub struct Came {
    seen: BTreeSet<Vec<u8>>,
    ours: BTreeSet<Vec<u8>>,
}

impl Came {
    /// We make a directory: the watcher will tell of it once, if it watches the parent.
    pub fn made(&mut self, path: &[u8]) {
        if self.ours.len() >= MAX_NOTED {
            // Of most of these it never will.
            self.ours.clear();
        }
        self.ours.insert(path.to_vec());
    }

    /// The watcher told of one. False if there is no room to note it.
    #[must_use]
    pub fn told(&mut self, path: &[u8]) -> bool {
        if self.ours.remove(path) {
            return true;
        }
        let room = self.seen.len() < MAX_NOTED;
        if room {
            self.seen.insert(path.to_vec());
        }
        room
    }

    /// Whether what is at a path may be another directory than at the last look.
    pub fn take(&mut self, path: &[u8]) -> bool {
        !self.seen.is_empty() && self.seen.remove(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_directories_are_expected_once() {
        let mut came = Came::default();
        came.made(b"a");
        assert!(came.told(b"a") && !came.take(b"a"));
        assert!(came.told(b"a") && came.take(b"a") && !came.take(b"a"));
    }

    #[test]
    fn what_is_noted_is_bounded() {
        let mut came = Came::default();
        for number in 0..MAX_NOTED {
            came.made(&number.to_be_bytes());
            assert!(came.told(&[7, (number >> 8) as u8, number as u8]));
        }
        assert!(!came.told(b"one more"));
        came.made(b"one more");
        assert!(came.told(b"one more") && !came.told(&0_usize.to_be_bytes()));
    }
}
