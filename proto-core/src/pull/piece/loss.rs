//! When what was asked for of a piece counts as lost (docs/protocol.md, "Flow").

use super::Piece;
use crate::flow::{Flow, whole_micros};
use crate::time::{Duration, Instant};

/// A request counts as lost when answers to this many later requests have come (RFC 5681's three
/// duplicate acknowledgements, per request item).
const REORDERING: u64 = 3;

/// ... and this much time, with half a round trip, went by without an answer: two cores of one
/// machine deliver their datagrams in different order (RFC 8985 section 6.2, reordering window).
const REORDERING_TIME: Duration = Duration::from_millis(5);

/// Timeouts in a row, without any answer, after which what was measured of the path holds no more
/// (persistent congestion, RFC 9002 section 7.6). One alone is the loss of a request or of the last BLOCK.
const STALLED: u32 = 2;

impl Piece {
    /// Gives up what is lost by order (answers to later requests came) or by time; whether nothing
    /// came for several timeouts in a row. `newest` is the order of the newest request that was answered by the source.
    pub fn find_lost(&mut self, now: Instant, flow: &mut Flow, newest: u64) -> bool {
        if self.outstanding == 0 {
            return false;
        }
        let quiet = now.saturating_since(self.last_arrival);
        let overtaken = self.is_overtaken(newest) && quiet >= reordering_time(flow);
        let timed_out = quiet >= self.timeout(flow);
        if overtaken || timed_out {
            if timed_out {
                self.timeouts += 1;
            }
            self.give_up(flow);
        }
        timed_out && self.timeouts >= STALLED
    }

    /// Once a pause is over there is nothing more to wake for.
    pub fn end_pause(&mut self, now: Instant) {
        if self.not_before <= now {
            self.not_before = Instant::ZERO;
        }
    }

    fn is_overtaken(&self, newest: u64) -> bool {
        newest >= self.order + REORDERING
    }

    /// When what is outstanding counts as lost, if nothing more comes; `newest` as for [`Self::find_lost`].
    #[must_use]
    pub fn deadline(&self, flow: &Flow, newest: u64) -> Option<Instant> {
        let patience = if self.is_overtaken(newest) {
            reordering_time(flow).min(self.timeout(flow))
        } else {
            self.timeout(flow)
        };
        (self.outstanding > 0).then(|| self.last_arrival + patience)
    }

    fn timeout(&self, flow: &Flow) -> Duration {
        // RFC 6298 section 5.5: back off by doubling.
        (flow.retransmission_timeout() * (1 << self.timeouts.min(5))).min(Duration::from_secs(2))
    }

    /// Everything outstanding is to be asked for again.
    pub fn give_up(&mut self, flow: &mut Flow) {
        flow.given_up(self.outstanding);
        self.outstanding = 0;
        self.asked = self.here.clone();
    }
}

/// How long an answer may be late behind answers to later requests.
fn reordering_time(flow: &Flow) -> Duration {
    whole_micros(flow.rtt.smoothed().unwrap_or_default() / 2 + REORDERING_TIME)
}
