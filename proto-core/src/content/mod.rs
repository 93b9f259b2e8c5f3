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

/// Written at once: each small file that lands has such a name.
fn hex(bytes: &[u8; 32], f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    let digit = |nibble: u8| match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    };
    let mut text = [0; 64];
    for (digits, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *digits = [digit(byte >> 4), digit(byte & 15)];
    }
    f.write_str(core::str::from_utf8(&text).unwrap_or_default())
}
