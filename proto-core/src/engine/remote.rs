//! One configured peer as the engine sees it.

use super::journals::Reading;
use super::trouble::Troubles;
use super::{ANNOUNCE_PAUSE, HEARTBEAT};
use crate::boundary::{PeerSlot, PullId};
use crate::content::ContentId;
use crate::flow::Flow;
use crate::index::entry::{IndexId, Sequence};
use crate::path_mtu::{LADDER, PathMtu};
use crate::serve::Serve;
use crate::session::{CipherKey, PeerSessions, Seen};
use crate::time::{Duration, Instant};
use crate::wire::path_probe::Probe;
use heapless::Deque;

/// Contents that a peer asks for, or is told of, at once.
const TOLD: usize = 16;

/// PROBEs of a peer that wait for their answer: one of each size. Those of a try that was not answered in time are dropped with what
/// is beyond it, as their peer asks again.
const PROBES: usize = LADDER.len();

/// What a peer last told of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Announced {
    pub index: IndexId,
    pub sequence: Sequence,
    pub seen_index: IndexId,
    pub seen_sequence: Sequence,
    pub pending: u32,
    pub busy: bool,
    pub bridge: u8,
    pub leads: bool,
}

/// One configured peer.
#[derive(Debug)]
pub(super) struct Remote<K> {
    pub slot: PeerSlot,
    pub sessions: PeerSessions<K>,
    /// The life that the driver was told of.
    pub reported: Option<u32>,
    pub flow: Flow,
    pub serve: Serve,
    /// How long the datagrams may be that we ask for.
    pub mtu: PathMtu,
    /// Datagrams that it wants, to find that out for itself.
    pub probes: Deque<Probe, PROBES>,
    /// Datagrams that it sent for that alone.
    pub paddings: u64,
    /// Whether it wants BLOCKs that say ECT(0).
    pub ecn: bool,
    pub announced: Option<Announced>,
    /// The index that may read our journal over this connection.
    pub reader: Option<IndexId>,
    /// How far we have read its journal.
    pub cursor: Option<Sequence>,
    /// The page being read.
    pub journal: Option<PullId>,
    pub reading: Reading,
    pub announce_at: Instant,
    last_announce: Instant,
    /// Its clock in its last announcement, and when that came.
    pub echo: Option<(u32, Instant)>,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// When it last sent something that was asked for.
    pub answered_at: Instant,
    /// Until then it is asked only for what nobody else has.
    pub avoided_until: Instant,
    initiation: Option<Seen>,
    pub troubles: Troubles,
    /// Contents that it asked for and the driver has not looked up.
    pub asked: Deque<ContentId, TOLD>,
    /// Contents that are to be told to be here.
    pub whole: Deque<ContentId, TOLD>,
    /// What it tells without asking is answered no earlier.
    pub answer_at: Instant,
    /// No HAVE before this.
    pub have_at: Instant,
    /// When more may be asked for, if that alone is waited for.
    pub ask_at: Instant,
    /// Whether the driver knows this address as one of our own machine.
    pub own_address: bool,
}

/// What is known of a peer, for whoever asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// Whether there is a session and it is alive.
    pub connected: bool,
    /// Whether this peer is ourselves.
    pub is_self: bool,
    /// Least round trip of late: what waits in queues is not counted.
    pub rtt: Option<Duration>,
    /// Newest sequence of its index that it told of.
    pub sequence: Sequence,
    /// Bytes of UDP payload sent to it.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received from it.
    pub bytes_received: u64,
    /// Pieces being pulled from it.
    pub transfers: usize,
    /// Bytes that may be outstanding.
    pub window: usize,
    /// Bytes of UDP payload of the datagrams that it is asked for.
    pub datagram: usize,
    /// Datagrams that came only to find that out.
    pub paddings: u64,
    /// Segments that came from it after they had been given up, and perhaps asked for again.
    pub spurious: u64,
    /// BLOCKs that came from it with a congestion mark.
    pub marked: u64,
}

