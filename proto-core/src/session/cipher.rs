//! The ciphers of a session. The ones here are pure Rust; a driver can bring faster ones.

use super::framing::TAG;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256Enc;
use chacha20poly1305::ChaCha20Poly1305;

/// AES-256-GCM with the keys for one direction of AES only, which is all that GCM uses.
type Aes256Gcm = aes_gcm::AesGcm<Aes256Enc, U12>;

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
cpufeatures::new!(aes_instructions, "aes", "pclmulqdq", "sse2", "ssse3");
#[cfg(target_arch = "aarch64")]
cpufeatures::new!(aes_instructions, "aes");

/// Whether this processor has instructions for AES and for the multiplication of GCM. Without them
/// AES-256-GCM is many times slower than ChaCha20-Poly1305.
#[must_use]
pub fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))]
    return aes_instructions::get();
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// What seals the datagrams of a session; the responder's choice (docs/protocol.md, "Handshake").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CipherKind {
    /// AES-256-GCM, where both processors have AES instructions.
    Aes256Gcm,
    /// ChaCha20-Poly1305 otherwise.
    ChaCha20Poly1305,
}

/// An expanded key of either cipher. Nothing of it may allocate but `new`.
pub trait CipherKey {
    /// Expands a key.
    fn new(cipher: CipherKind, key: &[u8; 32]) -> Self;

    /// Encrypts in place. `None` only for a text longer than a cipher can take, which no datagram is.
    fn seal(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8]) -> Option<[u8; TAG]>;

    /// Decrypts in place; false, and nothing said about the text, unless the tag is right.
    fn open(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8], tag: [u8; TAG]) -> bool;
}

/// A key of the ciphers of RustCrypto.
#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap to put the round keys on"
)]
pub enum PureRust {
    /// With AES instructions.
    Aes256Gcm(Aes256Gcm),
    /// Without them.
    ChaCha20Poly1305(ChaCha20Poly1305),
}

impl CipherKey for PureRust {
    fn new(cipher: CipherKind, key: &[u8; 32]) -> Self {
        match cipher {
            CipherKind::Aes256Gcm => Self::Aes256Gcm(Aes256Gcm::new(key.into())),
            CipherKind::ChaCha20Poly1305 => {
                Self::ChaCha20Poly1305(ChaCha20Poly1305::new(key.into()))
            }
        }
    }

    fn seal(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        let nonce = nonce.into();
        let tag = match self {
            Self::Aes256Gcm(key) => key.encrypt_inout_detached(&nonce, header, text.into()),
            Self::ChaCha20Poly1305(key) => key.encrypt_inout_detached(&nonce, header, text.into()),
        };
        tag.ok().map(Into::into)
    }

    fn open(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8], tag: [u8; TAG]) -> bool {
        let nonce = nonce.into();
        let opened = match self {
            Self::Aes256Gcm(key) => {
                key.decrypt_inout_detached(&nonce, header, text.into(), &tag.into())
            }
            Self::ChaCha20Poly1305(key) => {
                key.decrypt_inout_detached(&nonce, header, text.into(), &tag.into())
            }
        };
        opened.is_ok()
    }
}
