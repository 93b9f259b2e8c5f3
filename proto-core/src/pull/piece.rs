//! One piece being pulled: which segments are here, which are asked for, and when they count as lost.

mod encoding;
mod loss;

use super::{PeerSet, Want};
use crate::boundary::PeerSlot;
use crate::flow::Flow;
use crate::limits::MAX_PEERS;
use crate::storage::segment_bitmap::{MAX_SEGMENTS, SegmentBitmap};
use crate::time::{Duration, Instant};
use crate::wire::ObjectId;
use crate::wire::encoding::Encoding;

/// First pause after a peer said that it is busy; doubles each time.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How often it doubles at most.
const BUSY_DOUBLINGS: u32 = 4;
/// How often in a row a peer may say so before anybody else may be asked too.
const PATIENCE: u32 = 8;

/// So long a server may build a bundle before it answers (docs/protocol.md, "Bundles").
const BUILDING: Duration = Duration::from_secs(2);

/// Which segments of a piece should be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// How many segments.
    pub segments: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// One piece being pulled.
#[derive(Debug)]
pub struct Piece {
    /// What the driver wants.
    pub want: Want,
    /// Its length as it travels: as wanted, or as its first BLOCK said.
    pub length: usize,
    length_known: bool,
    /// What its length is thought to become, until it is known.
    expected: usize,
    /// Whether it may come in any encoding.
    any_encoding: bool,
    /// As its first BLOCK said.
    encoding: Encoding,
    /// How often that changed.
    changes: u8,
    /// Bytes of each segment but the last.
    segment: usize,
    here: SegmentBitmap,
    asked: SegmentBitmap,
    /// Bytes asked for and not here.
    outstanding: usize,
    /// Whom it was asked from last.
    pub source: Option<PeerSlot>,
    /// Who refused it, or was given up.
    pub refused_by: PeerSet,
    /// Who of these was given up: it sends nothing of it.
    pub silent: PeerSet,
    /// Who sent what is here of it.
    pub senders: PeerSet,
    /// For each segment the last 16 bits of the place of its latest request in the order of all requests
    /// to the source.
    orders: [u16; MAX_SEGMENTS],
    /// Segments asked for more than once: which request an answer is to, is not sure.
    repeated: SegmentBitmap,
    /// Place of the latest request.
    order: u64,
    /// No request for what is outstanding has a place before this one.
    oldest: u64,
    /// When something was last asked for or came.
    last_stir: Instant,
    /// How often in a row all that was asked for was overtaken.
    passed_over: u32,
    timeouts: u32,
    /// The same from all sources together since the last one was given up.
    unheard: u8,
    /// How often in a row somebody was busy.
    busy: u32,
    not_before: Instant,
    /// Since when its source may be building it.
    waits_since: Option<Instant>,
    /// Whether its end was reported to the driver.
    pub reported: bool,
    /// Whether nothing is to come of it any more, not even what is here.
    pub ended: bool,
}

/// What an arriving segment means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrived {
    /// New bytes, at this offset in the piece.
    New {
        /// Offset in the piece.
        at: usize,
    },
    /// Seen before, not asked for, or not of the right length.
    Useless,
}

impl Piece {
    /// A piece of which nothing is here.
    #[must_use]
    pub fn new(want: Want) -> Self {
        Self {
            want,
            length: want.length as usize,
            length_known: matches!(want.object, ObjectId::Content(_)),
            expected: want.length as usize,
            any_encoding: false,
            encoding: Encoding::NONE,
            changes: 0,
            segment: 0,
            here: SegmentBitmap::new(),
            asked: SegmentBitmap::new(),
            outstanding: 0,
            source: None,
            refused_by: PeerSet::EMPTY,
            silent: PeerSet::EMPTY,
            senders: PeerSet::EMPTY,
            orders: [0; MAX_SEGMENTS],
            repeated: SegmentBitmap::new(),
            order: 0,
            oldest: 0,
            last_stir: Instant::ZERO,
            passed_over: 0,
            timeouts: 0,
            unheard: 0,
            busy: 0,
            not_before: Instant::ZERO,
            waits_since: None,
            reported: false,
            ended: false,
        }
    }

    /// Number of segments.
    #[must_use]
    pub fn segments(&self) -> usize {
        if self.segment == 0 {
            0
        } else {
            self.length.div_ceil(self.segment)
        }
    }

    /// Bytes of the segment at this place.
    fn segment_len(&self, place: usize) -> usize {
        self.length
            .saturating_sub(place * self.segment)
            .min(self.segment)
    }

    /// Bytes of each segment but the last; 0 before it was first asked for.
    #[must_use]
    pub fn segment(&self) -> usize {
        self.segment
    }

