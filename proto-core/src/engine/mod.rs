//! The engine: routes datagrams, time and the driver's wishes to the pieces of the protocol, and is
//! the only one with public `poll_*` functions.
//!
//! A driver, after every input ([`Engine::handle_datagram`], [`Engine::handle_timeout`], or one of its
//! own wishes), drains in this order:
//! 1. what `handle_datagram` gave back, at once: it borrows the datagram;
//! 2. [`Engine::poll_event`] until `None`;
//! 3. [`Engine::poll_transmit`] until `None`;
//! 4. [`Engine::poll_timeout`], to be woken then for `handle_timeout`.

mod agreement;
mod announcement;
mod build_request;
mod config;
mod demand;
mod drafts;
mod event;
mod journals;
mod poll_event;
mod readers;
mod receive;
mod remote;
mod sources;
mod swarms;
mod transmit;
mod trouble;

use crate::boundary::{PeerSlot, PullId};
use crate::flow::Limit;
use crate::index::entry::{IndexId, Sequence};
use crate::limits::MAX_PEERS;
use crate::pull::{Expected, Pulls, Want};
use crate::session::{CipherKey, Entropy, PureRust, Seen};
use crate::swarm::{Sources, Swarms};
use crate::time::{Duration, Instant};
use crate::wire::encoding::Encoding;
pub use config::{Config, Limits, Own};
use demand::Demand;
use drafts::Drafts;
pub use event::Event;
use readers::Readers;
pub use receive::Delivery;
pub use remote::PeerStatus;
use remote::Remote;
pub use trouble::Trouble;

/// A heartbeat for each connected peer, this often (docs/protocol.md, "Announce").
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// Changes within this time are told in one announcement.
const ANNOUNCE_PAUSE: Duration = Duration::from_millis(2);
/// Places in the table of pulls that are kept for journal pages.
const JOURNAL_PULLS: usize = 4;

/// The protocol of one peer with all its others.
#[derive(Debug)]
pub struct Engine<K = PureRust> {
    config: Config,
    entropy: Entropy,
    remotes: [Option<Remote<K>>; MAX_PEERS],
    pulls: Pulls,
    swarms: Swarms,
    drafts: Drafts,
    /// Whether pieces of contents may come encoded, and how long those became.
    encodings: bool,
    expected: Expected,
    /// What is wanted of the encoder.
    demand: Demand,
    /// Since when only what others are to get for us is left to ask for.
    waiting_since: Option<Instant>,
    /// When to look again because of that.
    patience_ends: Instant,
    /// Who may be asked for one more chunk, as long as nothing has happened since.
    askable: Option<(Instant, Sources)>,
    own: Own,
    readers: Readers,
    up: Option<Limit>,
    down: Option<Limit>,
    /// Whose turn it is to send.
    turn: usize,
    goodbye: bool,
}

// docs/architecture.md, "Memory".
const _: () = assert!(core::mem::size_of::<Engine>() < 900 * 1024);

impl<K: CipherKey> Engine<K> {
    /// An engine without peers.
    #[must_use]
    pub fn new(config: Config, entropy: Entropy) -> Self {
        Self {
            up: config.limits.up.map(Limit::new),
            down: config.limits.down.map(Limit::new),
            readers: Readers::new(config.told),
            config,
            entropy,
            remotes: core::array::from_fn(|_| None),
            pulls: Pulls::default(),
            swarms: Swarms::default(),
            drafts: Drafts::default(),
            encodings: true,
            expected: Expected::default(),
            demand: Demand::default(),
            waiting_since: None,
            patience_ends: Instant::FAR_FUTURE,
            askable: None,
            own: Own::default(),
            turn: 0,
            goodbye: false,
        }
    }

    /// Adds a configured peer. `initiation_counter` only grows over the life of our index;
    /// `last_seen` is what was kept of [`Event::Initiation`]. False if the slot is taken.
    pub fn add_peer(
        &mut self,
        peer: PeerSlot,
        initiation_counter: u64,
        last_seen: Option<Seen>,
    ) -> bool {
        match self.remotes.get_mut(peer.place()) {
            Some(place @ None) => {
                *place = Some(Remote::new(
                    peer,
                    initiation_counter,
                    last_seen,
                    self.config.datagram,
                ));
                true
            }
            _ => false,
        }
    }

    /// When something may go to, and be asked of, others than peers, whose bytes count against the limits too.
    #[must_use]
    pub fn limits_ready_at(&self) -> (Instant, Instant) {
        let ready = |limit: Option<Limit>| limit.map_or(Instant::ZERO, |limit| limit.ready_at());
        (ready(self.up), ready(self.down))
    }

    /// So many bytes went to, and are to come from, others than peers.
    pub fn spend(&mut self, now: Instant, up: usize, down: usize) {
        for (limit, bytes) in [(&mut self.up, up), (&mut self.down, down)] {
            if let Some(limit) = limit.as_mut().filter(|_| bytes > 0) {
                limit.spend(now, bytes);
            }
        }
    }

    /// What we tell the others of ourselves; a change of the index is announced at once, else it waits a moment
    /// for one that may follow.
    pub fn set_own(&mut self, now: Instant, own: Own) {
        if self.own != own {
            let now = if self.own.sequence == own.sequence {
                now + ANNOUNCE_PAUSE
            } else {
                now
            };
            self.own = own;
            for remote in self.remotes.iter_mut().flatten() {
                remote.announce_soon(now);
            }
        }
    }

