//! Journal pages: a peer's entries after a sequence, in bounded pieces (docs/protocol.md, "Journal pages").

use super::cursor::{Reader, WireError, Writer};
pub use super::entry::EntryRef;
use super::entry::{self};
use crate::index::entry::{Entry, IndexId, Sequence};

/// Bytes before the first entry.
pub const HEAD_LEN: usize = 40;
const COUNT_AT: core::ops::Range<usize> = 32..34;
const THROUGH_AT: core::ops::Range<usize> = 16..24;
const NEWEST_AT: core::ops::Range<usize> = 24..32;
const CHECKSUM_AT: core::ops::Range<usize> = 36..40;

/// A page whose checksum and entries have been checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page<'a> {
    /// Whose journal.
    pub index_id: IndexId,
    /// The page holds all changes after this sequence ...
    pub after: Sequence,
    /// ... up to and with this one.
    pub through: Sequence,
    /// The newest sequence of that index.
    pub newest: Sequence,
    entries: &'a [u8],
}

/// CRC-32 (IEEE) over the page with the checksum's own bytes left out: two states of a journal that
/// got mixed segment by segment do not pass. Who may write is the seal's business.
fn checksum(page: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(page.get(..CHECKSUM_AT.start).unwrap_or_default());
    hasher.update(page.get(CHECKSUM_AT.end..).unwrap_or_default());
    hasher.finalize()
}

impl<'a> Page<'a> {
    /// Reads a page and checks all of it.
    ///
    /// # Errors
    /// It breaks a rule of docs/protocol.md.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let index_id = IndexId(reader.u64("index id")?);
        let after = reader.u64("after")?;
        let through = reader.u64("through")?;
        let newest = reader.u64("newest")?;
        let count = reader.u16("count")?;
        reader.u16("reserved")?;
        if reader.u32("checksum")? != checksum(bytes) {
            return Err(WireError::Invalid("checksum"));
        }
        if through < after || newest < through {
            return Err(WireError::Invalid("through"));
        }
        let entries = reader.rest();
        let mut checked = Reader::new(entries);
        let mut last = after;
        for _ in 0..count {
            let told = entry::parse(&mut checked)?;
            if told.entry.sequence <= last || told.entry.sequence > through {
                return Err(WireError::Invalid("sequence"));
            }
            last = told.entry.sequence;
        }
        checked.end()?;
        Ok(Self {
            index_id,
            after,
            through,
            newest,
            entries,
        })
    }

    /// The entries, in the order of their sequences.
    pub fn entries(&self) -> impl Iterator<Item = EntryRef<'a>> + use<'a> {
        let mut reader = Reader::new(self.entries);
        core::iter::from_fn(move || entry::parse(&mut reader).ok())
    }
}

/// Writes a page entry by entry.
#[derive(Debug)]
pub struct PageWriter<'a> {
    writer: Writer<'a>,
    count: u16,
    last: Sequence,
}

impl<'a> PageWriter<'a> {
    /// A page of this index after this sequence, without entries yet.
    ///
    /// # Errors
    /// [`WireError::NoRoom`].
    pub fn new(out: &'a mut [u8], index_id: IndexId, after: Sequence) -> Result<Self, WireError> {
        let mut writer = Writer::new(out);
        writer.put(&index_id.0.to_be_bytes())?;
        writer.put(&after.to_be_bytes())?;
        writer.put(&[0; HEAD_LEN - 16])?;
        Ok(Self {
            writer,
            count: 0,
            last: after,
        })
    }

    /// Adds an entry whose sequence is above all before it.
    ///
    /// # Errors
    /// [`WireError::NoRoom`]: the page is full; `Invalid`: no entry that may be sent, in any page.
    /// Either leaves the page as it was.
    pub fn push(&mut self, entry: &Entry, path: &[u8], target: &[u8]) -> Result<(), WireError> {
        if self.count == u16::MAX {
            return Err(WireError::NoRoom);
        }
        if entry.sequence <= self.last {
            return Err(WireError::Invalid("sequence"));
        }
        entry::emit(&mut self.writer, entry, path, target)?;
        self.last = entry.sequence;
        self.count += 1;
        Ok(())
    }

    /// Ends the page: it covers all changes up to `through`, at least those of its entries; `newest`
    /// is the index's newest sequence, not less. The length of the page.
    pub fn finish(mut self, through: Sequence, newest: Sequence) -> usize {
        let written = self.writer.written();
        set(written, THROUGH_AT, &through.to_be_bytes());
        set(written, NEWEST_AT, &newest.to_be_bytes());
        set(written, COUNT_AT, &self.count.to_be_bytes());
        let sum = checksum(written);
        set(written, CHECKSUM_AT, &sum.to_be_bytes());
        self.writer.len()
    }
}

fn set(page: &mut [u8], at: core::ops::Range<usize>, bytes: &[u8]) {
    if let Some(field) = page.get_mut(at).filter(|field| field.len() == bytes.len()) {
        field.copy_from_slice(bytes);
    }
}
