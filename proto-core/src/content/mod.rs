//! Contents: the bytes of a file, cut into chunks, named by the hash over their list.

pub mod cut;
pub mod draft;
pub mod recipe;

/// Name of a content: the BLAKE3 hash over its recipe (docs/protocol.md, "Contents").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ContentId(pub [u8; 32]);

/// BLAKE3 hash over the bytes of one chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChunkHash(pub [u8; 32]);

/// One chunk of a content, as a recipe lists it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkRef {
    /// Bytes, 1 to [`crate::limits::MAX_PIECE`].
    pub len: u32,
    /// Hash of the bytes.
    pub hash: ChunkHash,
}

impl core::fmt::Debug for ContentId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        hex(&self.0, f)
    }
}

impl core::fmt::Display for ContentId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        hex(&self.0, f)
    }
}

impl core::fmt::Debug for ChunkHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        hex(&self.0, f)
    }
}

fn hex(bytes: &[u8], f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