impl<K: CipherKey> Remote<K> {
    /// A peer of which nothing is known; datagrams of more than `longest` bytes are never asked for.
    pub fn new(
        slot: PeerSlot,
        initiation_counter: u64,
        last_seen: Option<Seen>,
        longest: usize,
    ) -> Self {
        Self {
            slot,
            sessions: PeerSessions::new(
                u8::try_from(slot.place()).unwrap_or(u8::MAX),
                initiation_counter,
                last_seen,
            ),
            reported: None,
            flow: Flow::default(),
            serve: Serve::default(),
            mtu: PathMtu::new(longest),
            probes: Deque::new(),
            paddings: 0,
            ecn: false,
            announced: None,
            reader: None,
            cursor: None,
            journal: None,
            reading: Reading::new(),
            announce_at: Instant::ZERO,
            last_announce: Instant::ZERO,
            echo: None,
            bytes_sent: 0,
            bytes_received: 0,
            answered_at: Instant::ZERO,
            avoided_until: Instant::ZERO,
            initiation: last_seen,
            troubles: Troubles::default(),
            asked: Deque::new(),
            whole: Deque::new(),
            answer_at: Instant::ZERO,
            have_at: Instant::ZERO,
            ask_at: Instant::FAR_FUTURE,
            own_address: false,
        }
    }

    /// Connected, and the driver knows it.
    pub fn is_connected(&self) -> bool {
        self.reported.is_some() && self.sessions.is_connected()
    }

    /// Whether it is connected and still wants entries.
    pub fn pulls(&self) -> bool {
        self.is_connected() && self.announced.is_some_and(|told| told.pending > 0)
    }

    /// Whether this peer is ourselves.
    pub fn is_self(&self) -> bool {
        self.own_address && self.sessions.is_echo()
    }

    /// How far it told to have read the journal of this index.
    pub fn has_seen(&self, index: IndexId) -> Sequence {
        self.announced
            .filter(|told| told.seen_index == index)
            .map_or(0, |told| told.seen_sequence)
    }

    /// An initiation that was accepted since the last look.
    pub fn take_initiation(&mut self) -> Option<Seen> {
        let seen = self.sessions.last_seen_initiation();
        if seen == self.initiation {
            return None;
        }
        self.initiation = seen;
        seen
    }

    pub fn announce_soon(&mut self, now: Instant) {
        self.announce_at = self
            .announce_at
            .min(now.max(self.last_announce + ANNOUNCE_PAUSE));
    }

    /// A content that it fetches too is here. One that is forgotten in a full queue is told when it tells of it.
    pub fn tell_whole(&mut self, content: ContentId) {
        let _ = self.whole.push_back(content);
    }

    pub fn announced_now(&mut self, now: Instant) {
        self.last_announce = now;
        self.announce_at = now + HEARTBEAT;
    }

    /// What belonged to a life of the peer that has ended.
    pub fn forget_connection(&mut self) {
        self.flow.forget();
        self.serve.clear();
        self.mtu.forget();
        self.probes.clear();
        self.ecn = false;
        self.announced = None;
        self.reader = None;
        self.cursor = None;
        self.journal = None;
        self.reading = Reading::new();
        self.echo = None;
        self.avoided_until = Instant::ZERO;
        self.announce_at = Instant::ZERO;
        self.ask_at = Instant::FAR_FUTURE;
        self.asked.clear();
        self.whole.clear();
    }

    pub fn timeout(&self) -> Instant {
        let announce = if self.is_connected() {
            self.announce_at.min(self.mtu.due())
        } else {
            Instant::FAR_FUTURE
        };
        let page = self.next_page_at().unwrap_or(Instant::FAR_FUTURE);
        self.sessions
            .poll_timeout()
            .min(announce)
            .min(page)
            .min(self.ask_at)
            .min(self.flow.probe_at().unwrap_or(Instant::FAR_FUTURE))
    }

    pub fn in_sync_with(&self, own_index: IndexId, own_sequence: Sequence) -> bool {
        self.is_connected()
            && self.announced.is_some_and(|told| {
                self.cursor == Some(told.sequence)
                    && told.seen_index == own_index
                    && told.seen_sequence == own_sequence
                    && told.pending == 0
                    && !told.busy
            })
    }

    pub fn status(&self, transfers: usize) -> PeerStatus {
        PeerStatus {
            connected: self.is_connected(),
            is_self: self.is_self(),
            rtt: self.flow.rtt.min().or(self.flow.rtt.smoothed()),
            sequence: self.announced.map_or(0, |told| told.sequence),
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            transfers,
            window: self.flow.window(),
            datagram: self.mtu.size(),
            paddings: self.paddings,
            spurious: self.flow.reordering.spurious(),
            marked: self.flow.marks(),
        }
    }
}
