//! Which segments of one piece: received, wanted or asked for.

use crate::limits::{MAX_PIECE, MIN_DATAGRAM};

/// Bytes of a datagram that at most are not segment: what surrounds it on the wire.
const MAX_OVERHEAD: usize = 60;

/// Most segments that a piece can have: the largest piece in the smallest datagrams.
pub const MAX_SEGMENTS: usize = MAX_PIECE.div_ceil(MIN_DATAGRAM - MAX_OVERHEAD);

/// Longest bitmap on the wire in bytes.
pub const MAX_BITMAP_BYTES: usize = MAX_SEGMENTS.div_ceil(8);

const WORD: usize = u64::BITS as usize;
const WORD_BYTES: usize = size_of::<u64>();
const WORDS: usize = MAX_SEGMENTS.div_ceil(WORD);

/// A set of segment numbers below [`MAX_SEGMENTS`].
///
/// On the wire segment `i` is a bit of byte `i / 8`, the most significant one for `i % 8 == 0`. Words
/// hold the bits in the same order: they are the wire's bytes read in network byte order. Bits from
/// [`MAX_SEGMENTS`] on are never set.
#[derive(Clone, PartialEq, Eq)]
pub struct SegmentBitmap {
    words: [u64; WORDS],
    /// Bits that are set: asked for of every piece whenever a chunk is chosen.
    count: u16,
}

impl SegmentBitmap {
    /// No segment.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            words: [0; WORDS],
            count: 0,
        }
    }

    /// The first `count` segments (at most [`MAX_SEGMENTS`]).
    #[must_use]
    pub fn fill(count: usize) -> Self {
        let mut bitmap = Self::new();
        for (word, mask) in bitmap.words.iter_mut().zip(masks(count)) {
            *word = mask;
        }
        bitmap.count_again();
        bitmap
    }

    fn count_again(&mut self) {
        let ones: u32 = self.words.iter().map(|word| word.count_ones()).sum();
        self.count = u16::try_from(ones).unwrap_or(u16::MAX);
    }

    /// Whether segment `at` is in the set; no segment from [`MAX_SEGMENTS`] on is.
    #[must_use]
    pub fn get(&self, at: usize) -> bool {
        self.words
            .get(at / WORD)
            .is_some_and(|word| word & bit(at) != 0)
    }

    /// Adds segment `at`; whether it was missing before. From [`MAX_SEGMENTS`] on there is nothing
    /// to add, so the answer is no.
    pub fn set(&mut self, at: usize) -> bool {
        match self.words.get_mut(at / WORD) {
            Some(word) if at < MAX_SEGMENTS => {
                let missing = *word & bit(at) == 0;
                *word |= bit(at);
                self.count += u16::from(missing);
                missing
            }
            _ => false,
        }
    }

    /// Takes segment `at` out; whether it was in the set.
    pub fn clear(&mut self, at: usize) -> bool {
        let was_set = self.get(at);
        if let Some(word) = self.words.get_mut(at / WORD) {
            *word &= !bit(at);
        }
        self.count -= u16::from(was_set);
        was_set
    }

    /// Number of segments in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is no segment in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the first `count` segments (at most [`MAX_SEGMENTS`]) are all in the set.
    #[must_use]
    pub fn all_set(&self, count: usize) -> bool {
        self.words
            .iter()
            .zip(masks(count))
            .all(|(word, mask)| word & mask == mask)
    }

    /// First of the first `count` segments that is not in the set.
    #[must_use]
    pub fn first_missing(&self, count: usize) -> Option<usize> {
        self.missing(count).next()
    }

    /// The segments in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        ones(self.words.iter().copied())
    }

    /// Those of the first `count` segments (at most [`MAX_SEGMENTS`]) that are not in the set, in
    /// order.
    pub fn missing(&self, count: usize) -> impl Iterator<Item = usize> + '_ {
        ones(
            self.words
                .iter()
                .zip(masks(count))
                .map(|(word, mask)| !word & mask),
        )
    }

    /// Writes the first `count` segments to the start of `wire`: how many bytes that took; `None` if
    /// there is no room or `count` is above [`MAX_SEGMENTS`].
    #[must_use]
    pub fn write(&self, count: usize, wire: &mut [u8]) -> Option<usize> {
        if count > MAX_SEGMENTS {
            return None;
        }
        let len = count.div_ceil(8);
        let wire = wire.get_mut(..len)?;
        let words = self
            .words
            .iter()
            .zip(masks(count))
            .map(|(word, mask)| word & mask);
        for (bytes, word) in wire.chunks_mut(WORD_BYTES).zip(words) {
            bytes
                .iter_mut()
                .zip(word.to_be_bytes())
                .for_each(|(byte, value)| *byte = value);
        }
        Some(len)
    }

    /// Reads a bitmap from the wire; `None` if it is longer than [`MAX_BITMAP_BYTES`] or names a
    /// segment from [`MAX_SEGMENTS`] on.
    #[must_use]
    pub fn read(wire: &[u8]) -> Option<Self> {
        if wire.len() > MAX_BITMAP_BYTES {
            return None;
        }
        let mut bitmap = Self::new();
        for (word, bytes) in bitmap.words.iter_mut().zip(wire.chunks(WORD_BYTES)) {
            let mut padded = [0; WORD_BYTES];
            padded
                .iter_mut()
                .zip(bytes)
                .for_each(|(byte, &value)| *byte = value);
            *word = u64::from_be_bytes(padded);
        }
        bitmap.count_again();
        let inside = bitmap
            .words
            .iter()
            .zip(masks(MAX_SEGMENTS))
            .all(|(word, mask)| word & !mask == 0);
        inside.then_some(bitmap)
    }
}

impl Default for SegmentBitmap {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for SegmentBitmap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The bit of segment `at` in its word.
const fn bit(at: usize) -> u64 {
    1 << (WORD - 1 - at % WORD)
}

/// For each word its bits that stand for the first `count` segments.
fn masks(count: usize) -> impl Iterator<Item = u64> {
    let count = count.min(MAX_SEGMENTS);
    (0..WORDS).map(move |word| match count.saturating_sub(word * WORD) {
        0 => 0,
        bits if bits >= WORD => u64::MAX,
        bits => u64::MAX << (WORD - bits),
    })
}

/// Numbers of the bits that are set, in order.
fn ones(words: impl Iterator<Item = u64>) -> impl Iterator<Item = usize> {
    words.enumerate().flat_map(|(at, word)| {
        let mut rest = word;
        core::iter::from_fn(move || {
            let place = rest.leading_zeros() as usize;
            rest &= !bit(place);
            (place < WORD).then_some(at * WORD + place)
        })
    })
}
