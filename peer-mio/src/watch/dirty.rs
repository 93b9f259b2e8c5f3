//! Dirty paths: where something may have changed, and when each is quiet enough to be looked at
//! (docs/architecture.md, "Picking up a change").

use proto_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// After a close, rename or deletion: longer than a tick of the kernel's file clock (10 ms at most),
/// so that a later write must show in mtime or ctime.
pub const SETTLED_PAUSE: Duration = Duration::from_millis(20);
/// What was looked at before that pause was over is looked at again after this one: the pause, and the turn of
/// the loop within which it was marked.
pub const SECOND_LOOK: Duration = Duration::from_millis(25);
/// So many small files and folders are looked at at once in [`SETTLED_PAUSE`]; more at a time are no single change, and hashing
/// them twice would cost more than the pause.
const AT_ONCE: u32 = 8;
/// After a write by someone who still holds the file open.
pub const OPEN_PAUSE: Duration = Duration::from_secs(2);
/// After a look that failed or found the file changing.
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Paths remembered; beyond it a full scan finds them (512 KB at 128 bytes each).
pub const MAX_DIRTY: usize = 4096;
/// Of these, paths that wait for something else to be done, so that the others have room; ...
const MAX_PARKED: usize = MAX_DIRTY / 2;
/// ... beyond it a full scan finds them, once no more than so many wait.
const FEW_PARKED: usize = MAX_PARKED / 2;

/// The dirty paths, in tree order (parents first).
#[derive(Debug, Default)]
pub struct Dirty {
    paths: BTreeMap<Vec<u8>, Instant>,
    /// Of these, directories that were marked only because a scan listed them, ...
    listed: BTreeSet<Vec<u8>>,
    /// ... and whether the one that was taken last is one.
    took_listed: bool,
    /// Those that wait for something else to be done.
    parked: BTreeSet<Vec<u8>>,
    overflowed: bool,
    /// Whether some that were to be parked were dropped.
    parked_overflowed: bool,
    /// Paths marked to be looked at at once since this moment.
    at_once: (Instant, u32),
}

/// A path as a key that sorts in tree order.
fn key(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|byte| if *byte == b'/' { 0 } else { *byte })
        .collect()
}

fn path(key: &[u8]) -> Vec<u8> {
    key.iter()
        .map(|byte| if *byte == 0 { b'/' } else { *byte })
        .collect()
}

impl Dirty {
    /// Something happened to `path`: look at it after `pause` without further events. An event that
    /// says "closed" overrides an earlier "being written".
    pub fn mark(&mut self, now: Instant, marked: &[u8], pause: Duration) {
        let due = now + pause;
        let key = key(marked);
        self.parked.remove(&key);
        self.listed.remove(&key);
        if self.len() >= MAX_DIRTY && !self.paths.contains_key(&key) {
            self.overflowed = true;
            return;
        }
        self.paths.insert(key, due);
    }

    /// A small file was closed, or a folder came: look at it at once, or after [`SETTLED_PAUSE`] if there were many of these
    /// lately.
    pub fn mark_closed(&mut self, now: Instant, marked: &[u8]) {
        let (since, count) = &mut self.at_once;
        if now.saturating_since(*since) >= SETTLED_PAUSE {
            (*since, *count) = (now, 0);
        }
        let pause = if *count < AT_ONCE {
            *count += 1;
            Duration::ZERO
        } else {
            SETTLED_PAUSE
        };
        self.mark(now, marked, pause);
    }

    /// `path`, which was taken, is to be looked at when something else is done.
    pub fn park(&mut self, parked: &[u8]) {
        if self.parked.len() >= MAX_PARKED {
            self.parked_overflowed = true;
            return;
        }
        self.parked.insert(key(parked));
    }

    /// Takes the first path in tree order that was parked and not marked since.
    pub fn take_parked(&mut self) -> Option<Vec<u8>> {
        self.parked.pop_first().map(|key| path(&key))
    }

    /// Marks `path` unless it is marked already.
    pub fn mark_if_clean(&mut self, now: Instant, marked: &[u8], pause: Duration) {
        if !self.contains(marked) {
            self.mark(now, marked, pause);
        }
    }

    /// Marks a directory, unless it is marked already: a scan has just listed it and goes on to all that is in it.
    pub fn mark_listed(&mut self, now: Instant, marked: &[u8]) {
        if self.contains(marked) {
            return;
        }
        self.mark(now, marked, Duration::ZERO);
        let key = key(marked);
        if self.paths.contains_key(&key) {
            self.listed.insert(key);
        }
    }

    /// Whether the path that was taken last is a directory of which nothing was heard but that a scan listed it.
    #[must_use]
    pub fn took_listed(&self) -> bool {
        self.took_listed
    }

    /// Takes the first path in tree order that is due.
    pub fn take_due(&mut self, now: Instant) -> Option<Vec<u8>> {
        let due = self
            .paths
            .iter()
            .find(|(_, due)| **due <= now)
            .map(|(key, _)| key.clone())?;
        self.paths.remove(&due);
        self.took_listed = self.listed.remove(&due);
        Some(path(&due))
    }

