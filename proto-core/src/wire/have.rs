//! HAVE: which chunks of a content in transit a peer already holds (docs/protocol.md, "Have").

use super::Operation;
use super::cursor::{Reader, WireError, Writer};
use crate::content::ContentId;

const ASKS: u8 = 1;
const WHOLE: u8 = 2;

/// Chunks held of a content in transit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Have<'a> {
    /// The content.
    pub content: ContentId,
    /// The sender wants to be told what the receiver has of it.
    pub asks: bool,
    /// The sender has all of it. Else it fetches it, and has all chunks before the first bit's.
    pub whole: bool,
    /// The chunk that the first bit stands for.
    pub first: u32,
    /// How many chunks the bitmap covers, at least one.
    pub count: u16,
    /// A bit for each, most significant first.
    pub held: &'a [u8],
}

impl<'a> Have<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let flags = reader.u8("flags")?;
        let count = reader.u16("count")?;
        let content = ContentId(reader.array("content id")?);
        let first = reader.u32("first chunk")?;
        let held = reader.take(usize::from(count).div_ceil(8), "bitmap")?;
        reader.end()?;
        check(first, count)?;
        Ok(Self {
            content,
            asks: flags & ASKS != 0,
            whole: flags & WHOLE != 0,
            first,
            count,
            held,
        })
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`], or [`WireError::Invalid`] for what no HAVE may say.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        check(self.first, self.count)?;
        let mut writer = Writer::new(out);
        let flags = (u8::from(self.asks) * ASKS) | (u8::from(self.whole) * WHOLE);
        writer.put(&[Operation::HAVE.0, flags])?;
        writer.put(&self.count.to_be_bytes())?;
        writer.put(&self.content.0)?;
        writer.put(&self.first.to_be_bytes())?;
        writer.put(
            self.held
                .get(..usize::from(self.count).div_ceil(8))
                .ok_or(WireError::Invalid("bitmap"))?,
        )?;
        Ok(writer.len())
    }
}

/// At least one chunk, and none whose number is not a u32.
fn check(first: u32, count: u16) -> Result<(), WireError> {
    let last = u32::from(count)
        .checked_sub(1)
        .and_then(|more| first.checked_add(more));
    last.map(drop).ok_or(WireError::Invalid("count"))
}
