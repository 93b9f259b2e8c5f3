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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto_core::session::PureRust;

    proptest! {
        /// A peer with either back end reads what the other one seals, and neither takes what was changed on the way.
        #[test]
        fn both_back_ends_seal_alike(
            key: [u8; 32],
            nonce: [u8; 12],
            header: [u8; 16],
            text in prop::collection::vec(any::<u8>(), 0..3_000),
            at: prop::sample::Index,
        ) {
            for cipher in [CipherKind::Aes256Gcm, CipherKind::ChaCha20Poly1305] {
                let (ring, pure) = (RingKey::new(cipher, &key), PureRust::new(cipher, &key));
                let (mut by_ring, mut by_pure) = (text.clone(), text.clone());
                let tag = ring.seal(nonce, &header, &mut by_ring).unwrap();
                prop_assert_eq!(pure.seal(nonce, &header, &mut by_pure), Some(tag));
                prop_assert_eq!(&by_ring, &by_pure);
                prop_assert!(ring.open(nonce, &header, &mut by_ring, tag));
                prop_assert!(pure.open(nonce, &header, &mut by_pure, tag));
                prop_assert_eq!((&by_ring, &by_pure), (&text, &text));
                let mut wrong_tag = tag;
                wrong_tag[at.index(TAG)] ^= 1;
                let mut sealed = text.clone();
                ring.seal(nonce, &header, &mut sealed).unwrap();
                prop_assert!(!ring.open(nonce, &header, &mut sealed.clone(), wrong_tag));
                prop_assert!(!ring.open(nonce, &[9; 15], &mut sealed, tag));
            }
        }
    }
}
