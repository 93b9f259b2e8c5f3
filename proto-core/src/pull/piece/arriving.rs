//! What an arriving segment means for its piece.

use super::Piece;
use crate::flow::Flow;
use crate::storage::segment_bitmap::SegmentBitmap;
use crate::time::Instant;
use crate::wire::encoding::Encoding;

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

    pub(super) fn order_of(&self, flow: &Flow, place: usize) -> u64 {
        let low = self.orders.get(place).copied().unwrap_or_default();
        flow.requests.whole(low)
    }

    /// The length of a recipe block, a journal page, a part of a bundle or an encoded piece became known, or changed because the
    /// journal went on or the encoding is another; in that case it begins anew.
    pub(super) fn take_length(&mut self, flow: &mut Flow, length: usize) {
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
}