    /// When the next path is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.paths.values().min().copied()
    }

    /// Whether `path` is marked.
    #[must_use]
    pub fn contains(&self, marked: &[u8]) -> bool {
        let key = key(marked);
        self.paths.contains_key(&key) || self.parked.contains(&key)
    }

    /// Paths marked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.paths.len() + self.parked.len()
    }

    /// Of these, those that are not parked.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.paths.len()
    }

    /// Whether no path is marked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.parked.is_empty()
    }

    /// Whether paths had to be dropped since the last call: a full scan must find them. It would only drop again what there is
    /// no room to park.
    pub fn take_overflow(&mut self) -> bool {
        let few = self.parked.len() <= FEW_PARKED;
        let parked = few && std::mem::take(&mut self.parked_overflowed);
        std::mem::take(&mut self.overflowed) || parked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_due_after_its_pause_and_parents_come_first() {
        let mut dirty = Dirty::default();
        let at = Instant::from_micros;
        dirty.mark(at(0), b"a-b", SETTLED_PAUSE);
        dirty.mark(at(0), b"a/b", SETTLED_PAUSE);
        dirty.mark(at(0), b"a", SETTLED_PAUSE);
        assert_eq!(dirty.take_due(at(19_999)), None);
        assert_eq!(dirty.next_due(), Some(at(20_000)));
        let order: Vec<_> = std::iter::from_fn(|| dirty.take_due(at(20_000))).collect();
        assert_eq!(order, [b"a".to_vec(), b"a/b".to_vec(), b"a-b".to_vec()]);
    }

    #[test]
    fn a_write_makes_a_path_wait_and_a_close_makes_it_come_soon() {
        let mut dirty = Dirty::default();
        let at = Instant::from_micros;
        dirty.mark(at(0), b"f", OPEN_PAUSE);
        dirty.mark(at(1_000_000), b"f", OPEN_PAUSE);
        assert_eq!(dirty.take_due(at(2_000_000)), None);
        dirty.mark(at(2_000_000), b"f", SETTLED_PAUSE);
        assert_eq!(dirty.take_due(at(2_020_000)), Some(b"f".to_vec()));
    }

    #[test]
    fn a_few_closed_files_are_looked_at_at_once() {
        let mut dirty = Dirty::default();
        let at = Instant::from_micros;
        for number in 0..=AT_ONCE {
            dirty.mark_closed(at(1_000_000), &[b'a' + number as u8]);
        }
        let taken = std::iter::from_fn(|| dirty.take_due(at(1_000_000)));
        assert_eq!(taken.count(), AT_ONCE as usize);
        assert_eq!(dirty.next_due(), Some(at(1_020_000)));
        dirty.mark_closed(at(1_019_999), b"y");
        assert_eq!(dirty.take_due(at(1_019_999)), None);
        dirty.mark_closed(at(1_020_000), b"z");
        assert!(dirty.take_due(at(1_020_000)).is_some());
    }

    #[test]
    fn what_is_heard_of_a_listed_directory_counts_more_than_its_list() {
        let mut dirty = Dirty::default();
        let now = Instant::ZERO;
        dirty.mark_listed(now, b"a");
        assert!(dirty.take_due(now).is_some() && dirty.took_listed());
        dirty.mark_listed(now, b"a");
        dirty.mark(now, b"a", Duration::ZERO);
        assert!(dirty.take_due(now).is_some() && !dirty.took_listed());
        dirty.mark(now, b"a", Duration::ZERO);
        dirty.mark_listed(now, b"a");
        dirty.mark_listed(now, b"b");
        assert!(dirty.take_due(now).is_some() && !dirty.took_listed());
        assert!(dirty.take_due(now).is_some() && dirty.took_listed());
        dirty.park(b"c");
        dirty.mark_listed(now, b"c");
        assert!(dirty.take_due(now).is_none());
    }

    #[test]
    fn what_is_parked_waits_until_it_is_taken_or_changes() {
        let mut dirty = Dirty::default();
        let at = Instant::from_micros;
        dirty.park(b"large");
        dirty.mark(at(0), b"small", SETTLED_PAUSE);
        assert_eq!(dirty.take_due(at(1_000_000)), Some(b"small".to_vec()));
        assert_eq!(dirty.take_due(at(1_000_000)), None);
        assert_eq!((dirty.next_due(), dirty.len()), (None, 1));
        assert!(dirty.contains(b"large") && !dirty.is_empty());
        assert_eq!(dirty.take_parked(), Some(b"large".to_vec()));
        assert!(dirty.is_empty());
        dirty.park(b"large");
        dirty.mark(at(2_000_000), b"large", SETTLED_PAUSE);
        assert_eq!((dirty.take_parked(), dirty.len()), (None, 1));
    }

    #[test]
    fn beyond_the_bound_a_scan_is_asked_for() {
        let mut dirty = Dirty::default();
        for number in 0..MAX_DIRTY {
            dirty.mark(Instant::ZERO, number.to_string().as_bytes(), SETTLED_PAUSE);
        }
        assert!(!dirty.take_overflow());
        dirty.mark(Instant::ZERO, b"one more", SETTLED_PAUSE);
        assert!(dirty.take_overflow());
        assert_eq!(dirty.len(), MAX_DIRTY);
    }

    #[test]
    fn what_is_parked_leaves_room_and_is_scanned_for_when_few_are_left() {
        let mut dirty = Dirty::default();
        for number in 0..2 * MAX_DIRTY {
            dirty.park(number.to_string().as_bytes());
        }
        assert_eq!(dirty.len(), MAX_PARKED);
        dirty.mark(Instant::ZERO, b"one more", SETTLED_PAUSE);
        assert!(dirty.contains(b"one more"));
        while dirty.len() - dirty.waiting() > FEW_PARKED {
            assert!(!dirty.take_overflow());
            assert!(dirty.take_parked().is_some());
        }
        assert!(dirty.take_overflow());
        assert!(!dirty.take_overflow());
    }
}
