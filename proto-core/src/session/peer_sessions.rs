//! One configured peer: handshakes, sessions and liveness, driven by datagrams and time.

use super::cipher::{CipherKey, PureRust};
use super::entropy::Entropy;
use super::established::{Established, Session};
use super::framing::Life;
use super::handshake::{ExpectResponse, OweResponse};
use super::initiation_memory::{InitiationMemory, LateInitiations, Seen};
use super::liveness::{Liveness, RETRY_AFTER_CLOSE};
use crate::index::entry::IndexId;
use crate::time::Instant;

mod receive;
mod transmit;

/// What all peers of one instance share.
#[derive(Clone)]
pub struct Config {
    /// The group key.
    pub key: [u8; 32],
    /// Our index; not 0.
    pub index_id: IndexId,
    /// Random for each start of this instance, so that peers see the restart.
    pub boot_id: u32,
    /// Whether to offer AEGIS-128L: only if the driver's [`CipherKey`] has it, and this processor is fast
    /// at it.
    pub aegis: bool,
}

/// How often one program can give one peer up before its connections might look like another's.
const LOSSES: u32 = 1 << 24;

impl Config {
    /// Whether a connection of our index is one of this program, not of a copy of our index.
    fn is_this_program(&self, connection: u32) -> bool {
        connection.wrapping_sub(self.boot_id) < LOSSES
    }
}

impl core::fmt::Debug for Config {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Config")
            .field("index_id", &self.index_id)
            .field("boot_id", &self.boot_id)
            .field("aegis", &self.aegis)
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
pub struct PeerSessions<K = PureRust> {
    /// First byte of the names of our sessions.
    prefix: u8,
    established: Established<K>,
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
    late: LateInitiations,
    /// Counter of our next INITIATION, in microseconds.
    counter: u64,
    /// How often we gave this connection up.
    losses: u32,
    is_echo: bool,
    met_copy: bool,
}

// 5,440 on x86-64; most of it are the four expanded keys.
const _: () = assert!(size_of::<PeerSessions>() <= 6 * 1024);

impl<K: CipherKey> PeerSessions<K> {
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
            late: LateInitiations::NONE,
            counter: initiation_counter,
            losses: 0,
            is_echo: false,
            met_copy: false,
        }
    }

    /// Whether messages can be sent. False again only after [`Self::handle_timeout`] or
    /// [`Self::close`].
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.established.is_connected()
    }

    /// Whether our own INITIATIONs come back from this address: it is ours, or somebody who holds no
    /// key throws them back. Then it is only tried again every [`super::RETRY_ECHO`], or when another
    /// index answers there.
    #[must_use]
    pub const fn is_echo(&self) -> bool {
        self.is_echo
    }

    /// Whether another program has answered under our index id: our index is a copy, or was copied.
    #[must_use]
    pub const fn met_copy(&self) -> bool {
        self.met_copy
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

    /// A session is proven by both sides: from now on it is the one to send under.
    fn install(
        &mut self,
        now: Instant,
        entropy: &mut Entropy,
        session: Session<K>,
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
        self.is_echo = false;
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

impl<K> core::fmt::Debug for PeerSessions<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PeerSessions")
            .field("connected", &self.established.is_connected())
            .field("remote", &self.remote)
            .field("incarnation", &self.incarnation)
            .field("liveness", &self.liveness)
            .finish_non_exhaustive()
    }
}
