//! 32 secret bytes that are erased when they are dropped, in the form that the Noise crate takes.

use noise_protocol::U8Array;
use zeroize::Zeroize;

/// A private key, a shared secret or a symmetric key.
pub struct Secret(pub [u8; 32]);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

impl U8Array for Secret {
    fn new() -> Self {
        Self([0; 32])
    }

    fn new_with(byte: u8) -> Self {
        Self([byte; 32])
    }

    /// The trait wants equal lengths; a slice that breaks this gives zeros, which no key is.
    fn from_slice(bytes: &[u8]) -> Self {
        Self(bytes.try_into().unwrap_or([0; 32]))
    }

    fn len() -> usize {
        32
    }

    fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
