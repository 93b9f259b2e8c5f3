//! Peers that want the same small files of one that has them share the work: each fetches other runs from it first, and
//! gives the bundles on (docs/architecture.md, "Bundles").

use crate::clock::Now;
use crate::disk::Disk;
use crate::peer::Peer;
use crate::peer::backlog::IN_THE_WAY;
use crate::peer::runs::{Run, stretch};
use crate::store::Pending;
use proto_core::boundary::PeerSlot;
use proto_core::index::entry::{IndexId, Sequence};
use proto_core::pull::PeerSet;
use proto_core::wire::BundleId;

/// Runs left to others at most; one more is fetched like our own.
const MAX_LEFT: usize = 1024;
/// Stretches of sequences of which it is noted who has them.
const MAX_NOTED: usize = 4096;

/// What is left to others, and who has what.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Runs that others fetch first, in the order of their indexes and first sequences.
    left: Vec<Run>,
    /// Who told to have a file of a stretch, in the order of the indexes and stretches that another one told of.
    holders: Vec<((IndexId, u64), PeerSet)>,
    /// They were silent, slow, or gave wrong bytes: none of them is a holder again.
    unhelpful: PeerSet,
    /// Something changed since it was last looked for one to begin.
    changed: bool,
    /// Whose files the plan was done with then.
    done_with: PeerSet,
}

/// Which stretch of sequences a bundle is of.
fn stretch_of(id: &BundleId) -> (IndexId, u64) {
    (id.index, stretch(id.first))
}

/// Where a run is in the order of all.
fn begin(run: &Run) -> (IndexId, Sequence) {
    (run.id.index, run.id.first)
}

impl Shared {
    /// Whether a file is left to others.
    pub fn has(&self, index: IndexId, sequence: Sequence) -> bool {
        let end = self
            .left
            .partition_point(|run| begin(run) <= (index, sequence));
        let before = self.left.get(..end).unwrap_or_default().iter().rev();
        let is_near =
            |run: &&Run| run.id.index == index && sequence - run.id.first < BundleId::SPAN;
        before
            .take_while(is_near)
            .any(|run| run.id.contains(sequence))
    }

    /// A peer has a file too that another index told of.
    pub fn note(&mut self, index: IndexId, sequence: Sequence, peer: PeerSlot) {
        if self.unhelpful.contains(peer) {
            return;
        }
        if self.holders.len() >= MAX_NOTED {
            self.holders.clear();
        }
        let key = (index, stretch(sequence));
        match self.holders.binary_search_by_key(&key, |it| it.0) {
            Ok(place) => {
                if let Some((_, holders)) = self.holders.get_mut(place) {
                    holders.insert(peer);
                }
            }
            Err(place) => self.holders.insert(place, (key, PeerSet::of(peer))),
        }
        self.changed = true;
    }

    /// There may be room for one more.
    pub fn look(&mut self) {
        self.changed = true;
    }

    /// Leaves a run to others; false if too many are.
    pub fn leave(&mut self, run: Run) -> bool {
        if self.left.len() >= MAX_LEFT {
            return false;
        }
        let place = self
            .left
            .partition_point(|other| begin(other) < begin(&run));
        self.left.insert(place, run);
        self.changed = true;
        true
    }

    /// It has not this bundle, or not all of it.
    pub fn forget(&mut self, id: &BundleId, peer: PeerSlot) {
        let key = stretch_of(id);
        for (of, holders) in &mut self.holders {
            if *of == key {
                holders.remove(peer);
            }
        }
    }

    /// It is of no help.
    pub fn forget_peer(&mut self, peer: PeerSlot) {
        self.unhelpful.insert(peer);
        for (_, holders) in &mut self.holders {
            holders.remove(peer);
        }
    }

    fn holders(&self, id: &BundleId) -> PeerSet {
        let key = stretch_of(id);
        let place = self.holders.binary_search_by_key(&key, |it| it.0);
        let found = place.ok().and_then(|place| self.holders.get(place));
        found.map_or(PeerSet::EMPTY, |(_, holders)| *holders)
    }

    /// Nothing is pending any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<D: Disk> Peer<D> {
    /// A peer has just what is pending: it may have its bundle.
    pub(in crate::peer) fn note_holder(&mut self, pending: &Pending, told_by: IndexId) {
        // Who made it has only bundles of its own index.
        let passed_on = pending.entry.version.get(told_by) == 0;
        if passed_on
            && pending.told_by != told_by
            && let Some(peer) = self.slot_of(told_by)
        {
            let sequence = pending.entry.sequence;
            self.bundles.shared.note(pending.told_by, sequence, peer);
        }
    }

    /// Leaves a run to the others that want it; false if it is ours to fetch.
    pub(super) fn leave_to_others(&mut self, run: &Run, source: PeerSlot) -> bool {
        let (place, all) = self.engine.place_among_pullers(source);
        let ours = stretch(run.id.first) % all as u64 == place as u64;
        !ours && self.bundles.shared.leave(*run)
    }

