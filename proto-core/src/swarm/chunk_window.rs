//! A set of chunks among those that matter now: a window that moves over a content of any length.

/// Chunks in a window: 150 MB of chunks of average size, more than is ever under way.
pub const WINDOW: u32 = 2048;

const WORD: u32 = u64::BITS;
const WORDS: usize = (WINDOW / WORD) as usize;

/// A set of places in a window, 0 to [`WINDOW`] - 1. The first place is the most significant bit of the first
/// word, so that the words in network byte order are the bitmap of HAVE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkWindow {
    words: [u64; WORDS],
}

impl ChunkWindow {
    /// No chunk.
    pub const EMPTY: Self = Self { words: [0; WORDS] };

    /// Whether the chunk at a place is in the set; none beyond the window is.
    #[must_use]
    pub fn get(&self, place: u32) -> bool {
        self.words
            .get((place / WORD) as usize)
            .is_some_and(|word| word & bit(place) != 0)
    }

    /// Adds a place; beyond the window nothing happens.
    pub fn set(&mut self, place: u32) {
        if let Some(word) = self.words.get_mut((place / WORD) as usize) {
            *word |= bit(place);
        }
    }

    /// Takes a place out; beyond the window nothing happens.
    pub fn unset(&mut self, place: u32) {
        if let Some(word) = self.words.get_mut((place / WORD) as usize) {
            *word &= !bit(place);
        }
    }

    /// Adds the places before `end`.
    pub fn set_before(&mut self, end: u32) {
        for place in 0..end.min(WINDOW) {
            self.set(place);
        }
    }

    /// Places at the start that are all in the set, in whole words.
    #[must_use]
    pub fn full_words(&self) -> u32 {
        let full = self.words.iter().take_while(|word| **word == u64::MAX);
        full.count() as u32 * WORD
    }

    /// Moves the window by a whole number of words of places: the first ones leave, and the last ones
    /// are not in the set.
    pub fn advance(&mut self, places: u32) {
        let words = (places / WORD) as usize;
        for at in 0..WORDS {
            let moved = self.words.get(at + words).copied().unwrap_or(0);
            if let Some(word) = self.words.get_mut(at) {
                *word = moved;
            }
        }
    }

    /// Those that are in `self` and in none of `without`, as a set.
    #[must_use]
    pub fn without(&self, without: &[&Self]) -> Self {
        let mut left = self.clone();
        for other in without {
            for (word, other) in left.words.iter_mut().zip(&other.words) {
                *word &= !other;
            }
        }
        left
    }

    /// Adds all of another set.
    pub fn join(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// All places before `end`.
    #[must_use]
    pub fn before(end: u32) -> Self {
        let mut all = Self::EMPTY;
        all.set_before(end);
        all
    }

    /// The first place from `start` on, else the first of all.
    #[must_use]
    pub fn first_from(&self, start: u32) -> Option<u32> {
        let start = start % WINDOW;
        let skipped = start / WORD;
        let words = || self.words.iter().enumerate();
        let of =
            |(at, word): (usize, u64)| (word != 0).then(|| at as u32 * WORD + word.leading_zeros());
        words()
            .map(|(at, word)| match (at as u32).cmp(&skipped) {
                core::cmp::Ordering::Less => (at, 0),
                core::cmp::Ordering::Equal => (at, word & (u64::MAX >> (start % WORD))),
                core::cmp::Ordering::Greater => (at, *word),
            })
            .find_map(of)
            .or_else(|| words().map(|(at, word)| (at, *word)).find_map(of))
    }

    /// Writes the set as a bitmap without the places behind its last; how many places the bitmap covers,
    /// at least one.
    pub fn write(&self, bitmap: &mut [u8; (WINDOW / 8) as usize]) -> u16 {
        for (bytes, word) in bitmap.chunks_exact_mut(8).zip(&self.words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        let last = self.words.iter().rposition(|word| *word != 0);
        let count = last.and_then(|at| {
            let word = self.words.get(at)?;
            Some(at as u32 * WORD + WORD - word.trailing_zeros())
        });
        count.unwrap_or(1) as u16
    }
}

fn bit(place: u32) -> u64 {
    1 << (WORD - 1 - place % WORD)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn window(places: &BTreeSet<u32>) -> ChunkWindow {
        let mut window = ChunkWindow::EMPTY;
        for place in places {
            window.set(*place);
        }
        window
    }

    fn places(window: &ChunkWindow) -> BTreeSet<u32> {
        (0..WINDOW).filter(|place| window.get(*place)).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set_that_moves(
            set in prop::collection::btree_set(0..WINDOW, 0..200),
            other in prop::collection::btree_set(0..WINDOW, 0..200),
            start in 0..WINDOW,
            words in 0..40u32,
        ) {
            let held = window(&set);
            prop_assert_eq!(&places(&held), &set);
            let next = set.range(start..).next().or(set.first());
            prop_assert_eq!(held.first_from(start), next.copied());
            let left: BTreeSet<u32> = set.difference(&other).copied().collect();
            prop_assert_eq!(places(&held.without(&[&window(&other)])), left);
            let mut moved = held.clone();
            moved.advance(words * WORD);
            let after: BTreeSet<u32> = set.iter().filter_map(|place| place.checked_sub(words * WORD)).collect();
            prop_assert_eq!(places(&moved), after);
            let mut bitmap = [0; (WINDOW / 8) as usize];
            let count = held.write(&mut bitmap);
            prop_assert_eq!(u32::from(count), set.last().map_or(1, |last| last + 1));
            let read: Vec<u32> = (0..u32::from(count))
                .filter(|place| bitmap[(*place / 8) as usize] & (128 >> (place % 8)) != 0)
                .collect();
            prop_assert_eq!(read, set.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn full_words_are_counted_from_the_start() {
        let mut held = ChunkWindow::before(130);
        assert_eq!(held.full_words(), 128);
        held.set_before(WINDOW + 7);
        assert_eq!(held.full_words(), WINDOW);
        assert!(!held.get(WINDOW));
    }
}
