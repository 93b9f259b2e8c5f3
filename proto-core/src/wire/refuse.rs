//! REFUSE: a piece that is not served, and why (docs/protocol.md, "Refuse").

use super::Operation;
use super::cursor::{Reader, WireError, Writer};

/// Why a piece is not served. A reason that is not named here counts like [`Self::GONE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefuseReason(pub u8);

impl RefuseReason {
    /// There is no such object here.
    pub const GONE: Self = Self(1);
    /// The file that held it has changed.
    pub const CHANGED: Self = Self(2);
    /// Not now; ask again later.
    pub const BUSY: Self = Self(3);
    /// The request makes no sense for this object.
    pub const MALFORMED: Self = Self(4);
}

impl core::fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::GONE => f.write_str("gone"),
            Self::CHANGED => f.write_str("changed"),
            Self::BUSY => f.write_str("busy"),
            Self::MALFORMED => f.write_str("malformed"),
            Self(reason) => write!(f, "reason {reason}"),
        }
    }
}

/// A piece that is not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refuse {
    /// Why.
    pub reason: RefuseReason,
    /// As in the REQUEST.
    pub tag: u32,
}

impl Refuse {
    pub(super) fn parse(mut reader: Reader<'_>) -> Result<Self, WireError> {
        let reason = RefuseReason(reader.u8("reason")?);
        reader.u16("reserved")?;
        let tag = reader.u32("tag")?;
        reader.end()?;
        Ok(Self { reason, tag })
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        let mut writer = Writer::new(out);
        writer.put(&[Operation::REFUSE.0, self.reason.0, 0, 0])?;
        writer.put(&self.tag.to_be_bytes())?;
        Ok(writer.len())
    }
}
