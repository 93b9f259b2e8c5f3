//! Small files that are pending gather in runs, each of which becomes one bundle to fetch (docs/protocol.md, "Bundles").

use super::zips::{MAX_FILES, MAX_MEMBER};
use proto_core::index::entry::{IndexId, Sequence};
use proto_core::time::{Duration, Instant};
use proto_core::wire::BundleId;
use std::collections::{BTreeMap, BTreeSet};

/// Runs of one peer that gather at once: what was changed together has sequences close to each other, but comes in tree order.
const MAX_RUNS: usize = 8;
/// So many files of a run are nearly all of it.
const NEARLY_ALL: usize = 96;
/// Fewer files are fetched one by one.
pub const LEAST: usize = 4;
/// Files remembered that are to be fetched one by one.
const MAX_ALONE: usize = 4096;
/// So long nothing is bundled from a peer whose bundles were of no use.
const SHUNNED: Duration = Duration::from_secs(60);

/// Files of one peer with neighbouring sequences: of 128 that begin at a multiple of 128, so that all pullers form the same runs
/// and a bundle is built once.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Which.
    pub id: BundleId,
    last: Sequence,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of their paths.
    pub names: u64,
}

impl Run {
    fn new(index: IndexId, sequence: Sequence) -> Option<Self> {
        Some(Self {
            id: BundleId::new(index, sequence)?,
            last: sequence,
            bytes: 0,
            names: 0,
        })
    }

    /// Whether a file fits in; then it is in.
    fn take(&mut self, index: IndexId, sequence: Sequence, size: u64, name: usize) -> bool {
        let is_near = self.id.index == index && stretch(self.id.first) == stretch(sequence);
        if !is_near || self.bytes.saturating_add(size) > MAX_FILES {
            return false;
        }
        if sequence < self.id.first {
            let Some(mut id) = BundleId::new(index, sequence) else {
                return false;
            };
            for other in self.id.sequences() {
                id.insert(other);
            }
            self.id = id;
        } else if !self.id.insert(sequence) {
            return false;
        }
        self.last = self.last.max(sequence);
        self.bytes += size;
        self.names += name as u64;
        true
    }

    /// What of it is missing, if anything.
    #[must_use]
    pub fn without(&self, arrived: &[Sequence]) -> Option<Self> {
        let missing = |it: &Sequence| !arrived.contains(it);
        let mut id = BundleId::new(self.id.index, self.id.sequences().find(missing)?)?;
        for sequence in self.id.sequences().filter(missing) {
            id.insert(sequence);
        }
        Some(Self { id, ..*self })
    }

    /// Whether it is not worth waiting for more. Files come mostly in the order of their sequences, with folders among them.
    fn is_full(&self) -> bool {
        let is_last = self.last % BundleId::SPAN == BundleId::SPAN - 1;
        is_last && self.id.len() >= NEARLY_ALL || self.bytes.saturating_add(MAX_MEMBER) > MAX_FILES
    }
}

/// Which stretch of sequences, from one multiple of 128 to the next, a run with this one is of.
pub fn stretch(sequence: Sequence) -> u64 {
    sequence / BundleId::SPAN
}

/// The runs, and what is not to be bundled.
#[derive(Debug, Default)]
pub struct Runs {
    gathering: Vec<Run>,
    alone: BTreeSet<(IndexId, Sequence)>,
    shunned: BTreeMap<IndexId, Instant>,
}

/// What became of a file that was offered.
#[derive(Clone, Copy, Debug)]
pub enum Gathered {
    /// It is in a run, which waits for more.
    Yes,
    /// It is in this run, which is to be fetched now.
    Full(Run),
    /// There is no room for another run: this one has to be fetched first.
    Crowded(Run),
}

impl Runs {
    /// Whether a file is to be fetched by itself.
    #[must_use]
    pub fn is_alone(&self, now: Instant, index: IndexId, sequence: Sequence) -> bool {
        self.alone.contains(&(index, sequence))
            || self.shunned.get(&index).is_some_and(|until| now < *until)
    }

    /// Whether a file is in a run.
    #[must_use]
    pub fn has(&self, index: IndexId, sequence: Sequence) -> bool {
        let mut runs = self.gathering.iter();
        runs.any(|run| run.id.index == index && run.id.contains(sequence))
    }

