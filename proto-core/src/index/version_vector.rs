//! Version vectors: which changes of which index led to an entry.
//!
//! **More ids than fit.** A vector that would name more than [`MAX_VERSIONS`] ids drops the component
//! with the smallest sequence (of equal ones the one with the smaller id), but never the one that a
//! local change sets. A vector then claims fewer changes than it has: two versions that stood one
//! after the other may look concurrent, which costs a needless conflict copy and never a change (where
//! it dropped the very change that an entry came from, reconciling takes it as concurrent). The
//! greatest components of a union do not depend on the order in which it is made, so merging stays
//! commutative, associative and idempotent even then, and peers still converge.

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

impl VersionVector {
    /// The vector with these components; `None` if their ids do not strictly ascend, a sequence is
    /// 0 or there are more than [`MAX_VERSIONS`].
    pub fn from_sorted(changes: impl IntoIterator<Item = (IndexId, Sequence)>) -> Option<Self> {
        let mut vector = Self::default();
        for (id, sequence) in changes {
            let ascends = vector.changes.last().is_none_or(|&(last, _)| last < id);
            if sequence == 0 || !ascends {
                return None;
            }
            vector.changes.push((id, sequence)).ok()?;
        }
        Some(vector)
    }

    /// Its components in the order of their ids; no sequence is 0.
    pub fn iter(&self) -> impl Iterator<Item = (IndexId, Sequence)> + '_ {
        self.changes.iter().copied()
    }

    /// Number of components, at most [`MAX_VERSIONS`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it contains no change at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The last change of this index that is contained; 0 if there is none.
    #[must_use]
    pub fn get(&self, id: IndexId) -> Sequence {
        self.position(id)
            .ok()
            .and_then(|at| self.changes.get(at))
            .map_or(0, |&(_, sequence)| sequence)
    }

    /// Counts a local change: the component of our index becomes the sequence of the change.
    ///
    /// Should the vector already contain that sequence of ours (our index went back to an older
    /// state of the same id), the component still grows by one, so that a local change is always
    /// after what it replaces.
    pub fn set(&mut self, id: IndexId, sequence: Sequence) {
        let grown = sequence.max(self.get(id).saturating_add(1));
        if let Ok(at) = self.position(id) {
            if let Some(change) = self.changes.get_mut(at) {
                change.1 = grown;
            }
            return;
        }
        if self.changes.is_full()
            && let Some((at, _)) = self.least()
        {
            self.changes.remove(at);
        }
        let at = self.position(id).unwrap_or_else(|at| at);
        // There is room: the vector is not full here.
        let _ = self.changes.insert(at, (id, grown));
    }

    /// Leaves out what it says of an index.
    pub fn remove(&mut self, id: IndexId) {
        if let Ok(at) = self.position(id) {
            self.changes.remove(at);
        }
    }

    /// How `self` stands to `other`.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Order {
        let (mut after, mut before) = (false, false);
        for (_, left, right) in self.union(other) {
            after |= left > right;
            before |= left < right;
        }
        match (after, before) {
            (false, false) => Order::Equal,
            (true, false) => Order::After,
            (false, true) => Order::Before,
            (true, true) => Order::Concurrent,
        }
    }

    /// The vector that contains the changes of both.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let mut merged = Self::default();
        for (id, left, right) in self.union(other) {
            merged.append(id, left.max(right));
        }
        merged
    }

    /// Adds a component whose id is above all others; beyond the capacity the least one goes.
    fn append(&mut self, id: IndexId, sequence: Sequence) {
        if self.changes.is_full()
            && let Some((at, least)) = self.least()
        {
            if (sequence, id) < least {
                return;
            }
            self.changes.remove(at);
        }
        // There is room: a full vector has just lost a component.
        let _ = self.changes.push((id, sequence));
    }

    /// Place and (sequence, id) of the component that is dropped first.
    fn least(&self) -> Option<(usize, (Sequence, IndexId))> {
        self.changes
            .iter()
            .enumerate()
            .map(|(at, &(id, sequence))| (at, (sequence, id)))
            .min_by_key(|&(_, rank)| rank)
    }

    fn position(&self, id: IndexId) -> Result<usize, usize> {
        self.changes.binary_search_by_key(&id, |&(known, _)| known)
    }

    fn union<'a>(&'a self, other: &'a Self) -> Union<'a> {
        Union {
            left: &self.changes,
            right: &other.changes,
        }
    }
}

/// Walks two sorted vectors side by side: every id that one of them names, in order, with the
/// sequence on the left and on the right, 0 where it is missing.
struct Union<'a> {
    left: &'a [(IndexId, Sequence)],
    right: &'a [(IndexId, Sequence)],
}

impl Iterator for Union<'_> {
    type Item = (IndexId, Sequence, Sequence);

    fn next(&mut self) -> Option<Self::Item> {
        let id = match (self.left.first(), self.right.first()) {
            (Some(&(left, _)), Some(&(right, _))) => left.min(right),
            (Some(&(id, _)), None) | (None, Some(&(id, _))) => id,
            (None, None) => return None,
        };
        Some((id, take(&mut self.left, id), take(&mut self.right, id)))
    }
}

/// Takes the component of `id` from the front, if it is there; else 0.
fn take(side: &mut &[(IndexId, Sequence)], id: IndexId) -> Sequence {
    match side.split_first() {
        Some((&(first, sequence), rest)) if first == id => {
            *side = rest;
            sequence
        }
        _ => 0,
    }
}
