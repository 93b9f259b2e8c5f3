//! Where a content is cut into chunks: FastCDC (Xia et al., USENIX ATC 2016) with normalized chunking
//! of level 2. Every peer must cut alike, so all of this is part of the protocol (docs/protocol.md,
//! "Chunks").

use crate::limits::MAX_PIECE;

/// From the file size on that is above this, in bytes, chunks are four times larger, so that a recipe
/// stays small.
const LARGE_FILE: u64 = 1 << 30;

/// Bytes that the gear hash looks back on: each byte shifts it by one of its 64 bits.
const WINDOW: usize = 64;

/// Smallest chunk of any content but its last, in bytes: a file of at most this many is one chunk.
pub const SMALLEST_CHUNK: u32 = 16 * 1024;

/// Level of normalized chunking: bits by which the mask is stricter below the average size and looser
/// above it.
const LEVEL: u32 = 2;

/// "tinypeer" in ASCII: where splitmix64 begins to make the gear table.
const SEED: u64 = 0x7469_6e79_7065_6572;

/// One random number for each value of a byte.
static GEAR: [u64; 256] = gear_table();

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

    /// The hashes below this cut a chunk that is as yet shorter than the average.
    const fn strict(self) -> u64 {
        1 << (u64::BITS - self.avg.ilog2() - LEVEL)
    }

    /// The hashes below this cut a chunk of the average size or more.
    const fn loose(self) -> u64 {
        1 << (u64::BITS - self.avg.ilog2() + LEVEL)
    }
}

/// Cuts a content that comes in parts of any length; where it is cut does not depend on the parts.
#[derive(Clone, Debug)]
pub struct Cutter {
    params: Params,
    /// Bytes of the chunk so far.
    len: usize,
    hash: u64,
}

impl Cutter {
    /// A cutter at the start of a content.
    #[must_use]
    pub const fn new(params: Params) -> Self {
        Self {
            params,
            len: 0,
            hash: 0,
        }
    }

    /// Takes the next bytes of the content. `Some(n)`: the chunk ends after the first `n` of them and
    /// the next one begins; push the rest again. `None`: all are taken and the chunk goes on.
    pub fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        let Params { min, avg, max } = self.params;
        let mut rest = bytes;
        // What no decision depends on is not even looked at.
        self.skip_to(min - WINDOW, &mut rest);
        let cut = self.scan_to(min - 1, 0, &mut rest)
            || self.scan_to(avg - 1, self.params.strict(), &mut rest)
            || self.scan_to(max - 1, self.params.loose(), &mut rest)
            || self.skip_to(max, &mut rest);
        if cut {
            *self = Self::new(self.params);
        }
        cut.then(|| bytes.len() - rest.len())
    }

    /// Takes bytes until the chunk has `end` of them; whether it has.
    fn skip_to(&mut self, end: usize, rest: &mut &[u8]) -> bool {
        let len = end.saturating_sub(self.len).min(rest.len());
        self.len += len;
        *rest = rest.get(len..).unwrap_or_default();
        self.len == end
    }

    /// Takes bytes until the chunk has `end` of them or its hash falls below `limit`; whether it fell.
    fn scan_to(&mut self, end: usize, limit: u64, rest: &mut &[u8]) -> bool {
        let len = end.saturating_sub(self.len).min(rest.len());
        let (part, _) = rest.split_at_checked(len).unwrap_or_default();
        let mut hash = self.hash;
        // Blocks whose hashes do not wait for each other: a third faster than byte by byte.
        let (blocks, _) = part.as_chunks::<4>();
        let in_blocks = blocks.iter().position(|block| {
            let (next, falls) = roll_block(hash, block, limit);
            if !falls {
                hash = next;
            }
            falls
        });
        let passed = 4 * in_blocks.unwrap_or(blocks.len());
        let cut = part
            .get(passed..)
            .unwrap_or_default()
            .iter()
            .position(|&byte| {
                hash = roll(hash, byte);
                hash < limit
            });
        self.hash = hash;
        let taken = cut.map_or(len, |at| passed + at + 1);
        self.len += taken;
        *rest = rest.get(taken..).unwrap_or_default();
        cut.is_some()
    }
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

/// The gear hash a block further, and whether it falls below `limit` on the way.
fn roll_block(hash: u64, block: &[u8; 4], limit: u64) -> (u64, bool) {
    let mut alone = 0;
    let mut next = hash;
    let mut falls = false;
    for (shift, &byte) in (1..).zip(block) {
        // What the block alone would hash to; only then comes the hash that had to be waited for.
        alone = roll(alone, byte);
        next = (hash << shift).wrapping_add(alone);
        falls |= next < limit;
    }
    (next, falls)
}

/// The gear hash one byte further.
fn roll(hash: u64, byte: u8) -> u64 {
    // The table has a place for each byte; the compiler sees it too and leaves the default out.
    (hash << 1).wrapping_add(GEAR.get(usize::from(byte)).copied().unwrap_or_default())
}

const fn gear_table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut rest: &mut [u64] = &mut table;
    let mut state = SEED;
    while let Some((first, others)) = rest.split_first_mut() {
        // splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *first = mixed ^ (mixed >> 31);
        rest = others;
    }
    table
}
