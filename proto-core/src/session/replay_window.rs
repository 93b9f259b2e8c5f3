//! Which counters of a session were already received: the window of RFC 4303, section 3.4.3, as a
//! ring of words that never has to be shifted (RFC 6479).

/// Bits in a word of the ring.
const WORD: u64 = u64::BITS as u64;
/// Words in the ring; a power of two, so that a word's place is the low bits of its number.
const WORDS: usize = 64;
/// How far behind the greatest received counter another may come, in counters. One word is always in
/// use for the counters above. At 100,000 datagrams per second this is 40 ms of reordering.
pub const REPLAY_WINDOW: u64 = (WORDS as u64 - 1) * WORD;

const _: () = assert!(WORDS.is_power_of_two() && REPLAY_WINDOW >= 2048);

/// The counters below [`Self::next`] that still may come, one bit each: set when it came.
#[derive(Debug, Clone)]
pub struct ReplayWindow {
    /// One more than the greatest counter received; 0 before the first.
    next: u64,
    ring: [u64; WORDS],
}

impl ReplayWindow {
    /// Before any datagram.
    pub const fn new() -> Self {
        Self {
            next: 0,
            ring: [0; WORDS],
        }
    }

    /// Whether this counter may be accepted: not received yet and not too far behind. Changes nothing,
    /// because the datagram is not verified yet.
    pub fn is_new(&self, counter: u64) -> bool {
        if counter >= self.next {
            return counter < u64::MAX;
        }
        if self.next - counter > REPLAY_WINDOW {
            return false;
        }
        let (place, bit) = Self::locate(counter);
        self.ring.get(place).is_some_and(|word| word & bit == 0)
    }

    /// Remembers a counter that [`Self::is_new`] and whose datagram was verified.
    pub fn commit(&mut self, counter: u64) {
        if counter >= self.next {
            // Words between the old and the new greatest counter still hold what was a ring ago.
            let newest = self.next.checked_sub(1).map(|greatest| greatest / WORD);
            let stale = newest.map_or(WORDS as u64, |newest| {
                (counter / WORD - newest).min(WORDS as u64)
            });
            for back in 0..stale {
                let (place, _) =
                    Self::locate((counter / WORD).wrapping_sub(back).wrapping_mul(WORD));
                if let Some(word) = self.ring.get_mut(place) {
                    *word = 0;
                }
            }
            self.next = counter.saturating_add(1);
        }
        let (place, bit) = Self::locate(counter);
        if let Some(word) = self.ring.get_mut(place) {
            *word |= bit;
        }
    }

    /// Place in the ring and bit in the word.
    fn locate(counter: u64) -> (usize, u64) {
        let place = (counter / WORD) & (WORDS as u64 - 1);
        (usize::try_from(place).unwrap_or(0), 1 << (counter % WORD))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{REPLAY_WINDOW, ReplayWindow};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The same law without a ring.
    #[derive(Default)]
    struct Model(BTreeSet<u64>);

    impl Model {
        fn is_new(&self, counter: u64) -> bool {
            let next = self.0.last().map_or(0, |greatest| greatest + 1);
            !self.0.contains(&counter) && (counter >= next || next - counter <= REPLAY_WINDOW)
        }
    }

    #[test]
    fn each_counter_in_the_window_is_taken_once_in_any_order() {
        let mut window = ReplayWindow::new();
        for counter in (0..REPLAY_WINDOW).rev() {
            assert!(window.is_new(counter));
            window.commit(counter);
            assert!(!window.is_new(counter));
        }
        window.commit(REPLAY_WINDOW + 1);
        assert!(
            !window.is_new(1),
            "already received, and too far behind as well"
        );
        assert!(window.is_new(REPLAY_WINDOW));
    }

    #[test]
    fn the_edges_of_the_window_and_of_the_number() {
        let mut window = ReplayWindow::new();
        window.commit(1_000_000);
        assert!(window.is_new(1_000_001 - REPLAY_WINDOW));
        assert!(!window.is_new(1_000_000 - REPLAY_WINDOW));
        window.commit(u64::MAX - 1);
        assert!(
            !window.is_new(u64::MAX) && !window.is_new(u64::MAX - 1) && window.is_new(u64::MAX - 2)
        );
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(steps in proptest::collection::vec((0u64..3, 0u64..9000), 1..400)) {
            let (mut window, mut model) = (ReplayWindow::new(), Model::default());
            let mut base = 0u64;
            for (kind, offset) in steps {
                let counter = match kind {
                    0 => base + offset % 70,
                    1 => (base + 10).saturating_sub(offset),
                    _ => base + offset,
                };
                prop_assert_eq!(window.is_new(counter), model.is_new(counter), "{}", counter);
                if model.is_new(counter) {
                    window.commit(counter);
                    model.0.insert(counter);
                }
                base = base.max(counter);
            }
        }
    }
}
