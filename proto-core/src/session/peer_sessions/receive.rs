//! What comes from the peer.

use super::{Config, Incoming, PeerSessions};
use crate::index::entry::IndexId;
use crate::session::cipher::CipherKey;
use crate::session::cipher::CipherKind;
use crate::session::dropped::Dropped;
use crate::session::entropy::Entropy;
use crate::session::established::Session;
use crate::session::framing::{DatagramKind, InitiationPayload, Sealed, parse_response};
use crate::session::handshake::OweResponse;
use crate::session::liveness::RETRY_ECHO;
use crate::time::Instant;

impl<K: CipherKey> PeerSessions<K> {
    /// Takes a datagram that came from this peer's address or names one of its sessions. Its bytes are
    /// opened in place. Look at [`Self::incarnation`] before using a message.
    ///
    /// # Errors
    /// Why it was dropped. Nothing changed then, unless [`Dropped`] says so.
    pub fn handle_datagram<'d>(
        &mut self,
        now: Instant,
        config: &Config,
        entropy: &mut Entropy,
        datagram: &'d mut [u8],
    ) -> Result<Incoming<'d>, Dropped> {
        match DatagramKind::of(datagram).ok_or(Dropped::Malformed)? {
            DatagramKind::Initiation => self.handle_initiation(now, config, entropy, datagram),
            DatagramKind::Response => self.handle_response(now, config, entropy, datagram),
            DatagramKind::Sealed => self.handle_sealed(now, entropy, datagram),
        }
    }

    fn handle_initiation(
        &mut self,
        now: Instant,
        config: &Config,
        entropy: &mut Entropy,
        datagram: &[u8],
    ) -> Result<Incoming<'static>, Dropped> {
        let owed = OweResponse::accept(&config.key, entropy, datagram)?;
        let InitiationPayload {
            life,
            counter,
            receiver,
            receiver_counter,
            ..
        } = owed.payload;
        let is_own_index = life.index == config.index_id;
        if is_own_index && config.is_this_program(life.connection) {
            return Err(self.handle_own(now, owed.remote));
        }
        // What the peer would refuse is worth knowing even from an INITIATION that we refuse: it can
        // only be too low, never too high. So two peers whose clocks both went back meet at once.
        if receiver == config.index_id && !is_own_index {
            self.counter = self.counter.max(receiver_counter.saturating_add(1));
        }
        let seen = (life.index, counter);
        if !self.memory.is_new(seen) || self.late.has(seen, owed.remote) {
            return Err(Dropped::OldInitiation);
        }
        // An earlier start of ours, which somebody kept, has no answer (section 3, rule 8).
        if is_own_index && counter <= self.counter {
            return Err(Dropped::SameIndex);
        }
        if self.is_connected() && self.remote == Some(life) && receiver != config.index_id {
            // One that crossed ours: nobody shall have an answer to it later (section 3, rule 3).
            if receiver == IndexId::default() {
                self.late.note(seen, owed.remote);
            }
            return Err(Dropped::NotForUs);
        }
        self.memory.accept(seen);
        self.owed = Some(owed);
        Ok(Incoming::Handshake)
    }

    /// An INITIATION of this program. Only the one that we wait for an answer to, here and now, tells
    /// that this address sends back what it gets; another may be thrown at us by a stranger who kept it.
    fn handle_own(&mut self, now: Instant, sender: u32) -> Dropped {
        let is_expected = self
            .expected
            .iter()
            .flatten()
            .any(|expected| expected.local == sender);
        if is_expected && !self.is_connected() {
            self.is_echo = true;
            self.expected = [None, None];
            self.liveness.lost(now + RETRY_ECHO);
        }
        Dropped::Ourselves
    }

    fn handle_response(
        &mut self,
        now: Instant,
        config: &Config,
        entropy: &mut Entropy,
        datagram: &[u8],
    ) -> Result<Incoming<'static>, Dropped> {
        let (remote, local, _) = parse_response(datagram).ok_or(Dropped::Malformed)?;
        let mut expected = self.expected.iter().flatten();
        let expected = expected
            .find(|expected| expected.local == local)
            .ok_or(Dropped::UnknownSession)?;
        let (payload, keys) = expected.complete(datagram)?;
        if payload.life.index == config.index_id {
            // Ours again if somebody led an answer of ours from one of our peers to another.
            self.met_copy |= !config.is_this_program(payload.life.connection);
            return Err(Dropped::SameIndex);
        }
        if keys.cipher == CipherKind::Aegis128L && !config.aegis {
            return Err(Dropped::Cipher);
        }
        let session = Session::new(&keys, local, remote, now).ok_or(Dropped::Cipher)?;
        self.install(now, entropy, session, payload.life, true);
        self.confirmation_due = true;
        Ok(Incoming::Handshake)
    }

    fn handle_sealed<'d>(
        &mut self,
        now: Instant,
        entropy: &mut Entropy,
        datagram: &'d mut [u8],
    ) -> Result<Incoming<'d>, Dropped> {
        let mut sealed = Sealed::parse(datagram).ok_or(Dropped::Malformed)?;
        if let Some((session, life)) = self.established.open(now, &mut sealed)? {
            self.memory.prove(life.index);
            self.install(now, entropy, session, life, false);
            self.confirmation_due = false;
        }
        self.liveness.heard = now;
        Ok(if sealed.text.is_empty() {
            Incoming::Handshake
        } else {
            Incoming::Message(sealed.text)
        })
    }
}
