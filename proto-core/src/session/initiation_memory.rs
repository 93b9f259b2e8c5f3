//! Which INITIATIONs of a peer were accepted, so that none is accepted twice.

use crate::index::entry::IndexId;

/// An initiator's index and its counter.
pub type Seen = (IndexId, u64);

/// The greatest counter accepted from the index that the peer had when it last proved to be there,
/// and from one other that still has to prove it.
///
/// The second place keeps a replay of a former life of the peer from wiping out what is known of
/// its present one.
#[derive(Clone, Copy, Debug, Default)]
pub struct InitiationMemory {
    proven: Option<Seen>,
    claimed: Option<Seen>,
}

impl InitiationMemory {
    /// With what an earlier run remembered.
    pub const fn new(proven: Option<Seen>) -> Self {
        Self {
            proven,
            claimed: None,
        }
    }

    /// What the driver should keep for the next run.
    pub const fn proven(&self) -> Option<Seen> {
        self.proven
    }

    /// The greatest counter accepted from `index`; 0 if none.
    pub fn counter_of(&self, index: IndexId) -> u64 {
        let of = |seen: Option<Seen>| seen.filter(|seen| seen.0 == index).map_or(0, |seen| seen.1);
        of(self.proven).max(of(self.claimed))
    }

    /// Whether an INITIATION is newer than all accepted ones of that index.
    pub fn is_new(&self, (index, counter): Seen) -> bool {
        let is_newer =
            |seen: Option<Seen>| seen.is_none_or(|seen| seen.0 != index || counter > seen.1);
        is_newer(self.proven) && is_newer(self.claimed)
    }

    /// Remembers one that [`Self::is_new`] and is about to be answered.
    pub fn accept(&mut self, seen: Seen) {
        if self.proven.is_none_or(|proven| proven.0 == seen.0) {
            self.proven = Some(seen);
        } else {
            self.claimed = Some(seen);
        }
    }

    /// The initiator with this index has proven to hold the session that it began.
    pub fn prove(&mut self, index: IndexId) {
        if let Some(claimed) = self.claimed.take_if(|claimed| claimed.0 == index) {
            self.proven = Some(claimed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_accepted_once_and_only_upwards() {
        let mut memory = InitiationMemory::new(Some((IndexId(1), 10)));
        assert!(!memory.is_new((IndexId(1), 10)) && !memory.is_new((IndexId(1), 9)));
        memory.accept((IndexId(1), 12));
        assert!(!memory.is_new((IndexId(1), 12)) && memory.is_new((IndexId(1), 13)));
        assert_eq!(memory.proven(), Some((IndexId(1), 12)));
        assert_eq!(
            (memory.counter_of(IndexId(1)), memory.counter_of(IndexId(2))),
            (12, 0)
        );
    }

    #[test]
    fn another_index_displaces_the_proven_one_only_when_proven_itself() {
        let mut memory = InitiationMemory::new(Some((IndexId(1), 10)));
        memory.accept((IndexId(2), 5));
        assert!(!memory.is_new((IndexId(2), 5)) && !memory.is_new((IndexId(1), 10)));
        assert_eq!(memory.proven(), Some((IndexId(1), 10)));
        memory.prove(IndexId(2));
        assert_eq!(memory.proven(), Some((IndexId(2), 5)));
    }
}
