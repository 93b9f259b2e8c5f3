//! ANNOUNCE: what a peer has, how far it has read ours, and its newest entries (docs/protocol.md, "Announce").

use super::Operation;
use super::cursor::{Reader, WireError, Writer};
use crate::index::entry::{IndexId, Sequence};

const BUSY: u8 = 1;
const LEADS: u8 = 2;
const BRIDGE_SHIFT: u32 = 2;
/// Greatest number of a bridge.
pub const MAX_BRIDGE: u8 = 63;
/// Bytes before the page.
pub const HEAD_LEN: usize = 52;
/// Bytes before each content behind the page: its length.
pub const CONTENT_HEAD_LEN: usize = 2;

/// What a peer tells of itself: at once on a change, and as a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announce<'a> {
    /// The sender is scanning, hashing or landing.
    pub busy: bool,
    /// The bridge to an ancestor that the sender is, up to [`MAX_BRIDGE`]; 0 if it is none.
    pub bridge: u8,
    /// Whether it takes from the ancestor and publishes to it, and no other bridge does.
    pub leads: bool,
    /// The sender's index.
    pub index_id: IndexId,
    /// Its newest sequence.
    pub sequence: Sequence,
    /// The receiver's index as the sender knows it; zero if it has read nothing.
    pub seen_index_id: IndexId,
    /// How far the sender has read that index.
    pub seen_sequence: Sequence,
    /// Entries that the sender still wants.
    pub pending: u32,
    /// The sender's clock in microseconds, wrapping; not zero.
    pub sent_at: u32,
    /// The last `sent_at` of the receiver; zero if there was none.
    pub echo: u32,
    /// Microseconds between the arrival of that and this.
    pub echo_delay: u32,
    /// A journal page with the newest entries, or nothing.
    pub page: &'a [u8],
    /// Contents of files that the page tells of, as [`contents`] reads them, or nothing.
    pub contents: &'a [u8],
}

/// The contents behind a page, each of at least one byte; whether they belong to it their hash says.
pub fn contents(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(bytes);
    core::iter::from_fn(move || {
        let len = reader.u16("length of a content").ok()?;
        let content = reader.take(usize::from(len), "content").ok()?;
        (!content.is_empty()).then_some(content)
    })
}

impl<'a> Announce<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let flags = reader.u8("flags")?;
        let page = reader.u16("length of the page")?;
        Ok(Self {
            busy: flags & BUSY != 0,
            bridge: flags >> BRIDGE_SHIFT,
            leads: flags & LEADS != 0,
            index_id: IndexId(reader.u64("index id")?),
            sequence: reader.u64("sequence")?,
            seen_index_id: IndexId(reader.u64("seen index id")?),
            seen_sequence: reader.u64("seen sequence")?,
            pending: reader.u32("pending")?,
            sent_at: reader.u32("sent at")?,
            echo: reader.u32("echo")?,
            echo_delay: reader.u32("echo delay")?,
            page: reader.take(usize::from(page), "page")?,
            contents: reader.rest(),
        })
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`], also for a page of more than 65,535 bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        let head = self.emit_head(out, self.page.len())?;
        let mut writer = Writer::new(out.get_mut(head..).ok_or(WireError::NoRoom)?);
        writer.put(self.page)?;
        writer.put(self.contents)?;
        Ok(head + writer.len())
    }

    /// Writes all before the page, which is to have `page` bytes; [`HEAD_LEN`].
    ///
    /// # Errors
    /// [`WireError::NoRoom`], also for a page of more than 65,535 bytes.
    pub fn emit_head(&self, out: &mut [u8], page: usize) -> Result<usize, WireError> {
        let page = u16::try_from(page).map_err(|_| WireError::NoRoom)?;
        let mut writer = Writer::new(out);
        let busy = if self.busy { BUSY } else { 0 };
        let leads = if self.leads { LEADS } else { 0 };
        let bridge = self.bridge.min(MAX_BRIDGE) << BRIDGE_SHIFT;
        writer.put(&[Operation::ANNOUNCE.0, busy | leads | bridge])?;
        writer.put(&page.to_be_bytes())?;
        for field in [
            self.index_id.0,
            self.sequence,
            self.seen_index_id.0,
            self.seen_sequence,
        ] {
            writer.put(&field.to_be_bytes())?;
        }
        for field in [self.pending, self.sent_at, self.echo, self.echo_delay] {
            writer.put(&field.to_be_bytes())?;
        }
        Ok(writer.len())
    }
}
