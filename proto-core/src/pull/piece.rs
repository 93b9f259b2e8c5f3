//! One piece being pulled: which segments are here, which are asked for, and when they count as lost.

mod arriving;
mod asking;
mod encoding;
mod loss;
mod sources;

pub use arriving::Arrived;
pub use asking::Missing;

use super::{PeerSet, Want};
use crate::boundary::PeerSlot;
use crate::storage::segment_bitmap::{MAX_SEGMENTS, SegmentBitmap};
use crate::time::{Duration, Instant};
use crate::wire::ObjectId;
use crate::wire::encoding::Encoding;

/// So long a server may build a bundle before it answers (docs/protocol.md, "Bundles").
const BUILDING: Duration = Duration::from_secs(2);

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

    /// When it may be asked for again after a peer said that it is busy.
    #[must_use]
    pub fn not_before(&self) -> Instant {
        self.not_before
    }

    /// How often it was given up by time since something of it came.
    #[must_use]
    pub fn timeouts(&self) -> u32 {
        self.timeouts
    }

    /// Place of the latest request in the order of all requests to the source.
    #[must_use]
    pub fn order(&self) -> u64 {
        self.order
    }
}
