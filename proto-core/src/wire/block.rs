//! BLOCK: one segment of a piece (docs/protocol.md, "Block").

use super::Operation;
use super::cursor::{Reader, WireError, Writer};
use super::encoding::Encoding;
use crate::limits::MAX_PIECE;
use crate::storage::segment_bitmap::MAX_SEGMENTS;

/// The head of a BLOCK; the segment's bytes follow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// How the piece travels; its segments are those of the encoded piece.
    pub encoding: Encoding,
    /// Place of the segment in the piece, below [`MAX_SEGMENTS`].
    pub segment: u16,
    /// As in the REQUEST.
    pub tag: u32,
    /// Length of the whole piece, as it travels, in bytes: 1 to [`MAX_PIECE`].
    pub length: u32,
}

impl Block {
    /// Bytes before the payload.
    pub const HEADER_LEN: usize = 12;

    pub(super) fn parse(mut reader: Reader<'_>) -> Result<(Self, &[u8]), WireError> {
        let encoding = Encoding(reader.u8("encoding")?);
        let segment = reader.u16("segment")?;
        let tag = reader.u32("tag")?;
        let length = reader.u32("length")?;
        let payload = reader.rest();
        if payload.is_empty() {
            return Err(WireError::Short("payload"));
        }
        if usize::from(segment) >= MAX_SEGMENTS {
            return Err(WireError::Invalid("segment"));
        }
        if length as usize > MAX_PIECE || payload.len() > length as usize {
            return Err(WireError::Invalid("length"));
        }
        Ok((
            Self {
                encoding,
                segment,
                tag,
                length,
            },
            payload,
        ))
    }

    /// Writes the head; the payload is read in place behind it. How many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`].
    pub fn emit_header(&self, out: &mut [u8]) -> Result<usize, WireError> {
        let mut writer = Writer::new(out);
        writer.put(&[Operation::BLOCK.0, self.encoding.0])?;
        writer.put(&self.segment.to_be_bytes())?;
        writer.put(&self.tag.to_be_bytes())?;
        writer.put(&self.length.to_be_bytes())?;
        Ok(writer.len())
    }
}
