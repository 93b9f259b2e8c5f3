//! Where a content is cut into chunks: as FastCDC does it (Xia et al., USENIX ATC 2016), with normalized chunking
//! of level 2, but with tests of a place that vector units make. Every peer must cut alike, so all of
//! this is part of the protocol (docs/protocol.md, "Chunks").

mod candidates;

use crate::limits::MAX_PIECE;
use candidates::{LANES, candidates};

/// From the file size on that is above this, in bytes, chunks are four times larger, so that a recipe
/// stays small.
const LARGE_FILE: u64 = 1 << 30;

/// Bytes before a place that decide whether it is a cut.
const WINDOW: usize = 32;

/// Smallest chunk of any content but its last, in bytes: a file of at most this many is one chunk.
pub const SMALLEST_CHUNK: u32 = 16 * 1024;

/// Level of normalized chunking: bits by which the mask is stricter below the average size and looser
/// above it.
const LEVEL: u32 = 2;

/// Sizes of the chunks of a content, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    min: usize,
    avg: usize,
    max: usize,
}

impl Params {
    /// Files up to 1 GiB.
    const SMALL: Self = Self {
        min: SMALLEST_CHUNK as usize,
        avg: 64 * 1024,
        max: 256 * 1024,
    };
    /// Larger files.
    const LARGE: Self = Self {
        min: 64 * 1024,
        avg: 256 * 1024,
        max: MAX_PIECE,
    };

    /// The sizes for a file of this many bytes.
    #[must_use]
    pub const fn for_size(size: u64) -> Self {
        if size <= LARGE_FILE {
            Self::SMALL
        } else {
            Self::LARGE
        }
    }

    /// Smallest chunk but for the last of a content.
    #[must_use]
    pub const fn min(self) -> usize {
        self.min
    }

    /// Size around which chunks gather; a power of two.
    #[must_use]
    pub const fn avg(self) -> usize {
        self.avg
    }

    /// Largest chunk, at most [`MAX_PIECE`].
    #[must_use]
    pub const fn max(self) -> usize {
        self.max
    }

    /// A candidate whose hash is below this cuts a chunk that is as yet shorter than the average.
    const fn strict(self) -> u64 {
        self.usual() >> LEVEL
    }

    /// A candidate whose hash is below this cuts a chunk of the average size or more.
    const fn loose(self) -> u64 {
        self.usual() << LEVEL
    }

    /// The limit between the two: candidates cut somewhat more often than once in the average size, as outside of
    /// random bytes there are fewer.
    const fn usual(self) -> u64 {
        9 << (u64::BITS + candidates::BITS - self.avg.ilog2() - 3)
    }
}

/// Cuts a content that comes in parts of any length; where it is cut does not depend on the parts.
#[derive(Clone, Debug)]
pub struct Cutter {
    params: Params,
    /// Bytes of the chunk so far.
    len: usize,
    /// The last of them, once a cut may come.
    last: [u8; WINDOW],
}

impl Cutter {
    /// A cutter at the start of a content.
    #[must_use]
    pub const fn new(params: Params) -> Self {
        Self {
            params,
            len: 0,
            last: [0; WINDOW],
        }
    }

    /// Takes the next bytes of the content. `Some(n)`: the chunk ends after the first `n` of them and
    /// the next one begins; push the rest again. `None`: all are taken and the chunk goes on.
    pub fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        let Params { min, avg, max } = self.params;
        let mut rest = bytes;
        // What no decision depends on is not even looked at.
        self.take_to(min - 1 - WINDOW, &mut rest);
        let before = self.take_to(min - 1, &mut rest);
        self.remember(before);
        let cut = self.scan_to(avg - 1, self.params.strict(), &mut rest)
            || self.scan_to(max - 1, self.params.loose(), &mut rest)
            || !self.take_to(max, &mut rest).is_empty();
        if cut {
            *self = Self::new(self.params);
        }
        cut.then(|| bytes.len() - rest.len())
    }

    /// Takes bytes until the chunk has `end` of them.
    fn take_to<'a>(&mut self, end: usize, rest: &mut &'a [u8]) -> &'a [u8] {
        let len = end.saturating_sub(self.len).min(rest.len());
        let (taken, left) = rest.split_at_checked(len).unwrap_or_default();
        self.len += taken.len();
        *rest = left;
        taken
    }

    /// Takes bytes until the chunk has `end` of them or there is a cut; whether there is.
    fn scan_to(&mut self, end: usize, limit: u64, rest: &mut &[u8]) -> bool {
        let before = (self.len, *rest);
        let part = self.take_to(end, rest);
        let cut = self.first_cut(part, limit);
        if let Some(at) = cut {
            (self.len, *rest) = before;
            self.take_to(self.len + at, rest);
        }
        self.remember(part);
        cut.is_some()
    }

    /// How many of these bytes, which come next, stand before the first cut among them.
    fn first_cut(&self, part: &[u8], limit: u64) -> Option<usize> {
        // The first bytes with those before them, so that all that is looked at lies in one piece.
        let mut joined = [0; 2 * WINDOW];
        let head = part.get(..WINDOW).unwrap_or(part);
        let (front, back) = joined.split_at_mut(WINDOW);
        front.copy_from_slice(&self.last);
        for (to, from) in back.iter_mut().zip(head) {
            *to = *from;
        }
        let joined = joined.get(..WINDOW + head.len())?;
        let in_joined = first_cut_behind_window(joined, limit).map(|end| end - WINDOW);
        in_joined.or_else(|| first_cut_behind_window(part, limit))
    }

    /// Keeps the last bytes.
    fn remember(&mut self, taken: &[u8]) {
        if let Some(last) = taken.last_chunk() {
            self.last = *last;
            return;
        }
        self.last.rotate_left(taken.len());
        for (to, from) in self.last.iter_mut().rev().zip(taken.iter().rev()) {
            *to = *from;
        }
    }
}

/// The first cut behind the window's length at the start of these bytes: how many stand before it.
fn first_cut_behind_window(bytes: &[u8], limit: u64) -> Option<usize> {
    let mut passed = WINDOW;
    while passed < bytes.len() {
        let mut candidates = candidates(bytes, passed);
        while candidates != 0 {
            let end = passed + candidates.trailing_zeros() as usize + 1;
            if hash_before(bytes, end).is_some_and(|hash| hash < limit) {
                return Some(end);
            }
            candidates &= candidates - 1;
        }
        passed += LANES;
    }
    None
}

/// The hash of the window before a place.
fn hash_before(bytes: &[u8], end: usize) -> Option<u64> {
    let window: &[u8; WINDOW] = bytes.get(..end)?.last_chunk()?;
    let (numbers, _) = window.as_chunks();
    let hash = numbers.iter().fold(0_u64, |hash, number| {
        let hash = (hash ^ u64::from_le_bytes(*number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ (hash >> 32)
    });
    Some(hash)
}

/// Length of the chunk at the start of `data`; `None` if more data is needed (there are less than
/// `params.max()` bytes and it is not the end) or nothing is left.
#[must_use]
pub fn cut(params: Params, data: &[u8], end_of_content: bool) -> Option<usize> {
    if data.is_empty() || (data.len() < params.max && !end_of_content) {
        return None;
    }
    Cutter::new(params).push(data).or(Some(data.len()))
}
