use super::*;
use proptest::prelude::*;
use proto_core::session::PureRust;

const CIPHERS: [CipherKind; 2] = [CipherKind::Aegis128L, CipherKind::ChaCha20Poly1305];

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    bytes.try_into().unwrap()
}

/// RFC 10032, appendix A, test vectors 3 and 5 of AEGIS-128L: what is linked here, with its other
/// families left out (sys/aegis_families.rs), is that cipher.
#[test]
fn aegis_is_that_of_the_rfc() {
    if !is_fast_at_aegis() {
        return eprintln!("skipped: this processor is not fast at AEGIS");
    }
    let key = bytes("10010000000000000000000000000000");
    let nonce = bytes("10000200000000000000000000000000");
    let header: Vec<u8> = (0..8).collect();
    let mut text: Vec<u8> = (0..32).collect();
    let tag = Aegis128L::<TAG>::new(&key, &nonce).encrypt_in_place(&mut text, &header);
    assert_eq!(
        text,
        bytes::<32>("79d94593d8c2119d7e8fd9b8fc77845c5c077a05b2528b6ac54b563aed8efe84")
    );
    assert_eq!(tag, bytes("cc6f3372f6aa1bb82388d695c3962d9a"));

    let header: Vec<u8> = (0..42).collect();
    let mut text: Vec<u8> = (0x10..0x38).collect();
    let tag = Aegis128L::<TAG>::new(&key, &nonce).encrypt_in_place(&mut text, &header);
    assert_eq!(
        text,
        bytes::<40>(
            "b31052ad1cca4e291abcf2df3502e6bdb1bfd6db36798be3607b1f94d34478aa7ede7f7a990fec10"
        )
    );
    assert_eq!(tag, bytes("7542a745733014f9474417b337399507"));
}

/// docs/protocol.md, "Sealing": the first half of the key, zero bytes before the counter, and the other half over both.
#[test]
fn aegis_takes_one_half_of_the_key_and_masks_a_longer_nonce_with_the_other() {
    if !is_fast_at_aegis() {
        return eprintln!("skipped: this processor is not fast at AEGIS");
    }
    let mut key = [9; 32];
    key[..16].copy_from_slice(&bytes::<16>("10010000000000000000000000000000"));
    let nonce = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let mut long = [0; 16];
    long[4..].copy_from_slice(&nonce);
    for byte in &mut long {
        *byte ^= 9;
    }
    let (mut text, mut same) = ([5; 100], [5; 100]);
    let tag = FastKey::new(CipherKind::Aegis128L, &key)
        .unwrap()
        .seal(nonce, b"header", &mut text);
    let short = key[..16].try_into().unwrap();
    assert_eq!(
        tag,
        Some(Aegis128L::<TAG>::new(&short, &long).encrypt_in_place(&mut same, b"header"))
    );
    assert_eq!(text, same);
}

proptest! {
    /// What was sealed opens, and nothing that was changed on the way: a bit of the text, the tag, the
    /// header, or the nonce.
    #[test]
    fn only_what_was_sealed_opens(
        key: [u8; 32],
        nonce: [u8; 12],
        header: [u8; 16],
        text in prop::collection::vec(any::<u8>(), 0..3_000),
        at: prop::sample::Index,
        bit in 0..8_u8,
    ) {
        for cipher in CIPHERS {
            let Some(key) = FastKey::new(cipher, &key) else {
                prop_assert!(cipher == CipherKind::Aegis128L && !is_fast_at_aegis());
                continue;
            };
            let mut sealed = text.clone();
            let tag = key.seal(nonce, &header, &mut sealed).unwrap();
            let opens = |nonce, header: [u8; 16], mut sealed: Vec<u8>, tag| {
                key.open(nonce, &header, &mut sealed, tag).then_some(sealed)
            };
            prop_assert_eq!(opens(nonce, header, sealed.clone(), tag), Some(text.clone()));
            let flip = 1 << bit;
            let (mut wrong_tag, mut wrong_header, mut wrong_nonce) = (tag, header, nonce);
            wrong_tag[at.index(TAG)] ^= flip;
            wrong_header[at.index(16)] ^= flip;
            wrong_nonce[at.index(12)] ^= flip;
            prop_assert_eq!(opens(nonce, header, sealed.clone(), wrong_tag), None);
            prop_assert_eq!(opens(nonce, wrong_header, sealed.clone(), tag), None);
            prop_assert_eq!(opens(wrong_nonce, header, sealed.clone(), tag), None);
            if !text.is_empty() {
                let mut wrong = sealed.clone();
                wrong[at.index(text.len())] ^= flip;
                prop_assert_eq!(opens(nonce, header, wrong, tag), None);
            }
        }
    }

    /// A peer with either back end of ChaCha20-Poly1305 reads what the other one seals.
    #[test]
    fn both_back_ends_seal_alike(
        key: [u8; 32],
        nonce: [u8; 12],
        header: [u8; 16],
        text in prop::collection::vec(any::<u8>(), 0..3_000),
    ) {
        let cipher = CipherKind::ChaCha20Poly1305;
        let (fast, pure) = (FastKey::new(cipher, &key).unwrap(), PureRust::new(cipher, &key).unwrap());
        let (mut by_fast, mut by_pure) = (text.clone(), text.clone());
        let tag = fast.seal(nonce, &header, &mut by_fast).unwrap();
        prop_assert_eq!(pure.seal(nonce, &header, &mut by_pure), Some(tag));
        prop_assert_eq!(&by_fast, &by_pure);
        prop_assert!(pure.open(nonce, &header, &mut by_fast, tag));
        prop_assert!(fast.open(nonce, &header, &mut by_pure, tag));
        prop_assert_eq!((&by_fast, &by_pure), (&text, &text));
    }
}