    /// How far the journal of a connected peer has been read and durably noted.
    pub fn set_cursor(&mut self, now: Instant, peer: PeerSlot, cursor: Sequence) {
        if let Some(remote) = self.remote_mut(peer) {
            remote.cursor = Some(cursor);
            remote.announce_soon(now);
        }
        self.pull_journals(now);
    }

    /// Asks for a piece of a content or recipe. `None` if the table of pulls is full: try again
    /// after an event.
    pub fn pull(&mut self, want: Want) -> Option<PullId> {
        if self.pulls.free() <= JOURNAL_PULLS {
            return None;
        }
        // Who is not there cannot be preferred.
        let prefer = want
            .prefer
            .filter(|peer| self.remote(*peer).is_some_and(Remote::is_connected));
        self.askable = None;
        let pull = self.pulls.insert(Want { prefer, ..want })?;
        if self.encodings
            && let Some(piece) = self.pulls.get_mut(pull)
        {
            piece.allow_encodings();
        }
        Some(pull)
    }

    /// Whether pieces of contents may come encoded; at first they may.
    pub fn allow_encodings(&mut self, allowed: bool) {
        self.encodings = allowed;
    }

    /// The encoding of a complete piece, and how many bytes of it came.
    #[must_use]
    pub fn encoded(&self, pull: PullId) -> Option<(Encoding, usize)> {
        self.pulls.get(pull)?.encoded()
    }

    /// A complete piece was taken.
    pub fn finish(&mut self, pull: PullId) {
        self.end_pull(pull);
    }

    /// A piece is not wanted any more.
    pub fn cancel(&mut self, pull: PullId) {
        self.end_pull(pull);
    }

    /// A complete piece did not verify: it is asked for again, from somebody else (see [`Self::senders`]).
    pub fn corrupt(&mut self, pull: PullId) {
        self.askable = None;
        if let Some(piece) = self.pulls.get_mut(pull) {
            piece.reported = false;
            piece.begin_anew();
        }
    }

    /// Tells every connected peer that we end; drain [`Self::poll_transmit`] once more after it.
    pub fn shut_down(&mut self) {
        self.goodbye = true;
    }

    /// The index of a peer, if it is connected.
    #[must_use]
    pub fn connected_index(&self, peer: PeerSlot) -> Option<IndexId> {
        let remote = self.remote(peer).filter(|remote| remote.is_connected())?;
        remote.sessions.remote_index_id()
    }

    /// Bytes of the datagrams of a peer that proved to be its: grows with each of them.
    #[must_use]
    pub fn bytes_received(&self, peer: PeerSlot) -> u64 {
        self.remote(peer).map_or(0, |remote| remote.bytes_received)
    }

    /// Free places for [`Self::pull`].
    #[must_use]
    pub fn free_pulls(&self) -> usize {
        self.pulls.free().saturating_sub(JOURNAL_PULLS)
    }

    /// What is known of a peer.
    #[must_use]
    pub fn status(&self, peer: PeerSlot) -> Option<PeerStatus> {
        let remote = self.remote(peer)?;
        let transfers = self
            .pulls
            .iter()
            .filter(|(_, piece)| piece.source == Some(peer))
            .count();
        Some(remote.status(transfers))
    }

    /// The address of this peer is one of our own machine: after [`Trouble::Echo`], it is ourselves.
    pub fn confirm_self(&mut self, peer: PeerSlot) {
        if let Some(remote) = self.remote_mut(peer) {
            remote.own_address = true;
        }
    }

    fn end_pull(&mut self, pull: PullId) {
        self.askable = None;
        let Some(mut piece) = self.pulls.remove(pull) else {
            return;
        };
        for remote in self.remotes.iter_mut().flatten() {
            if piece.source == Some(remote.slot) {
                piece.give_up(&mut remote.flow);
            }
            if remote.journal == Some(pull) {
                remote.journal = None;
            }
        }
    }

    /// Due timers: sessions, heartbeats, losses.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.askable = None;
        for remote in self.remotes.iter_mut().flatten() {
            remote.sessions.handle_timeout(now);
        }
        self.find_losses(now);
        if now >= self.patience_ends {
            self.patience_ends = Instant::FAR_FUTURE;
        }
        for (_, piece) in self.pulls.iter_mut() {
            piece.end_pause(now);
        }
        self.pull_journals(now);
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_transmit`] again if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let remotes = self.remotes.iter().flatten().map(Remote::timeout);
        let pieces = self.pulls.iter().filter_map(|(_, piece)| {
            match piece.source.and_then(|source| self.remote(source)) {
                Some(remote) => piece.deadline(&remote.flow),
                None => (piece.not_before() > Instant::ZERO).then_some(piece.not_before()),
            }
        });
        let next = remotes.chain(pieces).min();
        next.unwrap_or(Instant::FAR_FUTURE)
            .min(self.swarms_at())
            .min(self.drafts_at())
            .min(self.serves_at())
    }

    /// When more may be served, if the limit alone holds it back.
    fn serves_at(&self) -> Instant {
        let waits = |remote: &Remote<K>| remote.is_connected() && !remote.serve.is_empty();
        match self.up {
            Some(up) if self.remotes.iter().flatten().any(waits) => up.ready_at(),
            _ => Instant::FAR_FUTURE,
        }
    }

    fn remote(&self, peer: PeerSlot) -> Option<&Remote<K>> {
        self.remotes.get(peer.place())?.as_ref()
    }

    fn remote_mut(&mut self, peer: PeerSlot) -> Option<&mut Remote<K>> {
        self.remotes.get_mut(peer.place())?.as_mut()
    }
}
