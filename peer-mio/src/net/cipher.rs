//! The ciphers of sessions by `ring`: 2 to 3 times as fast on datagrams as those that proto-core has
//! (docs/performance.md, "Ciphers").

use proto_core::session::{CipherKey, CipherKind, TAG};
use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

/// A key of either cipher. That no nonce is used twice is `proto-core`'s part.
pub struct RingKey(Option<LessSafeKey>);

impl CipherKey for RingKey {
    fn new(cipher: CipherKind, key: &[u8; 32]) -> Self {
        let algorithm = match cipher {
            CipherKind::Aes256Gcm => &AES_256_GCM,
            CipherKind::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        // Both take 32 bytes, so there is always a key; without one nothing could be sealed or opened.
        Self(UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new))
    }

    fn seal(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let key = self.0.as_ref()?;
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(header), text)
            .ok()?;
        tag.as_ref().try_into().ok()
    }

    fn open(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8], tag: [u8; TAG]) -> bool {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.as_ref().is_some_and(|key| {
            key.open_in_place_separate_tag(nonce, Aad::from(header), Tag::from(tag), text, 0..)
                .is_ok()
        })
    }
}
