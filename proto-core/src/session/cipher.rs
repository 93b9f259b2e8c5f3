//! The ciphers of a session. The one here is pure Rust; a driver can bring faster ones.

use super::framing::TAG;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};

/// What seals the datagrams of a session; the responder's choice (docs/protocol.md, "Handshake").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CipherKind {
    /// AEGIS-128L (RFC 10032), where both processors are fast at it.
    Aegis128L,
    /// ChaCha20-Poly1305 (RFC 8439) otherwise.
    ChaCha20Poly1305,
}

/// An expanded key of a cipher. Nothing of it may allocate but `new`.
pub trait CipherKey: Sized {
    /// Expands a key; `None` if the cipher is not one of this back end.
    fn new(cipher: CipherKind, key: &[u8; 32]) -> Option<Self>;

    /// Encrypts in place. `None` only for a text longer than a cipher can take, which no datagram is.
    fn seal(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8]) -> Option<[u8; TAG]>;

    /// Decrypts in place; false, and nothing said about the text, unless the tag is right.
    fn open(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8], tag: [u8; TAG]) -> bool;
}

/// A key of ChaCha20-Poly1305 by RustCrypto, and no other cipher: AEGIS is fast only with instructions
/// that safe code cannot ask for when it runs.
pub struct PureRust(ChaCha20Poly1305);

impl CipherKey for PureRust {
    fn new(cipher: CipherKind, key: &[u8; 32]) -> Option<Self> {
        match cipher {
            CipherKind::Aegis128L => None,
            CipherKind::ChaCha20Poly1305 => Some(Self(ChaCha20Poly1305::new(key.into()))),
        }
    }

    fn seal(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        let tag = self
            .0
            .encrypt_inout_detached(&nonce.into(), header, text.into());
        tag.ok().map(Into::into)
    }

    fn open(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8], tag: [u8; TAG]) -> bool {
        self.0
            .decrypt_inout_detached(&nonce.into(), header, text.into(), &tag.into())
            .is_ok()
    }
}
