//! Sealing and opening datagrams in place under the keys of a session.

use super::dropped::Dropped;
use super::framing::{CipherKind, OVERHEAD, SEALED_HEADER, Sealed, TAG, sealed_header};
use super::replay_window::ReplayWindow;
use super::secret::Secret;
use crate::time::Instant;
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

/// An expanded key of either cipher.
#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap to put the round keys on"
)]
enum Key {
    Aes256Gcm(Aes256Gcm),
    ChaCha20Poly1305(ChaCha20Poly1305),
}

/// 4 zero bytes, then the counter, so that no nonce is used twice under a key.
fn nonce(counter: u64) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = counter.to_be_bytes();
    [0, 0, 0, 0, a, b, c, d, e, f, g, h]
}

impl Key {
    fn new(cipher: CipherKind, key: &Secret) -> Self {
        match cipher {
            CipherKind::Aes256Gcm => Self::Aes256Gcm(Aes256Gcm::new(&key.0.into())),
            CipherKind::ChaCha20Poly1305 => {
                Self::ChaCha20Poly1305(ChaCha20Poly1305::new(&key.0.into()))
            }
        }
    }

    /// `None` only for a text longer than a cipher can take, which no datagram is.
    fn seal(&self, counter: u64, ad: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        let nonce = nonce(counter).into();
        let tag = match self {
            Self::Aes256Gcm(key) => key.encrypt_inout_detached(&nonce, ad, text.into()),
            Self::ChaCha20Poly1305(key) => key.encrypt_inout_detached(&nonce, ad, text.into()),
        };
        tag.ok().map(Into::into)
    }

    /// Leaves the text as it was unless the tag is right.
    fn open(&self, counter: u64, ad: &[u8], text: &mut [u8], tag: [u8; TAG]) -> bool {
        let nonce = nonce(counter).into();
        let opened = match self {
            Self::Aes256Gcm(key) => {
                key.decrypt_inout_detached(&nonce, ad, text.into(), &tag.into())
            }
            Self::ChaCha20Poly1305(key) => {
                key.decrypt_inout_detached(&nonce, ad, text.into(), &tag.into())
            }
        };
        opened.is_ok()
    }
}

/// The sending half of a session.
pub struct Sealer {
    key: Key,
    /// The session as the receiver names it.
    remote: u32,
    /// Counter of the next datagram: how many were sealed.
    counter: u64,
}

impl Sealer {
    pub fn new(cipher: CipherKind, key: &Secret, remote: u32) -> Self {
        Self {
            key: Key::new(cipher, key),
            remote,
            counter: 0,
        }
    }

    /// How many datagrams were sealed.
    pub fn sealed(&self) -> u64 {
        self.counter
    }

    /// Seals the text of `len` bytes that lies behind the room for the header; the datagram's length,
    /// or `None` if it does not fit in `datagram`.
    pub fn seal(&mut self, datagram: &mut [u8], len: usize) -> Option<usize> {
        let total = len.checked_add(OVERHEAD)?;
        let (header, rest) = datagram
            .get_mut(..total)?
            .split_first_chunk_mut::<SEALED_HEADER>()?;
        let (text, tag) = rest.split_last_chunk_mut::<TAG>()?;
        let next = self.counter.checked_add(1)?;
        *header = sealed_header(self.remote, self.counter);
        *tag = self.key.seal(self.counter, header, text)?;
        self.counter = next;
        Some(total)
    }

    /// As if this many datagrams had been sealed.
    #[cfg(test)]
    pub fn skip_to(&mut self, counter: u64) {
        self.counter = counter;
    }
}

/// The receiving half of a session.
pub struct Opener {
    key: Key,
    /// The session as we name it.
    pub local: u32,
    /// From then on nothing is accepted.
    pub expires: Instant,
    /// When a valid datagram last came.
    pub heard: Option<Instant>,
    window: ReplayWindow,
}

impl Opener {
    pub fn new(cipher: CipherKind, key: &Secret, local: u32, expires: Instant) -> Self {
        Self {
            key: Key::new(cipher, key),
            local,
            expires,
            heard: None,
            window: ReplayWindow::new(),
        }
    }

    /// Opens `sealed` in place. The counter is looked up before and remembered only after the tag is
    /// verified (RFC 4303, section 3.4.3), so nobody else can use a counter up.
    pub fn open(&mut self, now: Instant, sealed: &mut Sealed<'_>) -> Result<(), Dropped> {
        if now >= self.expires {
            return Err(Dropped::Expired);
        }
        if !self.window.is_new(sealed.counter) {
            return Err(Dropped::Replayed);
        }
        if !self
            .key
            .open(sealed.counter, &sealed.header, sealed.text, sealed.tag)
        {
            return Err(Dropped::BadTag);
        }
        self.window.commit(sealed.counter);
        self.heard = Some(now);
        Ok(())
    }
}
