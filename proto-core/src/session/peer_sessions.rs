//! One configured peer: handshakes, sessions and liveness, driven by datagrams and time.

use super::dropped::Dropped;
use super::entropy::Entropy;
use super::established::{Established, Session};
use super::framing::{
    CipherKind, DatagramKind, INITIATION_LEN, InitiationPayload, Life, RESPONSE_LEN, Sealed,
    parse_response,
};
use super::handshake::{ExpectResponse, OweResponse};
use super::initiation_memory::{InitiationMemory, Seen};
use super::liveness::{Liveness, REKEY_AFTER_DATAGRAMS, RETRY_AFTER_CLOSE, RETRY_SELF};
use crate::index::entry::IndexId;
use crate::time::Instant;

/// What all peers of one instance share.
#[derive(Clone)]
pub struct Config {
    /// The group key.
    pub key: [u8; 32],
    /// Our index; not 0.
    pub index_id: IndexId,
    /// Random for each start of this instance, so that peers see the restart.
    pub boot_id: u32,
    /// Whether to offer AES-256-GCM: [`super::has_aes`], but for tests.
    pub aes: bool,
}

impl core::fmt::Debug for Config {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Config")
            .field("index_id", &self.index_id)
            .field("boot_id", &self.boot_id)
            .field("aes", &self.aes)
            .finish_non_exhaustive()
    }
}

/// What came with a datagram that was accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'d> {
    /// A part of a handshake. Call [`PeerSessions::poll_transmit`]: an answer may be owed, and with
    /// the connection what was waiting for it can go out.
    Handshake,
    /// The plaintext of a message, where its ciphertext lay.
    Message(&'d mut [u8]),
}

/// Why nothing was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SealError {
    /// There is no session to send under.
    NotConnected,
    /// The buffer does not hold the text and [`super::OVERHEAD`] bytes more.
    NoRoom,
}

/// Everything that is secret and alive between us and one configured peer. Its size is fixed: see
/// [`super`]. `now` must not go back from call to call.
pub struct PeerSessions {
    /// First byte of the names of our sessions.
    prefix: u8,
    established: Established,
    /// The peer as it is connected, or was last.
    remote: Option<Life>,
    incarnation: u32,
    established_at: Option<Instant>,
    liveness: Liveness,
    /// INITIATIONs without an answer, the newest first. Two, so that a path whose round trip is longer
    /// than the pause between them still connects.
    expected: [Option<ExpectResponse>; 2],
    /// The one INITIATION to answer. A newer one replaces it, so a burst costs one answer.
    owed: Option<OweResponse>,
    /// A session that we began is to be used at once, so that the responder may use it too.
    confirmation_due: bool,
    memory: InitiationMemory,
    /// Counter of our next INITIATION, in microseconds.
    counter: u64,
    /// How often we gave this connection up.
    losses: u32,
    is_self: bool,
}

// 5,296 on x86-64; most of it are the four expanded keys.
const _: () = assert!(size_of::<PeerSessions>() <= 6 * 1024);

impl PeerSessions {
    /// Not connected; initiates at the first [`Self::poll_transmit`].
    ///
    /// `prefix` is the first byte of our sessions' names, one for each peer, so that
    /// [`super::receiver_prefix`] finds the peer of a datagram. `initiation_counter` (microseconds)
    /// must be greater than at any earlier start with the same index id: the time of day with a
    /// durable count of starts above it, and not less than what [`Self::initiation_counter`] said
    /// last. `last_seen` is what [`Self::last_seen_initiation`] said last.
    #[must_use]
    pub const fn new(prefix: u8, initiation_counter: u64, last_seen: Option<Seen>) -> Self {
        Self {
            prefix,
            established: Established::new(),
            remote: None,
            incarnation: 0,
            established_at: None,
            liveness: Liveness::new(),
            expected: [None, None],
            owed: None,
            confirmation_due: false,
            memory: InitiationMemory::new(last_seen),
            counter: initiation_counter,
            losses: 0,
            is_self: false,
        }
    }

