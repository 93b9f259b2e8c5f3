//! Recipes: the list of a content's chunks, and the content id that is the hash over it
//! (docs/protocol.md, "Contents").

use super::{ChunkHash, ChunkRef, ContentId};
use crate::limits::{MAX_PIECE, RECIPE_BLOCK_CHUNKS};

/// Bytes of one chunk reference: length, u32 in network byte order, and hash.
pub const CHUNK_REF_LEN: usize = 36;

/// Largest recipe block in bytes.
pub const MAX_RECIPE_BLOCK: usize = RECIPE_BLOCK_CHUNKS * CHUNK_REF_LEN;

/// Hashed before the recipe, so that no recipe is mistaken for a file's chunk.
const DOMAIN: &[u8] = b"tinypeer content 1";

/// Content id of the empty file, whose recipe is empty.
pub const EMPTY: ContentId = ContentId([
    0x32, 0x24, 0x9d, 0xb1, 0x36, 0x7b, 0x82, 0x5b, 0x1b, 0x16, 0xee, 0x9d, 0xaf, 0x94, 0x20, 0x75,
    0xcf, 0x2f, 0xba, 0xc2, 0x24, 0x4c, 0x9f, 0x51, 0x15, 0x38, 0x8f, 0x96, 0x6e, 0xbf, 0x6d, 0xf5,
]);

/// Why bytes are not a recipe block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecipeError {
    /// Not 1 to [`RECIPE_BLOCK_CHUNKS`] whole chunk references.
    BlockLength,
    /// A chunk of 0 or more than [`MAX_PIECE`] bytes.
    ChunkLength,
}

impl core::fmt::Display for RecipeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BlockLength => "recipe block is not a whole number of chunk references",
            Self::ChunkLength => "recipe names a chunk of an impossible length",
        })
    }
}

impl core::error::Error for RecipeError {}

/// Hashes one chunk.
#[must_use]
pub fn hash_chunk(bytes: &[u8]) -> ChunkHash {
    ChunkHash(*blake3::hash(bytes).as_bytes())
}

/// Hashes one chunk that comes in parts.
#[derive(Clone, Debug, Default)]
pub struct ChunkHasher {
    hasher: blake3::Hasher,
    len: u32,
}

impl ChunkHasher {
    /// A hasher before the first byte of a chunk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the chunk's next bytes. Parts of 16 KiB and more are hashed several times faster than
    /// small ones.
    pub fn push(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len = u32::try_from(bytes.len()).map_or(u32::MAX, |len| self.len.saturating_add(len));
    }

    /// Bytes of the chunk so far.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the chunk has no byte yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunk that ends here; the next byte begins another one.
    pub fn finish(&mut self) -> ChunkRef {
        let chunk = ChunkRef {
            len: self.len,
            hash: ChunkHash(*self.hasher.finalize().as_bytes()),
        };
        self.hasher.reset();
        self.len = 0;
        chunk
    }
}

/// Hashes a recipe to its content id, chunk by chunk.
#[derive(Clone, Debug)]
pub struct ContentIdHasher {
    hasher: blake3::Hasher,
}

impl ContentIdHasher {
    /// A hasher before the first chunk.
    #[must_use]
    pub fn new() -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN);
        Self { hasher }
    }

    /// Adds the content's next chunk.
    pub fn push(&mut self, chunk: &ChunkRef) {
        self.hasher.update(&write(chunk));
    }

    /// The id of the content that has just these chunks.
    #[must_use]
    pub fn finish(&self) -> ContentId {
        ContentId(*self.hasher.finalize().as_bytes())
    }
}

impl Default for ContentIdHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// Id of a content that is one chunk.
#[must_use]
pub fn single_chunk(len: u32, hash: ChunkHash) -> ContentId {
    let mut hasher = ContentIdHasher::new();
    hasher.push(&ChunkRef { len, hash });
    hasher.finish()
}

/// The bytes of a chunk reference.
#[must_use]
pub fn write(chunk: &ChunkRef) -> [u8; CHUNK_REF_LEN] {
    let mut bytes = [0; CHUNK_REF_LEN];
    let (len, hash) = bytes.split_at_mut(size_of::<u32>());
    len.copy_from_slice(&chunk.len.to_be_bytes());
    hash.copy_from_slice(&chunk.hash.0);
    bytes
}

/// Reads a recipe block.
///
/// # Errors
/// If it is not 1 to [`RECIPE_BLOCK_CHUNKS`] chunk references of 1 to [`MAX_PIECE`] bytes each.
pub fn parse_block(
    bytes: &[u8],
) -> Result<impl ExactSizeIterator<Item = ChunkRef> + Clone + '_, RecipeError> {
    let (chunks, rest) = bytes.as_chunks::<CHUNK_REF_LEN>();
    if !rest.is_empty() || !(1..=RECIPE_BLOCK_CHUNKS).contains(&chunks.len()) {
        return Err(RecipeError::BlockLength);
    }
    let chunks = chunks.iter().map(parse);
    let fits = |chunk: ChunkRef| {
        usize::try_from(chunk.len).is_ok_and(|len| (1..=MAX_PIECE).contains(&len))
    };
    if chunks.clone().all(fits) {
        Ok(chunks)
    } else {
        Err(RecipeError::ChunkLength)
    }
}

fn parse(bytes: &[u8; CHUNK_REF_LEN]) -> ChunkRef {
    let [a, b, c, d, hash @ ..] = *bytes;
    ChunkRef {
        len: u32::from_be_bytes([a, b, c, d]),
        hash: ChunkHash(hash),
    }
}
