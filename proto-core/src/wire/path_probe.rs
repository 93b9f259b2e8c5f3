//! PROBE and PADDING: whether datagrams of a size arrive (docs/protocol.md, "Path MTU").

use super::Operation;
use super::cursor::{Reader, WireError, Writer};
use crate::limits::{MAX_DATAGRAM, MIN_DATAGRAM};

/// Asks for one datagram of a size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Bytes of UDP payload, [`MIN_DATAGRAM`] to [`MAX_DATAGRAM`].
    pub size: u16,
    /// Comes back in the PADDING.
    pub tag: u32,
    /// Whether it, and BLOCKs from now on, should say ECT(0).
    pub ecn: bool,
}

/// Flag of a [`Probe`]; the others are 0 and not looked at.
const ECN: u8 = 1;

impl Probe {
    pub(super) fn parse(mut reader: Reader<'_>) -> Result<Self, WireError> {
        let ecn = reader.u8("flags")? & ECN != 0;
        let size = reader.u16("size")?;
        let tag = reader.u32("tag")?;
        reader.end()?;
        if (MIN_DATAGRAM..=MAX_DATAGRAM).contains(&usize::from(size)) {
            Ok(Self { size, tag, ecn })
        } else {
            Err(WireError::Invalid("size"))
        }
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        let mut writer = Writer::new(out);
        let flags = if self.ecn { ECN } else { 0 };
        writer.put(&[Operation::PROBE.0, flags])?;
        writer.put(&self.size.to_be_bytes())?;
        writer.put(&self.tag.to_be_bytes())?;
        Ok(writer.len())
    }
}

/// The answer: as long as was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Padding {
    /// As in the PROBE.
    pub tag: u32,
}

impl Padding {
    /// What the padding itself is, is not looked at.
    pub(super) fn parse(mut reader: Reader<'_>) -> Result<Self, WireError> {
        reader.u8("reserved")?;
        reader.u16("reserved")?;
        let tag = reader.u32("tag")?;
        Ok(Self { tag })
    }

    /// Fills `out`, zeros behind the head; how many bytes it took: all.
    ///
    /// # Errors
    /// [`WireError::NoRoom`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        out.fill(0);
        let len = out.len();
        let mut writer = Writer::new(out);
        writer.put(&[Operation::PADDING.0, 0, 0, 0])?;
        writer.put(&self.tag.to_be_bytes())?;
        Ok(len)
    }
}
