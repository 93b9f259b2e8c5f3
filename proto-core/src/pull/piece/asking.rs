//! Which segments of a piece are asked for next, and from whom (docs/protocol.md, "Request").

use super::{BUILDING, Piece};
use crate::boundary::PeerSlot;
use crate::pull::PeerSet;
use crate::storage::segment_bitmap::SegmentBitmap;
use crate::time::Instant;
use crate::wire::ObjectId;

/// Which segments of a piece should be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// How many segments.
    pub segments: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl Piece {
    /// Whether there is anything to ask for at `now`.
    #[must_use]
    pub fn wants_asking(&self, now: Instant) -> bool {
        let waits = self.outstanding > 0 && (self.timeouts > 0 || self.tells_built());
        now >= self.not_before
            && !self.ended
            && !waits
            && (self.segment == 0 || (!self.is_complete() && self.asked.count() < self.askable()))
    }

    /// Whether its source may be building it yet: then silence is no loss.
    #[must_use]
    pub fn is_building(&self) -> bool {
        matches!(self.want.object, ObjectId::Bundle(_)) && !self.length_known
    }

    /// Whether its first segment is the one whose answer tells that it is built. Nothing more is asked for before, and
    /// how long that takes says nothing of the path.
    pub(super) fn tells_built(&self) -> bool {
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

    /// Who at most may be asked for it at `now`: [`Self::may_ask`] is true of nobody else.
    #[must_use]
    pub fn candidates(&self, now: Instant) -> PeerSet {
        if !self.wants_asking(now) {
            return PeerSet::EMPTY;
        }
        let preferred = self.want.prefer.filter(|it| !self.refused_by.contains(*it));
        match self.source.or(self.want.only).or(preferred) {
            Some(peer) => PeerSet::of(peer),
            None => PeerSet::ALL,
        }
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
}
