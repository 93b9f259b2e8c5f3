//! In place of `flusher.rs` on other processors than x86_64 and aarch64, for which `io-uring` may have no bindings (it has none
//! for 32 bits): as with a kernel that has no io_uring.

use std::io;
use std::os::fd::AsFd;

/// Flushes files beside the caller; there is none.
#[derive(Debug)]
pub enum Flusher {}

impl Flusher {
    /// No flusher.
    ///
    /// # Errors
    /// Always.
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Begins an fdatasync; its number.
    pub fn begin(&mut self, _: impl AsFd) -> Option<u64> {
        match *self {}
    }

    /// How a flush ended; `None` while it goes on.
    pub fn poll(&mut self, _: u64) -> Option<io::Result<()>> {
        match *self {}
    }
}