    /// Begins what was left to others: from who has it by now, or from its source if that has nothing else to give.
    pub(super) fn begin_left(&mut self, now: Now) {
        self.give_up_slow_holder(now);
        if self.bundles.shared.left.is_empty() {
            return;
        }
        let slots = (0..self.config.peers.len()).filter_map(PeerSlot::new);
        let mut done_with = PeerSet::EMPTY;
        for peer in slots.filter(|peer| self.plan.is_done_with(*peer)) {
            done_with.insert(peer);
        }
        let shared = &mut self.bundles.shared;
        if !shared.changed && shared.done_with == done_with {
            return;
        }
        (shared.changed, shared.done_with) = (false, done_with);
        self.drop_left_of_nobody();
        while let Some((place, peer)) = self.next_left() {
            let run = self.bundles.shared.left.remove(place);
            if !self.begin_bundle_from(now, &run, peer) {
                self.bundles.shared.leave(run);
                return;
            }
        }
    }

    /// Files of which nobody who told of them is there are planned anew.
    fn drop_left_of_nobody(&mut self) {
        let mut left = std::mem::take(&mut self.bundles.shared.left);
        let before = left.len();
        left.retain(|run| self.slot_of(run.id.index).is_some());
        if left.len() < before {
            self.plan.restart();
        }
        self.bundles.shared.left = left;
    }

    /// The place of the next run to begin, and from whom.
    fn next_left(&self) -> Option<(usize, PeerSlot)> {
        let mut has_room = PeerSet::EMPTY;
        let slots = (0..self.config.peers.len()).filter_map(PeerSlot::new);
        for peer in slots.filter(|peer| self.engine.connected_index(*peer).is_some()) {
            if self.has_room_for_bundle(peer) {
                has_room.insert(peer);
            }
        }
        // The others fetch from the beginning, so we from the end.
        let mut left = self.bundles.shared.left.iter().enumerate().rev();
        left.find_map(|(place, run)| {
            let holders = self.bundles.shared.holders(&run.id);
            let holder = holders.iter().find(|peer| has_room.contains(*peer));
            let source = || {
                let source = self.slot_of(run.id.index)?;
                self.is_free(source).then_some(source)
            };
            Some((place, holder.or_else(source)?))
        })
    }

    /// Whether a source has nothing else to give.
    fn is_free(&self, source: PeerSlot) -> bool {
        self.plan.is_done_with(source) && self.bundles.of(source) == 0
    }

    /// A holder does not hold up what an idle source has.
    fn give_up_slow_holder(&mut self, now: Now) {
        let slow = self.bundles.coming.iter().position(|it| {
            let source = self.slot_of(it.run.id.index);
            !it.whole
                && now.mono.saturating_since(it.started) >= IN_THE_WAY
                && source.is_some_and(|source| source != it.peer && self.is_free(source))
        });
        let coming = slow.and_then(|place| Some((place, self.bundles.coming.get(place)?.peer)));
        if let Some((place, peer)) = coming {
            self.bundles.shared.forget_peer(peer);
            self.end_bundle(now, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: IndexId = IndexId(7);

    fn run(sequences: impl IntoIterator<Item = Sequence>) -> Run {
        let mut runs = crate::peer::runs::Runs::default();
        for sequence in sequences {
            runs.gather(INDEX, sequence, 10, 5);
        }
        runs.all()[0]
    }

    #[test]
    fn what_is_left_is_known_by_its_sequences_and_bounded() {
        let mut shared = Shared::default();
        assert!(shared.leave(run([130, 140, 255])));
        for (sequence, is_left) in [
            (129, false),
            (130, true),
            (135, false),
            (255, true),
            (256, false),
        ] {
            assert_eq!(shared.has(INDEX, sequence), is_left, "{sequence}");
        }
        assert!(!shared.has(IndexId(8), 130));
        for number in 2..=MAX_LEFT as u64 {
            assert!(shared.leave(run([number * BundleId::SPAN])));
        }
        assert!(!shared.leave(run([5])));
        shared.clear();
        assert!(!shared.has(INDEX, 130));
    }

    #[test]
    fn who_has_a_stretch_is_forgotten_for_one_or_for_all() {
        let (one, other) = (PeerSlot::new(0).unwrap(), PeerSlot::new(3).unwrap());
        let mut shared = Shared::default();
        shared.note(INDEX, 130, one);
        shared.note(INDEX, 200, other);
        shared.note(INDEX, 300, one);
        let of = |shared: &Shared, first| {
            let id = BundleId::new(INDEX, first).unwrap();
            shared.holders(&id).iter().collect::<Vec<_>>()
        };
        assert_eq!(of(&shared, 128), [one, other]);
        shared.forget(&BundleId::new(INDEX, 255).unwrap(), other);
        assert_eq!((of(&shared, 140), of(&shared, 256)), (vec![one], vec![one]));
        shared.forget_peer(one);
        assert_eq!((of(&shared, 140), of(&shared, 256)), (vec![], vec![]));
        for number in 0..2 * MAX_NOTED as u64 {
            shared.note(INDEX, number * BundleId::SPAN, one);
        }
        assert!(shared.holders.len() <= MAX_NOTED);
    }

    #[test]
    fn what_did_not_come_of_a_run_is_a_run() {
        let whole = run([130, 140, 255]);
        let rest = whole.without(&[130]).unwrap();
        assert_eq!(rest.id.first, 140);
        assert_eq!(rest.id.sequences().collect::<Vec<_>>(), [140, 255]);
        assert!(whole.without(&[130, 140, 255]).is_none());
    }
}
