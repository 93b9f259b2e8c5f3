//! Port 22001: requests for files. Bytes behind the header are ignored, as the ancestor does.

use super::{check_name, name};
use crate::wire::WireError;
use crate::wire::cursor::{Reader, Writer};

/// Says what a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation(pub u32);

impl Operation {
    /// Whether a file is there, and how long it is.
    pub const FILE_INFORMATION: Self = Self(0);
    /// One block of a file.
    pub const BLOCK: Self = Self(1);
}

/// What an ancestor asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// Whether a file is there, and how long it is.
    FileInformation {
        /// Name of the file; 1 to [`super::MAX_LEGACY_NAME`] bytes. It may say anything: an ancestor
        /// asks for `zipN.zip`.
        name: &'a str,
    },
    /// One block of a file.
    Block {
        /// Number of the block, from 0.
        index: u64,
        /// Name of the file, as above.
        name: &'a str,
    },
    /// Something that has no meaning; answered with [`super::Status::UNKNOWN_OPERATION`].
    Unknown {
        /// Its code, none of the known ones.
        operation: Operation,
        /// The header behind it.
        rest: &'a [u8],
    },
}

impl<'a> Request<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// It is too short for what it says, or the name breaks a rule.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(datagram);
        let len = reader.u32("header length")?;
        let len = usize::try_from(len).map_err(|_| WireError::Invalid("header length"))?;
        let mut header = Reader::new(reader.take(len, "header")?);
        match Operation(header.u32("operation")?) {
            Operation::FILE_INFORMATION => Ok(Self::FileInformation {
                name: name(header.rest(), "file name")?,
            }),
            Operation::BLOCK => Ok(Self::Block {
                index: header.u64("block index")?,
                name: name(header.rest(), "file name")?,
            }),
            operation => Ok(Self::Unknown {
                operation,
                rest: header.rest(),
            }),
        }
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`], or [`WireError::Invalid`] for a name that may not be sent and for an
    /// unknown operation that is none.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        let (operation, index, rest) = match *self {
            Self::FileInformation { name } => (Operation::FILE_INFORMATION, None, name.as_bytes()),
            Self::Block { index, name } => (Operation::BLOCK, Some(index), name.as_bytes()),
            Self::Unknown { operation, rest } => (operation, None, rest),
        };
        match *self {
            Self::FileInformation { name } | Self::Block { name, .. } => {
                check_name(name, "file name")?;
            }
            Self::Unknown { operation, .. } => {
                if matches!(operation, Operation::FILE_INFORMATION | Operation::BLOCK) {
                    return Err(WireError::Invalid("operation"));
                }
            }
        }
        let index = index.map(u64::to_be_bytes);
        let index = index.as_ref().map_or(&[][..], |bytes| bytes);
        let len = size_of::<u32>() + index.len() + rest.len();
        let len = u32::try_from(len).map_err(|_| WireError::NoRoom)?;
        let mut writer = Writer::new(out);
        writer.put(&len.to_be_bytes())?;
        writer.put(&operation.0.to_be_bytes())?;
        writer.put(index)?;
        writer.put(rest)?;
        Ok(writer.len())
    }
}
