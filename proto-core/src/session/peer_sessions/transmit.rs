//! What goes to the peer.

use super::{Config, PeerSessions, SealError};
use crate::session::cipher::{CipherKey, CipherKind};
use crate::session::entropy::Entropy;
use crate::session::framing::{INITIATION_LEN, InitiationPayload, Life, RESPONSE_LEN};
use crate::session::handshake::ExpectResponse;
use crate::session::liveness::REKEY_AFTER_DATAGRAMS;
use crate::time::Instant;

impl<K: CipherKey> PeerSessions<K> {
    /// Writes the next datagram of a handshake, if one is to be sent now, to `out`, which should have
    /// room for [`INITIATION_LEN`] bytes; its length. Call until `None`.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        config: &Config,
        entropy: &mut Entropy,
        out: &mut [u8],
    ) -> Option<usize> {
        let out = out.first_chunk_mut::<INITIATION_LEN>()?;
        self.respond(now, config, entropy, out)
            .or_else(|| self.confirm(now, out))
            .or_else(|| self.initiate(now, config, entropy, out))
    }

    fn respond(
        &mut self,
        now: Instant,
        config: &Config,
        entropy: &mut Entropy,
        out: &mut [u8; INITIATION_LEN],
    ) -> Option<usize> {
        let owed = self.owed.take()?;
        let payload = owed.payload;
        let both = config.aegis && payload.aegis;
        let cipher = if both {
            CipherKind::Aegis128L
        } else {
            CipherKind::ChaCha20Poly1305
        };
        let (local, remote) = (self.unused_name(entropy), owed.remote);
        let keys = owed.respond(local, self.life(config), cipher, out.first_chunk_mut()?)?;
        self.established
            .hold(keys, local, remote, payload.life, now);
        Some(RESPONSE_LEN)
    }

    /// An empty message: to the responder the proof that we have the session.
    fn confirm(&mut self, now: Instant, out: &mut [u8; INITIATION_LEN]) -> Option<usize> {
        if !core::mem::take(&mut self.confirmation_due) {
            return None;
        }
        self.seal(now, out, 0).ok()
    }

    fn initiate(
        &mut self,
        now: Instant,
        config: &Config,
        entropy: &mut Entropy,
        out: &mut [u8; INITIATION_LEN],
    ) -> Option<usize> {
        if now < self.liveness.initiate_at {
            return None;
        }
        let known = self
            .remote
            .map(|life| life.index)
            .or(self.memory.proven().map(|seen| seen.0));
        let receiver = known.unwrap_or_default();
        let payload = InitiationPayload {
            life: self.life(config),
            aegis: config.aegis,
            counter: self.counter,
            receiver,
            receiver_counter: self.memory.counter_of(receiver),
        };
        let connected = self.is_connected();
        self.liveness.initiated(now, entropy, connected);
        self.counter = self.counter.saturating_add(1);
        let local = self.unused_name(entropy);
        let expected =
            ExpectResponse::initiate(&config.key, local, entropy.secret(), &payload, out)?;
        let [newer, older] = &mut self.expected;
        *older = newer.replace(expected);
        Some(INITIATION_LEN)
    }

    /// A name for a session of ours that none has: our prefix and 24 random bits.
    fn unused_name(&self, entropy: &mut Entropy) -> u32 {
        let mut random = entropy.u32();
        loop {
            let [_, a, b, c] = random.to_be_bytes();
            let name = u32::from_be_bytes([self.prefix, a, b, c]);
            let is_expected = self
                .expected
                .iter()
                .flatten()
                .any(|expected| expected.local == name);
            // At most seven names are in use, so this ends.
            if !is_expected && !self.established.is_named(name) {
                return name;
            }
            random = random.wrapping_add(1);
        }
    }

    /// Seals a message whose text of `len` bytes lies in `datagram` behind [`crate::session::SEALED_HEADER`]
    /// bytes of room and before [`crate::session::TAG`] bytes more; the length of the datagram. An empty text is
    /// the session layer's own and does not reach the owner on the other side.
    ///
    /// # Errors
    /// [`SealError`]; the buffer is unchanged then.
    pub fn seal(
        &mut self,
        now: Instant,
        datagram: &mut [u8],
        len: usize,
    ) -> Result<usize, SealError> {
        let current = self
            .established
            .current_mut()
            .filter(|current| now < current.opener.expires);
        let current = current.ok_or(SealError::NotConnected)?;
        let total = current
            .sealer
            .seal(datagram, len)
            .ok_or(SealError::NoRoom)?;
        if current.sealer.sealed() == REKEY_AFTER_DATAGRAMS {
            self.liveness.initiate_at = now;
        }
        self.confirmation_due = false;
        Ok(total)
    }

    fn life(&self, config: &Config) -> Life {
        Life {
            index: config.index_id,
            connection: config.boot_id.wrapping_add(self.losses),
        }
    }
}
