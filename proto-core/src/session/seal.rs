//! Sealing and opening datagrams in place under the keys of a session.

use super::cipher::{CipherKey, CipherKind};
use super::dropped::Dropped;
use super::framing::{OVERHEAD, SEALED_HEADER, Sealed, TAG, sealed_header};
use super::replay_window::ReplayWindow;
use super::secret::Secret;
use crate::time::Instant;

/// 4 zero bytes, then the counter, so that no nonce is used twice under a key. Longer nonces begin with
/// more zero bytes.
fn nonce(counter: u64) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = counter.to_be_bytes();
    [0, 0, 0, 0, a, b, c, d, e, f, g, h]
}

/// The sending half of a session.
pub struct Sealer<K> {
    key: K,
    /// The session as the receiver names it.
    remote: u32,
    /// Counter of the next datagram: how many were sealed.
    counter: u64,
}

impl<K: CipherKey> Sealer<K> {
    /// `None` if the back end lacks the cipher.
    pub fn new(cipher: CipherKind, key: &Secret, remote: u32) -> Option<Self> {
        Some(Self {
            key: K::new(cipher, &key.0)?,
            remote,
            counter: 0,
        })
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
        *tag = self.key.seal(nonce(self.counter), header, text)?;
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
pub struct Opener<K> {
    key: K,
    /// The session as we name it.
    pub local: u32,
    /// From then on nothing is accepted.
    pub expires: Instant,
    /// When a valid datagram last came.
    pub heard: Option<Instant>,
    window: ReplayWindow,
}

impl<K: CipherKey> Opener<K> {
    /// `None` if the back end lacks the cipher.
    pub fn new(cipher: CipherKind, key: &Secret, local: u32, expires: Instant) -> Option<Self> {
        Some(Self {
            key: K::new(cipher, &key.0)?,
            local,
            expires,
            heard: None,
            window: ReplayWindow::new(),
        })
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
        if !self.key.open(
            nonce(sealed.counter),
            &sealed.header,
            sealed.text,
            sealed.tag,
        ) {
            return Err(Dropped::BadTag);
        }
        self.window.commit(sealed.counter);
        self.heard = Some(now);
        Ok(())
    }
}
