//! When what was asked for of a piece counts as lost (docs/protocol.md, "Flow").

use super::{BUILDING, Piece};
use crate::boundary::PeerSlot;
use crate::flow::{Flow, whole_micros};
use crate::time::{Duration, Instant};
use crate::wire::ObjectId;

/// A piece of which nothing came although answers to later requests did, this often in a row, is waited
/// for by time.
const PASSED_OVER: u32 = 3;

/// Timeouts in a row, without any answer, after which what was measured of the path holds no more
/// (persistent congestion, RFC 9002 section 7.6). One alone is the loss of a request or of the last BLOCK.
const STALLED: u32 = 2;

/// Timeouts in a row, whoever was asked, after which the one that is asked now is given up: 18 to 24 s without a single segment.
const HOPELESS: u8 = 12;

impl Piece {
    /// Gives up what is lost: segments by order (answers to later requests came), everything by time;
    /// whether nothing came for several timeouts in a row.
    pub fn find_lost(&mut self, now: Instant, flow: &mut Flow) -> bool {
        if self.outstanding == 0 {
            return false;
        }
        if now.saturating_since(self.last_stir) >= self.timeout(flow) {
            if self.is_building() {
                // Asked for again in case that the REQUEST was lost; it says nothing of the source.
                self.give_up(flow);
                return false;
            }
            self.note_timeout();
            self.give_up(flow);
            return self.timeouts >= STALLED;
        }
        if self.waits_by_order() && self.is_overtaken(flow, self.oldest) {
            self.give_up_overtaken(now, flow);
            if self.outstanding == 0 {
                self.passed_over += 1;
                if !self.waits_by_order() {
                    // Not chance any more: this source has all but this piece.
                    self.note_timeout();
                }
            }
        }
        false
    }

    fn note_timeout(&mut self) {
        self.timeouts += 1;
        self.unheard = self.unheard.saturating_add(1);
    }

    /// Whether its sources were asked so often in vain that the present one is not to be waited for any longer. A journal is
    /// nobody else's, and takes no place from others.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.unheard >= HOPELESS && !matches!(self.want.object, ObjectId::Journal(_))
    }

    /// Its source sends nothing of it: that is as good as a refusal.
    pub fn give_up_source(&mut self, now: Instant, flow: &mut Flow, source: PeerSlot) {
        self.refused(now, flow, source, false);
        self.silent.insert(source);
        self.timeouts = 0;
        self.unheard = 0;
    }

    /// What answers to later requests overtook again and again is not found by asking faster.
    fn waits_by_order(&self) -> bool {
        !self.is_building() && self.timeouts == 0 && self.passed_over < PASSED_OVER
    }

    fn give_up_overtaken(&mut self, now: Instant, flow: &mut Flow) {
        let mut oldest = u64::MAX;
        let mut given_up = 0;
        for place in 0..self.segments() {
            if !self.asked.get(place) || self.here.get(place) {
                continue;
            }
            let order = self.order_of(flow, place);
            if self.is_overtaken(flow, order) && now >= patience_ends(flow, order) {
                self.asked.clear(place);
                given_up += self.segment_len(place);
            } else {
                oldest = oldest.min(order);
            }
        }
        self.oldest = oldest.min(self.order);
        self.outstanding = self.outstanding.saturating_sub(given_up);
        flow.lost(given_up);
    }

    /// One segment that is outstanding is to be asked for again, to see whether answers still come (tail
    /// loss probe, RFC 8985 section 7).
    pub fn probe(&mut self, flow: &mut Flow) {
        let outstanding = |place: &usize| self.asked.get(*place) && !self.here.get(*place);
        if let Some(place) = (0..self.segments()).find(outstanding) {
            let bytes = self.segment_len(place);
            self.asked.clear(place);
            self.outstanding = self.outstanding.saturating_sub(bytes);
            flow.given_up(bytes);
        }
    }

    /// Once a pause is over there is nothing more to wake for.
    pub fn end_pause(&mut self, now: Instant) {
        if self.not_before <= now {
            self.not_before = Instant::ZERO;
        }
    }

    fn is_overtaken(&self, flow: &Flow, order: u64) -> bool {
        flow.requests.newest_answered() > order
    }

    /// When what is outstanding counts as lost, if nothing more comes, or is looked at again.
    #[must_use]
    pub fn deadline(&self, flow: &Flow) -> Option<Instant> {
        let by_time = self.last_stir + self.timeout(flow);
        let by_order = (self.waits_by_order() && self.is_overtaken(flow, self.oldest))
            .then(|| patience_ends(flow, self.oldest));
        let built = self.waits_since.filter(|_| self.is_building());
        let by_time = built.map_or(by_time, |since| by_time.min(since + BUILDING));
        (self.outstanding > 0).then(|| by_order.map_or(by_time, |by_order| by_order.min(by_time)))
    }

    fn timeout(&self, flow: &Flow) -> Duration {
        // RFC 6298 section 5.5: back off by doubling.
        (flow.retransmission_timeout() * (1 << self.timeouts.min(5))).min(Duration::from_secs(2))
    }

    /// The same, at once, as if nothing had been waited for in vain.
    pub fn ask_anew(&mut self, flow: &mut Flow) {
        self.give_up(flow);
        self.timeouts = 0;
        self.passed_over = 0;
    }

    /// Everything outstanding is to be asked for again.
    pub fn give_up(&mut self, flow: &mut Flow) {
        flow.given_up(self.outstanding);
        self.outstanding = 0;
        self.asked = self.here.clone();
    }
}

/// When an answer to this request is late, if answers to later ones have come: a round trip and the reordering window
/// after it.
fn patience_ends(flow: &Flow, order: u64) -> Instant {
    let smoothed = flow.rtt.smoothed().unwrap_or_default();
    let sent = flow
        .requests
        .get(order)
        .map_or(Instant::ZERO, |sent| sent.at);
    sent + whole_micros(smoothed + flow.reordering.window(smoothed))
}
