//! Port 22001: replies to requests for files.

use super::Operation;
use crate::wire::WireError;
use crate::wire::cursor::{Reader, Writer};

/// Bytes of a reply to a block request before the block.
const BLOCK_HEAD: usize = 28;

/// Largest block in bytes: what one IPv4 datagram holds behind the header.
pub const MAX_BLOCK: u16 = 65_507 - BLOCK_HEAD as u16;

const FAILED_LEN: u32 = 8;
const BLOCK_LEN: u32 = 24;
const FILE_INFORMATION_LEN: u32 = 32;

/// How a request went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub u32);

impl Status {
    /// Well; the only status that is followed by more.
    pub const OK: Self = Self(0);
    /// There is no such file.
    pub const NOT_FOUND: Self = Self(1);
    /// The file has no such block.
    pub const OUT_OF_RANGE: Self = Self(2);
    /// The operation has no meaning.
    pub const UNKNOWN_OPERATION: Self = Self(400);
}

/// How long a file is, and in what blocks it is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileInformation {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of each block but the last: 1 to [`MAX_BLOCK`]. An ancestor says 20480 and takes any.
    pub block_size: u16,
}

impl FileInformation {
    /// Number of blocks; 0 for a block size that must not be.
    #[must_use]
    pub fn total_blocks(&self) -> u64 {
        match self.block_size {
            0 => 0,
            block_size => self.size.div_ceil(u64::from(block_size)),
        }
    }

    fn parse(header: &mut Reader<'_>) -> Result<Self, WireError> {
        let size = header.u64("file size")?;
        let block_size = header.u64("block size")?;
        let total_blocks = header.u64("total blocks")?;
        let block_size = u16::try_from(block_size)
            .ok()
            .filter(|size| (1..=MAX_BLOCK).contains(size))
            .ok_or(WireError::Invalid("block size"))?;
        let information = Self { size, block_size };
        if information.total_blocks() != total_blocks {
            return Err(WireError::Invalid("total blocks"));
        }
        Ok(information)
    }
}

/// Writes what stands before `len` bytes of block `index`.
pub(super) fn emit_block_head(index: u64, len: usize, out: &mut [u8; BLOCK_HEAD]) {
    let mut writer = Writer::new(out);
    for field in [BLOCK_LEN, Operation::BLOCK.0, Status::OK.0] {
        let _ = writer.put(&field.to_be_bytes());
    }
    let _ = writer.put(&index.to_be_bytes());
    let _ = writer.put(&(len as u64).to_be_bytes());
}

/// What answers a [`super::Request`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply<'a> {
    /// The file is there.
    FileInformation(FileInformation),
    /// One block of a file.
    Block {
        /// Its number, as in the request.
        index: u64,
        /// Its bytes, at most [`MAX_BLOCK`].
        bytes: &'a [u8],
    },
    /// Nothing to be had.
    Failed {
        /// As in the request.
        operation: Operation,
        /// Why; not [`Status::OK`].
        status: Status,
    },
}

impl<'a> Reply<'a> {
    /// Reads a whole datagram.
    ///
    /// # Errors
    /// A length is not what operation and status ask for or not what has arrived, or a field breaks
    /// its rule.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(datagram);
        let len = reader.u32("header length")?;
        let operation = Operation(reader.u32("operation")?);
        let status = Status(reader.u32("status")?);
        let reply = match (operation, status, len) {
            (_, Status::OK, FAILED_LEN) => return Err(WireError::Invalid("status")),
            (_, _, FAILED_LEN) => Self::Failed { operation, status },
            (Operation::FILE_INFORMATION, Status::OK, FILE_INFORMATION_LEN) => {
                Self::FileInformation(FileInformation::parse(&mut reader)?)
            }
            (Operation::BLOCK, Status::OK, BLOCK_LEN) => {
                let index = reader.u64("block index")?;
                let block_len = reader.u64("block length")?;
                let bytes = reader.rest();
                if bytes.len() as u64 != block_len || block_len > u64::from(MAX_BLOCK) {
                    return Err(WireError::Invalid("block length"));
                }
                Self::Block { index, bytes }
            }
            _ => return Err(WireError::Invalid("header length")),
        };
        reader.end()?;
        Ok(reply)
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`], or [`WireError::Invalid`] for what no reply may say.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        let (len, operation, status) = match *self {
            Self::FileInformation(_) => (
                FILE_INFORMATION_LEN,
                Operation::FILE_INFORMATION,
                Status::OK,
            ),
            Self::Block { .. } => (BLOCK_LEN, Operation::BLOCK, Status::OK),
            Self::Failed { operation, status } => (FAILED_LEN, operation, status),
        };
        let mut writer = Writer::new(out);
        for field in [len, operation.0, status.0] {
            writer.put(&field.to_be_bytes())?;
        }
        match *self {
            Self::FileInformation(information) => {
                if !(1..=MAX_BLOCK).contains(&information.block_size) {
                    return Err(WireError::Invalid("block size"));
                }
                writer.put(&information.size.to_be_bytes())?;
                writer.put(&u64::from(information.block_size).to_be_bytes())?;
                writer.put(&information.total_blocks().to_be_bytes())?;
            }
            Self::Block { index, bytes } => {
                if bytes.len() > usize::from(MAX_BLOCK) {
                    return Err(WireError::Invalid("block length"));
                }
                writer.put(&index.to_be_bytes())?;
                writer.put(&(bytes.len() as u64).to_be_bytes())?;
                writer.put(bytes)?;
            }
            Self::Failed { status, .. } => {
                if status == Status::OK {
                    return Err(WireError::Invalid("status"));
                }
            }
        }
        Ok(writer.len())
    }
}