    /// Puts a file into a run.
    pub fn gather(
        &mut self,
        index: IndexId,
        sequence: Sequence,
        size: u64,
        name: usize,
    ) -> Option<Gathered> {
        let taken = self
            .gathering
            .iter_mut()
            .position(|run| run.take(index, sequence, size, name));
        if let Some(place) = taken {
            let run = *self.gathering.get(place)?;
            return Some(if run.is_full() {
                Gathered::Full(run)
            } else {
                Gathered::Yes
            });
        }
        let mut of_it = self.gathering.iter().filter(|run| run.id.index == index);
        if let (Some(oldest), true) = (of_it.next(), of_it.count() + 1 >= MAX_RUNS) {
            return Some(Gathered::Crowded(*oldest));
        }
        let mut run = Run::new(index, sequence)?;
        run.take(index, sequence, size, name);
        self.gathering.push(run);
        Some(Gathered::Yes)
    }

    /// All runs, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Run> {
        self.gathering.clone()
    }

    /// A run is fetched, or taken apart.
    pub fn remove(&mut self, run: &Run) {
        self.gathering.retain(|other| other.id != run.id);
    }

    /// These are to be fetched one by one.
    pub fn fetch_alone(
        &mut self,
        now: Instant,
        index: IndexId,
        files: impl Iterator<Item = Sequence>,
    ) {
        self.alone.extend(files.map(|sequence| (index, sequence)));
        if self.alone.len() > MAX_ALONE {
            self.alone.clear();
            self.shun(now, index);
        }
    }

    /// Nothing of a bundle was of use.
    pub fn shun(&mut self, now: Instant, index: IndexId) {
        self.shunned.retain(|_, until| now < *until);
        self.shunned.insert(index, now + SHUNNED);
    }

    /// Nothing is pending any more.
    pub fn forget(&mut self) {
        self.gathering.clear();
        self.alone.clear();
    }

    /// What gathered is looked for again.
    pub fn clear(&mut self) {
        self.gathering.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: IndexId = IndexId(7);

    #[test]
    fn what_is_close_gathers_in_any_order() {
        let mut runs = Runs::default();
        for sequence in [200, 150, 250, 255] {
            assert!(matches!(
                runs.gather(INDEX, sequence, 10, 5),
                Some(Gathered::Yes)
            ));
        }
        let run = runs.all()[0];
        assert_eq!(run.id.first, 150);
        assert_eq!(run.id.sequences().collect::<Vec<_>>(), [150, 200, 250, 255]);
        assert_eq!((run.bytes, run.names), (40, 20));
        // Of the stretch before, and of the one behind.
        runs.gather(INDEX, 127, 10, 5);
        runs.gather(INDEX, 256, 10, 5);
        assert_eq!(runs.gathering.len(), 3);
        assert!(runs.has(INDEX, 127) && runs.has(INDEX, 250));
        assert!(!runs.has(IndexId(8), 250) && !runs.has(INDEX, 151));
    }

    #[test]
    fn a_run_ends_with_its_span_its_bytes_and_the_room_for_others() {
        let mut runs = Runs::default();
        for sequence in 128..=254 {
            assert!(matches!(
                runs.gather(INDEX, sequence, 1, 1),
                Some(Gathered::Yes)
            ));
        }
        let Some(Gathered::Full(run)) = runs.gather(INDEX, 255, 1, 1) else {
            unreachable!("not full")
        };
        assert_eq!(run.id.len(), 128);
        runs.remove(&run);
        let mut bytes = 0;
        for sequence in 256.. {
            bytes += MAX_MEMBER;
            match runs.gather(INDEX, sequence, MAX_MEMBER, 1) {
                Some(Gathered::Yes) => {}
                Some(Gathered::Full(run)) => {
                    assert_eq!(run.bytes, MAX_FILES);
                    assert_eq!(bytes, MAX_FILES);
                    break;
                }
                other => unreachable!("{other:?}"),
            }
        }
        runs.clear();
        for number in 0..MAX_RUNS as u64 {
            runs.gather(INDEX, 1 + number * 1000, 1, 1);
        }
        let Some(Gathered::Crowded(oldest)) = runs.gather(INDEX, 1_000_000, 1, 1) else {
            unreachable!("room without end")
        };
        assert_eq!(oldest.id.first, 1);
        assert!(!runs.has(INDEX, 1_000_000));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut runs = Runs::default();
        let now = Instant::from_micros(1);
        runs.fetch_alone(now, INDEX, 1..5);
        assert!(runs.is_alone(now, INDEX, 4) && !runs.is_alone(now, INDEX, 5));
        runs.fetch_alone(now, INDEX, 5..10_000);
        assert!(runs.alone.is_empty());
        assert!(runs.is_alone(now, INDEX, 20_000));
        assert!(!runs.is_alone(now, IndexId(8), 20_000));
        assert!(!runs.is_alone(now + SHUNNED, INDEX, 20_000));
    }
}
