//! The three algorithms of `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s` for the crate `noise-protocol`
//! (Noise Protocol Framework, revision 34, section 12).

use super::secret::Secret;
use blake2::{Blake2s256, Digest};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use noise_protocol::{Cipher, DH, Hash, U8Array};
use x25519_dalek::{PublicKey, StaticSecret};

/// A handshake under way.
pub type Handshake = noise_protocol::HandshakeState<X25519, ChaChaPoly, Blake2s>;

/// Curve25519 (RFC 7748).
#[derive(Debug)]
pub enum X25519 {}

impl DH for X25519 {
    type Key = Secret;
    type Pubkey = [u8; 32];
    type Output = Secret;

    fn name() -> &'static str {
        "25519"
    }

    /// Never called, because every handshake is given its ephemeral key. If it ever were, the key is
    /// one that [`Self::dh`] refuses: the handshake would fail, not be weak.
    fn genkey() -> Secret {
        Secret([0; 32])
    }

    fn pubkey(key: &Secret) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(key.0)).to_bytes()
    }

    fn dh(key: &Secret, theirs: &[u8; 32]) -> Result<Secret, ()> {
        if key.0 == [0; 32] {
            return Err(());
        }
        let shared = StaticSecret::from(key.0).diffie_hellman(&PublicKey::from(*theirs));
        if shared.was_contributory() {
            Ok(Secret(shared.to_bytes()))
        } else {
            Err(())
        }
    }
}

/// ChaCha20-Poly1305 (RFC 8439) with Noise's nonce: 4 zero bytes, then the counter, little-endian.
#[derive(Debug)]
pub enum ChaChaPoly {}

const TAG: usize = 16;

fn nonce(counter: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h] = counter.to_le_bytes();
    Nonce::from([0, 0, 0, 0, a, b, c, d, e, f, g, h])
}

/// Writes the sealed `plaintext` and its tag to `out`. A wrong length of `out`, which this crate
/// never gives, leaves it as it was: nothing readable, nothing valid.
fn seal(key: &Secret, counter: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) {
    let Some((text, tag)) = out.split_last_chunk_mut::<TAG>() else {
        return;
    };
    let Ok(buffer) = InOutBuf::new(plaintext, text) else {
        return;
    };
    let cipher = ChaCha20Poly1305::new(&key.0.into());
    if let Ok(made) = cipher.encrypt_inout_detached(&nonce(counter), ad, buffer) {
        *tag = made.into();
    }
}

/// The reverse of [`seal`]; `out` is untouched unless the tag is right.
fn open(key: &Secret, counter: u64, ad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<(), ()> {
    let (text, tag) = sealed.split_last_chunk::<TAG>().ok_or(())?;
    let buffer = InOutBuf::new(text, out).map_err(|_| ())?;
    ChaCha20Poly1305::new(&key.0.into())
        .decrypt_inout_detached(&nonce(counter), ad, buffer, &Tag::from(*tag))
        .map_err(|_| ())
}

impl Cipher for ChaChaPoly {
    type Key = Secret;

    fn name() -> &'static str {
        "ChaChaPoly"
    }

    fn encrypt(key: &Secret, counter: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) {
        seal(key, counter, ad, plaintext, out);
    }

    fn encrypt_in_place(
        key: &Secret,
        counter: u64,
        ad: &[u8],
        in_out: &mut [u8],
        plaintext_len: usize,
    ) -> usize {
        let Some((text, rest)) = in_out.split_at_mut_checked(plaintext_len) else {
            return 0;
        };
        let Some(tag) = rest.first_chunk_mut::<TAG>() else {
            return 0;
        };
        let cipher = ChaCha20Poly1305::new(&key.0.into());
        let Ok(made) = cipher.encrypt_inout_detached(&nonce(counter), ad, text.into()) else {
            return 0;
        };
        *tag = made.into();
        plaintext_len.saturating_add(TAG)
    }

    fn decrypt(
        key: &Secret,
        counter: u64,
        ad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), ()> {
        open(key, counter, ad, ciphertext, out)
    }

    fn decrypt_in_place(
        key: &Secret,
        counter: u64,
        ad: &[u8],
        in_out: &mut [u8],
        ciphertext_len: usize,
    ) -> Result<usize, ()> {
        let sealed = in_out.get_mut(..ciphertext_len).ok_or(())?;
        let (text, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(())?;
        let len = text.len();
        ChaCha20Poly1305::new(&key.0.into())
            .decrypt_inout_detached(&nonce(counter), ad, text.into(), &Tag::from(*tag))
            .map_err(|_| ())?;
        Ok(len)
    }
}

/// BLAKE2s with 32 bytes of output (RFC 7693).
#[derive(Default, Debug)]
pub struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    type Block = [u8; 64];
    type Output = Secret;

    fn name() -> &'static str {
        "BLAKE2s"
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self) -> Secret {
        Secret::from_slice(core::mem::take(&mut self.0).finalize().as_slice())
    }
}
