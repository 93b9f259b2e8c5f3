//! Port 22002: what a peer has, and notices of modified files.

use super::{check_name, name};
use crate::wire::WireError;
use crate::wire::cursor::{Reader, Writer};

/// Longest information reply that an ancestor can read, in bytes; a longer one ends it.
pub const MAX_INFORMATION_REPLY: usize = 20480;

/// What an ancestor sends to the information port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InformationQuery<'a> {
    /// An empty datagram: asks for an [`InformationReply`].
    Information,
    /// Tells that this file was modified; is not answered.
    Modified {
        /// Path of the file, with `./share/` before it; 1 to [`super::MAX_LEGACY_NAME`] bytes.
        path: &'a str,
    },
}

impl<'a> InformationQuery<'a> {
    /// Reads a whole datagram.
    ///
    /// # Errors
    /// [`WireError::Invalid`]: the path is too long, not UTF-8 or holds a NUL.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        if datagram.is_empty() {
            return Ok(Self::Information);
        }
        name(datagram, "modified path").map(|path| Self::Modified { path })
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`], or [`WireError::Invalid`] for a path that may not be sent.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        let mut writer = Writer::new(out);
        if let Self::Modified { path } = self {
            check_name(path, "modified path")?;
            writer.put(path.as_bytes())?;
        }
        Ok(writer.len())
    }
}

/// What a peer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InformationReply<'a> {
    /// Files below `share/`.
    pub count: u32,
    /// The peer's counter of changes.
    pub add_times: u32,
    /// Text of a Python dict from paths to modification times. It is not looked into here.
    pub dict: &'a str,
}

impl<'a> InformationReply<'a> {
    /// Reads a whole datagram. An ancestor sends more than [`MAX_INFORMATION_REPLY`] bytes if it has
    /// that much to tell.
    ///
    /// # Errors
    /// It is too short or the text is not UTF-8.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(datagram);
        let count = reader.u32("count")?;
        let add_times = reader.u32("add times")?;
        let dict = core::str::from_utf8(reader.rest()).map_err(|_| WireError::Invalid("dict"))?;
        Ok(Self {
            count,
            add_times,
            dict,
        })
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`], also above [`MAX_INFORMATION_REPLY`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        let room = out.len().min(MAX_INFORMATION_REPLY);
        let mut writer = Writer::new(out.get_mut(..room).unwrap_or_default());
        writer.put(&self.count.to_be_bytes())?;
        writer.put(&self.add_times.to_be_bytes())?;
        writer.put(self.dict.as_bytes())?;
        Ok(writer.len())
    }
}