    /// Whether all bytes are here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.segment != 0 && self.length_known && self.here.count() == self.segments()
    }

    /// Bytes that are not here.
    #[must_use]
    pub fn missing(&self) -> usize {
        let length = if self.length_known {
            self.length
        } else {
            self.expected
        };
        length.saturating_sub(self.here.count() * self.segment)
    }

    /// Bytes asked for and not here.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Number of segments that may be asked for: while the length is not known, those that are expected.
    fn askable(&self) -> usize {
        let all = self.segments();
        if self.length_known || self.segment == 0 {
            all
        } else {
            self.expected.div_ceil(self.segment).clamp(1, all.max(1))
        }
    }

    fn bytes_of(&self, segments: &SegmentBitmap) -> usize {
        segments.iter().map(|place| self.segment_len(place)).sum()
    }

    fn count_outstanding(&self) -> usize {
        (0..self.segments())
            .filter(|place| self.asked.get(*place) && !self.here.get(*place))
            .map(|place| self.segment_len(place))
            .sum()
    }

    /// Whether there is anything to ask for at `now`.
    #[must_use]
    pub fn wants_asking(&self, now: Instant) -> bool {
        let waits = self.outstanding > 0 && (self.timeouts > 0 || self.tells_built());
        now >= self.not_before
            && !self.ended
            && !waits
            && (self.segment == 0 || (!self.is_complete() && self.asked.count() < self.askable()))
    }

    /// When it may be asked for again after a peer said that it is busy.
    #[must_use]
    pub fn not_before(&self) -> Instant {
        self.not_before
    }

    /// Whether its source may be building it yet: then silence is no loss.
    #[must_use]
    pub fn is_building(&self) -> bool {
        matches!(self.want.object, ObjectId::Bundle(_)) && !self.length_known
    }

    /// Whether its first segment is the one whose answer tells that it is built. Nothing more is asked for before, and
    /// how long that takes says nothing of the path.
    fn tells_built(&self) -> bool {
        self.is_building() && self.want.start == 0
    }

    /// Whether its source had time enough to build it.
    #[must_use]
    pub fn has_waited(&self, now: Instant) -> bool {
        self.is_building()
            && self
                .waits_since
                .is_some_and(|since| now.saturating_since(since) >= BUILDING)
    }

    /// Marks segments worth at most `room` bytes (at least one segment) as asked for from `source`
    /// and sets their bits in `wanted`. What is here stays here; a change of segment size at a
    /// change of source begins the piece anew.
    pub fn ask(
        &mut self,
        source: PeerSlot,
        segment: usize,
        room: usize,
        wanted: &mut SegmentBitmap,
    ) -> Missing {
        if self.segment != segment {
            self.segment = segment;
            self.here = SegmentBitmap::new();
            self.asked = SegmentBitmap::new();
            self.repeated = SegmentBitmap::new();
            if self.want.length as usize <= segment {
                // One datagram: nothing is gained.
                self.take_plain();
            }
        }
        self.source = Some(source);
        let mut missing = Missing {
            segments: 0,
            bytes: 0,
        };
        let most = if self.tells_built() {
            1
        } else {
            self.askable()
        };
        for place in 0..most {
            if self.asked.get(place) {
                continue;
            }
            let bytes = self.segment_len(place);
            if missing.segments > 0 && missing.bytes + bytes > room {
                break;
            }
            self.asked.set(place);
            wanted.set(place);
            missing.segments += 1;
            missing.bytes += bytes;
        }
        self.outstanding += missing.bytes;
        missing
    }

    /// Whether `peer` may be asked for it at `now`.
    #[must_use]
    pub fn may_ask(&self, now: Instant, peer: PeerSlot) -> bool {
        let others = self.source.is_some_and(|source| source != peer);
        let unwanted =
            self.want.only.is_some_and(|only| only != peer) || self.refused_by.contains(peer);
        // Until the preferred peer has refused, nobody else is asked.
        let reserved = self.source.is_none()
            && self
                .want
                .prefer
                .is_some_and(|prefer| prefer != peer && !self.refused_by.contains(prefer));
        !others && !unwanted && !reserved && self.wants_asking(now)
    }

    /// How often it was given up by time since something of it came.
    #[must_use]
    pub fn timeouts(&self) -> u32 {
        self.timeouts
    }

    /// One of `peers` that may be asked for it, but `not`.
    #[must_use]
    pub fn other_source(&self, peers: PeerSet, not: PeerSlot) -> Option<PeerSlot> {
        (0..MAX_PEERS).filter_map(PeerSlot::new).find(|peer| {
            *peer != not
                && peers.contains(*peer)
                && !self.refused_by.contains(*peer)
                && self.want.only.is_none_or(|only| only == *peer)
        })
    }

    /// Leaves its source, whose flow this is, for another one.
    pub fn leave(&mut self, flow: &mut Flow, other: PeerSlot) {
        self.give_up(flow);
        self.source = None;
        self.forget_length();
        self.timeouts = 0;
        self.want.prefer = Some(other);
    }

    /// Place of the latest request in the order of all requests to the source.
    #[must_use]
    pub fn order(&self) -> u64 {
        self.order
    }

    /// Takes note of the request that [`Self::ask`] was made for: its place in the order of all, and
    /// what it asks for.
    pub fn asked(&mut self, now: Instant, order: u64, wanted: &SegmentBitmap) {
        if self.outstanding == self.bytes_of(wanted) {
            self.oldest = order;
        }
        for place in wanted.iter() {
            if let Some(of_segment) = self.orders.get_mut(place) {
                if *of_segment != 0 {
                    self.repeated.set(place);
                }
                *of_segment = order as u16;
            }
        }
        self.order = order;
        self.last_stir = now;
        if self.is_building() {
            self.waits_since.get_or_insert(now);
        }
    }

    /// A BLOCK came: `length` is the piece's as the peer serves it in this encoding, `len` that of the payload.
    /// `flow` is the source's.
    pub fn arrived(
        &mut self,
        now: Instant,
        flow: &mut Flow,
        place: usize,
        (encoding, length): (Encoding, usize),
        len: usize,
    ) -> Arrived {
        if self.segment == 0 || length == 0 || !self.may_come_in(encoding, length) {
            return Arrived::Useless;
        }
        let tells_built = self.tells_built();
        if !self.length_known || length != self.length || encoding != self.encoding {
            if self.changes_too_often() {
                self.disbelieve(flow);
                return Arrived::Useless;
            }
            self.encoding = encoding;
            self.take_length(flow, length);
        }
        if place >= self.segments() || len != self.segment_len(place) || self.here.get(place) {
            return Arrived::Useless;
        }
        // A segment that was given up and comes late is as good as any, but it is not outstanding any more.
        let counted = if self.asked.get(place) { len } else { 0 };
        self.here.set(place);
        self.asked.set(place);
        if let Some(source) = self.source {
            self.senders.insert(source);
        }
        self.outstanding = self.outstanding.saturating_sub(counted);
        let order = (counted > 0 && !tells_built).then(|| self.order_of(flow, place));
        let once = !self.repeated.get(place);
        // An answer to the latest request for it, if a round trip has gone by since (RFC 8985 section
        // 6.2, step 2).
        let sent = order.and_then(|order| flow.requests.get(order));
        let age = sent.map(|sent| now.saturating_since(sent.at));
        let least = flow.rtt.min().unwrap_or_default();
        if counted == 0 || (!once && age.is_some_and(|age| age < least)) {
            // It had been given up, and perhaps asked for again: too early.
            flow.reordering.note_spurious();
        }
        let order = order.filter(|_| once || age.is_some_and(|age| age >= least));
        flow.arrived(now, order, len, counted, once);
        self.timeouts = 0;
        self.unheard = 0;
        self.passed_over = 0;
        self.busy = 0;
        self.last_stir = now;
        Arrived::New {
            at: place * self.segment,
        }
    }

    fn order_of(&self, flow: &Flow, place: usize) -> u64 {
        let low = self.orders.get(place).copied().unwrap_or_default();
        flow.requests.whole(low)
    }

    /// The length of a recipe block, a journal page, a part of a bundle or an encoded piece became known, or changed because the
    /// journal went on or the encoding is another; in that case it begins anew.
    fn take_length(&mut self, flow: &mut Flow, length: usize) {
        let before = self.outstanding;
        // What is here of another state is to be asked for again; the rest is still under way.
        let stale = if self.length_known {
            core::mem::take(&mut self.here)
        } else {
            SegmentBitmap::new()
        };
        self.length = length;
        self.length_known = true;
        let mut asked = SegmentBitmap::new();
        for place in (0..self.segments()).filter(|place| self.asked.get(*place)) {
            if !stale.get(place) {
                asked.set(place);
            }
        }
        self.asked = asked;
        self.outstanding = self.count_outstanding();
        let less = before.saturating_sub(self.outstanding);
        flow.given_up(less);
        if self.any_encoding {
            flow.refund(less);
        }
    }

    /// The source refused: ask somebody else, or the same again after a pause. Who is always busy is not
    /// waited for while others can be asked.
    pub fn refused(&mut self, now: Instant, flow: &mut Flow, by: PeerSlot, busy: bool) {
        self.give_up(flow);
        self.source = None;
        self.forget_length();
        if busy {
            if self.busy >= PATIENCE {
                self.want.prefer = None;
            }
            self.not_before = now + BUSY_PAUSE * (1 << self.busy.min(BUSY_DOUBLINGS));
            self.busy += 1;
        } else {
            self.refused_by.insert(by);
        }
    }

    /// The length of a recipe, a page or an encoded piece is what its source said: from another one it begins anew.
    fn forget_length(&mut self) {
        if !matches!(self.want.object, ObjectId::Content(_)) || self.encoding != Encoding::NONE {
            self.restart();
        }
    }

    /// All bytes are worthless (they did not verify): begin anew, as they are and without the one that sent them. If
    /// several did, it is not known which of them was wrong.
    pub fn begin_anew(&mut self) {
        self.source = None;
        if let Some(sender) = core::mem::take(&mut self.senders).single() {
            self.refused_by.insert(sender);
        }
        self.any_encoding = false;
        self.restart();
    }

    fn restart(&mut self) {
        self.here = SegmentBitmap::new();
        self.asked = SegmentBitmap::new();
        self.segment = 0;
        self.length = self.want.length as usize;
        self.encoding = Encoding::NONE;
        self.changes = 0;
        self.length_known = matches!(self.want.object, ObjectId::Content(_)) && !self.any_encoding;
        self.waits_since = None;
    }
}