    /// Whether messages can be sent. False again only after [`Self::handle_timeout`] or
    /// [`Self::close`].
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.established.is_connected()
    }

    /// Whether this peer is ourselves: one of our own INITIATIONs came back. Then it is only tried
    /// again every [`super::RETRY_SELF`], or when another index answers at this address.
    #[must_use]
    pub const fn is_self(&self) -> bool {
        self.is_self
    }

    /// The index of the peer as it is connected, or was last; `None` before the first connection.
    #[must_use]
    pub fn remote_index_id(&self) -> Option<IndexId> {
        self.remote.map(|life| life.index)
    }

    /// Another number for each connection: it changes when the peer is connected for the first time,
    /// after it was lost (by either side), or when it was started anew; never by a mere change of keys.
    /// Whatever the owner knows of a connection is void when this changes. 0 before the first.
    #[must_use]
    pub const fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// When the present connection began; `None` if not connected. A change of keys leaves it.
    #[must_use]
    pub const fn established_at(&self) -> Option<Instant> {
        self.established_at
    }

    /// When something valid last came; `None` if not connected.
    #[must_use]
    pub fn last_heard(&self) -> Option<Instant> {
        self.is_connected().then_some(self.liveness.heard)
    }

    /// What to keep for the next start; changes with an accepted INITIATION, that is at a connection
    /// and every two minutes. If it is lost, one old INITIATION may be answered, to no effect.
    #[must_use]
    pub const fn last_seen_initiation(&self) -> Option<Seen> {
        self.memory.proven()
    }

    /// Counter of our next INITIATION; the driver may keep it and begin from it next time.
    #[must_use]
    pub const fn initiation_counter(&self) -> u64 {
        self.counter
    }

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
        if life.index == config.index_id {
            return Err(self.handle_own_index(now, owed.remote));
        }
        // What the peer would refuse is worth knowing even from an INITIATION that we refuse: it can
        // only be too low, never too high. So two peers whose clocks both went back meet at once.
        if receiver == config.index_id {
            self.counter = self.counter.max(receiver_counter.saturating_add(1));
        }
        if !self.memory.is_new((life.index, counter)) {
            return Err(Dropped::OldInitiation);
        }
        if self.is_connected() && self.remote == Some(life) && receiver != config.index_id {
            return Err(Dropped::NotForUs);
        }
        self.memory.accept((life.index, counter));
        self.owed = Some(owed);
        Ok(Incoming::Handshake)
    }

    /// Our own index in an INITIATION. Only the one that we wait for an answer to, here and now, tells
    /// that the peer is ourselves; anything else may be thrown at us by a stranger who kept it.
    fn handle_own_index(&mut self, now: Instant, sender: u32) -> Dropped {
        if !self
            .expected
            .iter()
            .flatten()
            .any(|expected| expected.local == sender)
        {
            return Dropped::SameIndex;
        }
        if !self.is_connected() {
            self.is_self = true;
            self.expected = [None, None];
            self.liveness.lost(now + RETRY_SELF);
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
            return Err(Dropped::SameIndex);
        }
        if keys.cipher == CipherKind::Aes256Gcm && !config.aes {
            return Err(Dropped::Cipher);
        }
        self.install(
            now,
            entropy,
            Session::new(&keys, local, remote, now),
            payload.life,
            true,
        );
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

    /// A session is proven by both sides: from now on it is the one to send under.
    fn install(
        &mut self,
        now: Instant,
        entropy: &mut Entropy,
        session: Session,
        life: Life,
        initiated: bool,
    ) {
        let is_same_life = self.is_connected() && self.remote == Some(life);
        self.established.install(session, life, is_same_life);
        if !is_same_life {
            self.remote = Some(life);
            self.incarnation = self.incarnation.wrapping_add(1);
            self.established_at = Some(now);
        }
        self.expected = [None, None];
        self.is_self = false;
        self.liveness.established(now, entropy, initiated);
    }

    /// When [`Self::handle_timeout`] and then [`Self::poll_transmit`] are to be called at the latest;
    /// in the past if there is something to send.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        if self.owed.is_some() || self.confirmation_due {
            return Instant::ZERO;
        }
        let mut next = self.liveness.initiate_at;
        if let Some(ends) = self.established.ends() {
            next = next.min(self.liveness.dead_at()).min(ends);
        }
        next.min(
            self.established
                .next_expiry()
                .unwrap_or(Instant::FAR_FUTURE),
        )
    }

    /// Drops what is too old, and the connection if the peer is dead. Call it after the datagrams that
    /// already wait, so that a stall of our own does not pass for the peer's death.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.established.expire(now);
        let ended = self
            .established
            .ends()
            .is_some_and(|ends| now >= ends || now >= self.liveness.dead_at());
        if ended {
            self.lose(now);
        }
    }

    /// The peer said that it leaves: drops the connection, and tries again after
    /// [`super::RETRY_AFTER_CLOSE`].
    pub fn close(&mut self, now: Instant) {
        self.owed = None;
        self.lose(now + RETRY_AFTER_CLOSE);
    }

    /// Forgets the connection and what could still become one, and initiates at `at`. Our life changes
    /// by it: the peer, which may not have noticed, learns that this is another connection.
    fn lose(&mut self, at: Instant) {
        self.established.clear();
        self.established_at = None;
        self.expected = [None, None];
        self.confirmation_due = false;
        self.losses = self.losses.wrapping_add(1);
        self.liveness.lost(at);
    }

    fn life(&self, config: &Config) -> Life {
        Life {
            index: config.index_id,
            connection: config.boot_id.wrapping_add(self.losses),
        }
    }

    /// Writes the next datagram of a handshake, if one is to be sent now, to `out`, which should have
    /// room for [`super::INITIATION_LEN`] bytes; its length. Call until `None`.
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
        let both = config.aes && payload.aes;
        let cipher = if both {
            CipherKind::Aes256Gcm
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
            aes: config.aes,
            counter: self.counter,
            receiver,
            receiver_counter: self.memory.counter_of(receiver),
        };
        let connected = self.is_connected();
        let step = self.liveness.initiated(now, entropy, connected);
        self.counter = self.counter.saturating_add(step);
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

    /// Seals a message whose text of `len` bytes lies in `datagram` behind [`super::SEALED_HEADER`]
    /// bytes of room and before [`super::TAG`] bytes more; the length of the datagram. An empty text is
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

    /// Moves the next INITIATION to `at`.
    #[cfg(test)]
    pub(super) fn rekey_at(&mut self, at: Instant) {
        self.liveness.initiate_at = at;
    }

    /// As if this many datagrams had been sealed.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, counter: u64) {
        if let Some(current) = self.established.current_mut() {
            current.sealer.skip_to(counter);
        }
    }
}

impl core::fmt::Debug for PeerSessions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PeerSessions")
            .field("connected", &self.is_connected())
            .field("remote", &self.remote)
            .field("incarnation", &self.incarnation)
            .field("liveness", &self.liveness)
            .finish_non_exhaustive()
    }
}
