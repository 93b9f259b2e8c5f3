//! ANNOUNCE: what a peer has, how far it has read ours, and its newest entries (docs/protocol.md, "Announce").

use super::Operation;
use super::cursor::{Reader, WireError, Writer};
use crate::index::entry::{IndexId, Sequence};

const BUSY: u8 = 1;

/// What a peer tells of itself: at once on a change, and as a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announce<'a> {
    /// The sender is scanning, hashing or landing.
    pub busy: bool,
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
}

impl<'a> Announce<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let flags = reader.u8("flags")?;
        reader.u16("reserved")?;
        Ok(Self {
            busy: flags & BUSY != 0,
            index_id: IndexId(reader.u64("index id")?),
            sequence: reader.u64("sequence")?,
            seen_index_id: IndexId(reader.u64("seen index id")?),
            seen_sequence: reader.u64("seen sequence")?,
            pending: reader.u32("pending")?,
            sent_at: reader.u32("sent at")?,
            echo: reader.u32("echo")?,
            echo_delay: reader.u32("echo delay")?,
            page: reader.rest(),
        })
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        let mut writer = Writer::new(out);
        writer.put(&[
            Operation::ANNOUNCE.0,
            if self.busy { BUSY } else { 0 },
            0,
            0,
        ])?;
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
        writer.put(self.page)?;
        Ok(writer.len())
    }
}
