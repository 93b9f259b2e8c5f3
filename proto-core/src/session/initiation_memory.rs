//! Which INITIATIONs of a peer were accepted, so that none is accepted twice, and which were too late to be.

use crate::index::entry::IndexId;

/// An initiator's index and its counter.
pub type Seen = (IndexId, u64);

/// How many indexes are remembered that have not proven to be there.
const CLAIMED: usize = 8;

/// The greatest counter accepted from the index that the peer had when it last proved to be there,
/// and from some others that still have to prove it.
///
/// Their places keep a replay of a former life of the peer from wiping out what is known of its
/// present one; there are several, so that replays of a few lives do not wipe out each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct InitiationMemory {
    proven: Option<Seen>,
    claimed: [Option<Seen>; CLAIMED],
    /// Place of the next claim.
    next: usize,
}

impl InitiationMemory {
    /// With what an earlier run remembered.
    pub const fn new(proven: Option<Seen>) -> Self {
        Self {
            proven,
            claimed: [None; CLAIMED],
            next: 0,
        }
    }

    /// What the driver should keep for the next run.
    pub const fn proven(&self) -> Option<Seen> {
        self.proven
    }

    /// The greatest counter accepted from `index`; 0 if none.
    pub fn counter_of(&self, index: IndexId) -> u64 {
        let all = self.proven.iter().chain(self.claimed.iter().flatten());
        all.filter(|seen| seen.0 == index)
            .map(|seen| seen.1)
            .max()
            .unwrap_or(0)
    }

    /// Whether an INITIATION is newer than all accepted ones of that index.
    pub fn is_new(&self, (index, counter): Seen) -> bool {
        let mut all = self.proven.iter().chain(self.claimed.iter().flatten());
        all.all(|seen| seen.0 != index || counter > seen.1)
    }

    /// Remembers one that [`Self::is_new`] and is about to be answered.
    pub fn accept(&mut self, seen: Seen) {
        if self.proven.is_none_or(|proven| proven.0 == seen.0) {
            self.proven = Some(seen);
            return;
        }
        let known = self
            .claimed
            .iter()
            .position(|claimed| claimed.is_some_and(|claimed| claimed.0 == seen.0));
        let place = known.unwrap_or(self.next);
        if known.is_none() {
            self.next = (self.next + 1) % CLAIMED;
        }
        if let Some(place) = self.claimed.get_mut(place) {
            *place = Some(seen);
        }
    }

    /// The initiator with this index has proven to hold the session that it began.
    pub fn prove(&mut self, index: IndexId) {
        let claimed = self
            .claimed
            .iter_mut()
            .find(|claimed| claimed.is_some_and(|claimed| claimed.0 == index));
        if let Some(claimed) = claimed {
            self.proven = claimed.take();
        }
    }
}

/// How many that were too late are remembered.
const LATE: usize = 4;

/// INITIATIONs that crossed ours and were not accepted: none of these is to be answered later. Each by itself, and not as a
/// greatest counter: one that the peer sent to somebody else looks the same, and must not keep it from reaching us.
#[derive(Clone, Copy, Debug)]
pub struct LateInitiations {
    /// With the number that the initiator gave its session.
    seen: [Option<(Seen, u32)>; LATE],
    /// Place of the next one.
    next: usize,
}

impl LateInitiations {
    /// Before any came.
    pub const NONE: Self = Self {
        seen: [None; LATE],
        next: 0,
    };

    /// Whether it is one of these.
    pub fn has(&self, seen: Seen, sender: u32) -> bool {
        self.seen.contains(&Some((seen, sender)))
    }

    /// Remembers one that [`Self::has`] not, in place of the oldest.
    pub fn note(&mut self, seen: Seen, sender: u32) {
        if let Some(place) = self.seen.get_mut(self.next) {
            *place = Some((seen, sender));
        }
        self.next = (self.next + 1) % LATE;
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

    #[test]
    fn replays_of_several_lives_do_not_displace_each_other() {
        let mut memory = InitiationMemory::new(Some((IndexId(1), 10)));
        for life in 0..CLAIMED as u64 {
            memory.accept((IndexId(100 + life), 5));
        }
        for life in 0..CLAIMED as u64 {
            assert!(!memory.is_new((IndexId(100 + life), 5)));
        }
        memory.accept((IndexId(200), 5));
        assert!(memory.is_new((IndexId(100), 5)), "the oldest one goes");
        assert!(!memory.is_new((IndexId(101), 5)) && !memory.is_new((IndexId(1), 10)));
    }

    #[test]
    fn of_late_ones_the_last_are_remembered_each_by_itself() {
        let mut late = LateInitiations::NONE;
        late.note((IndexId(1), 10), 7);
        for (counter, sender, is_it) in [(10, 7, true), (9, 7, false), (10, 8, false)] {
            assert_eq!(late.has((IndexId(1), counter), sender), is_it);
        }
        for sender in 0..LATE as u32 {
            late.note((IndexId(2), 5), sender);
        }
        assert!(!late.has((IndexId(1), 10), 7) && late.has((IndexId(2), 5), 0));
    }
}
