//! The ciphers of sessions: AEGIS-128L by `aegis`, ChaCha20-Poly1305 by `ring` (docs/performance.md, "Ciphers").

use aegis::aegis128l::Aegis128L;
use proto_core::session::{CipherKey, CipherKind, TAG};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

/// A key of either cipher. That no nonce is used twice is `proto-core`'s part.
pub enum FastKey {
    /// Two halves of the session's key: the key, and what each nonce is masked with.
    Aegis128L([u8; 16], [u8; 16]),
    /// All of it.
    ChaCha20Poly1305(Box<LessSafeKey>),
}

/// Whether this processor has the instructions that `aegis` makes AEGIS-128L of. Without them
/// ChaCha20-Poly1305 is many times as fast.
#[must_use]
pub fn is_fast_at_aegis() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("avx");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// Its nonces are of 16 bytes: four zero bytes more, and masked.
fn aegis(key: &[u8; 16], mask: [u8; 16], nonce: [u8; 12]) -> Aegis128L<TAG> {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = nonce;
    let nonce = u128::from_be_bytes([0, 0, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l]);
    Aegis128L::new(key, &(nonce ^ u128::from_be_bytes(mask)).to_be_bytes())
}

impl CipherKey for FastKey {
    fn new(cipher: CipherKind, key: &[u8; 32]) -> Option<Self> {
        match cipher {
            // Some builds of the library have nothing but the fast code.
            CipherKind::Aegis128L if is_fast_at_aegis() => {
                let (key, mask) = key.split_first_chunk()?;
                Some(Self::Aegis128L(*key, mask.try_into().ok()?))
            }
            CipherKind::Aegis128L => None,
            CipherKind::ChaCha20Poly1305 => {
                let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok()?;
                Some(Self::ChaCha20Poly1305(Box::new(LessSafeKey::new(key))))
            }
        }
    }

    fn seal(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        match self {
            Self::Aegis128L(key, mask) => {
                Some(aegis(key, *mask, nonce).encrypt_in_place(text, header))
            }
            Self::ChaCha20Poly1305(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(header), text);
                tag.ok()?.as_ref().try_into().ok()
            }
        }
    }

    fn open(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8], tag: [u8; TAG]) -> bool {
        match self {
            Self::Aegis128L(key, mask) => aegis(key, *mask, nonce)
                .decrypt_in_place(text, &tag, header)
                .is_ok(),
            Self::ChaCha20Poly1305(key) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.open_in_place_separate_tag(nonce, Aad::from(header), Tag::from(tag), text, 0..)
                    .is_ok()
            }
        }
    }
}

#[cfg(test)]
mod tests;
