//! What a puller knows of the network between it and one peer, and how much it may have
//! outstanding there (docs/protocol.md, "Flow"). BBR's model, driven from the receiver: delivery rate and
//! minimum round trip are measured; a queue that stands is a signal, loss is none.

mod delivery;
mod limit;
mod link_rate;
mod model;
mod pacer;
mod queue;
mod reordering;
mod requests;
mod rtt;

pub use delivery::{Delivery, Sent};
pub use limit::Limit;
use link_rate::LinkRate;
use model::Model;
use pacer::Pacer;
pub use reordering::Reordering;
use requests::Requests;
pub use rtt::Rtt;
pub(crate) use rtt::whole_micros;

use crate::time::{Duration, Instant};

/// Waited beyond two round trips before a probe: a turn of the serving peer's loop.
const PROBE_MARGIN: Duration = Duration::from_millis(10);

/// What was measured so long ago says nothing of now.
const IDLE: Duration = Duration::from_secs(1);
/// Turns of two busy loops.
const TURNS: Duration = Duration::from_millis(50);
/// A round that lost less than this part of what came may be chance, not a short queue.
const TOLERATED_LOSS: u64 = 64;
/// How long the pace holds after more was lost.
const STRICT: Duration = Duration::from_secs(1);

/// Whether the path is asked for a sign of life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Probe {
    #[default]
    Idle,
    /// One segment may be asked for beyond the window.
    Due,
    /// It was; no other one before something came.
    Sent,
}

/// What may be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// This many bytes, now.
    Bytes(usize),
    /// Nothing before this moment.
    At(Instant),
    /// Nothing before something has arrived or was given up.
    Full,
}

/// One peer's flow: everything that a REQUEST to it is sized by.
#[derive(Debug, Default)]
pub struct Flow {
    /// Round trips.
    pub rtt: Rtt,
    /// Delivery rate.
    pub delivery: Delivery,
    model: Model,
    pacer: Pacer,
    /// What was asked for lately.
    pub requests: Requests,
    /// How much later than others a datagram may come.
    pub reordering: Reordering,
    /// Bytes asked for and neither here nor given up.
    outstanding: usize,
    /// When something was last asked for or came.
    stirred_at: Instant,
    probe: Probe,
    /// Bytes lost since the last round ended, and delivered before it.
    lost: u64,
    delivered_before: u64,
    /// Bytes that came marked since the last round ended.
    marked: u64,
    /// Datagrams that came marked.
    marks: u64,
    /// Until then the pace holds, however little is outstanding.
    strict_until: Instant,
    link: LinkRate,
}

impl Flow {
    /// Bytes that may be outstanding.
    #[must_use]
    pub fn window(&self) -> usize {
        self.model.window(self.min_rtt())
    }

    /// Bytes outstanding beyond what the path itself holds: they may all wait in our receive buffer.
    #[must_use]
    pub fn queued(&self) -> usize {
        let held = self.model.in_flight(self.min_rtt());
        self.outstanding.saturating_sub(held)
    }

    /// Bytes per second that lately came; 0 if nothing did for a while.
    #[must_use]
    pub fn rate(&self, now: Instant) -> u64 {
        let rate = self.delivery.rate().unwrap_or_default();
        if now.saturating_since(self.stirred_at) < IDLE {
            rate
        } else {
            0
        }
    }

    /// Bytes of segments of this size that may be asked for now, with `budget` bytes left of what may wait
    /// in the receive buffer that the kernel granted. `paced`: the path sets the pace, not a [`Limit`].
    #[must_use]
    pub fn room(&self, now: Instant, segment: usize, budget: usize, paced: bool) -> Room {
        let held = self.model.in_flight(self.min_rtt());
        let budget = budget.saturating_add(held.saturating_sub(self.outstanding));
        let window = self.window().saturating_sub(self.outstanding).min(budget);
        if self.probe == Probe::Due {
            return Room::Bytes(segment);
        }
        let pace = self.model.pace();
        let quantum = Pacer::quantum(pace.unwrap_or_default(), self.min_rtt(), segment);
        if self.outstanding > 0 && window < quantum.min(self.window() / 4) {
            return Room::Full;
        }
        let Some(pace) = pace.filter(|_| paced) else {
            return Room::Bytes(window);
        };
        match self.pacer.credit(now, pace, quantum) {
            0 if now >= self.strict_until
                && self.outstanding < self.model.reserve(self.min_rtt()) =>
            {
                Room::Bytes(window.min(quantum))
            }
            0 => Room::At(self.pacer.ready_at()),
            credit => Room::Bytes(window.min(credit)),
        }
    }

    /// Bytes outstanding.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// `bytes` were asked for; the place of the request in the order of all.
    pub fn asked(&mut self, now: Instant, bytes: usize) -> u64 {
        if self.outstanding == 0 {
            // An idle flow must not count the pause as time in which little was delivered.
            self.delivery.restart(now);
            self.requests.restart();
            // A queue of then is gone.
            if now.saturating_since(self.stirred_at) >= IDLE {
                self.model.reopen();
            }
        }
        self.outstanding = self.outstanding.saturating_add(bytes);
        self.stirred_at = now;
        if self.probe == Probe::Due {
            self.probe = Probe::Sent;
        }
        if let Some(pace) = self.model.pace() {
            self.pacer.asked(now, pace, bytes);
        }
        let sent = self.delivery.sent(now);
        self.requests.note(sent)
    }

    /// `bytes` arrived, `outstanding` of them not given up before, that answer the request of this place
    /// (`None`: it is not known which). `once`: they were asked for only once.
    pub fn arrived(
        &mut self,
        now: Instant,
        order: Option<u64>,
        bytes: usize,
        outstanding: usize,
        once: bool,
    ) {
        self.outstanding = self.outstanding.saturating_sub(outstanding);
        self.stirred_at = now;
        self.probe = Probe::Idle;
        let first = order.is_some_and(|order| self.requests.answered(order));
        let sent = order.and_then(|order| self.requests.get(order)).copied();
        let Some(sent) = sent else {
            self.delivery.count(now, bytes);
            return;
        };
        // Karn's algorithm: no round trip is measured where the answer may be to an earlier request.
        let took = now.saturating_since(sent.at);
        let before = self.min_rtt();
        let stale = (first && once && self.rtt.sample(now, took)).then_some(before);
        if first && once {
            self.model.took(took);
        }
        let reference = order.map(|order| self.requests.reference(now, order));
        let reference = reference
            .and_then(|order| self.requests.get(order))
            .copied()
            .unwrap_or(sent);
        let round_ended = self.delivery.arrived(now, &reference, &sent, bytes);
        if round_ended {
            self.end_round(now);
        }
        if let Some(rate) = self.delivery.rate() {
            let (outstanding, min_rtt) = (self.outstanding, self.min_rtt());
            self.model
                .update(now, rate, round_ended, outstanding, min_rtt, stale);
        }
    }

    /// A heartbeat's echo took so long. While more is under way it can lower and confirm the least round trip, but not
    /// replace it: that would take the queue for a part of the path.
    pub fn echoed(&mut self, now: Instant, took: Duration) {
        let least = self.min_rtt();
        if self.outstanding == 0 || took <= least + least / 16 {
            self.rtt.sample_min(now, took);
        }
    }

    fn end_round(&mut self, now: Instant) {
        let delivered = self.delivery.delivered();
        let came = delivered - self.delivered_before.min(delivered);
        let full = self.lost > came / TOLERATED_LOSS;
        if full {
            self.strict_until = now + STRICT;
        }
        let (outstanding, min_rtt) = (self.outstanding, self.min_rtt());
        self.model
            .heed(now, self.marked, came, outstanding, min_rtt, full);
        self.reordering.end_round();
        self.lost = 0;
        self.marked = 0;
        self.delivered_before = delivered;
    }

    /// `bytes` are about to arrive in a datagram that says that a queue on its way is long.
    pub fn marked(&mut self, bytes: usize) {
        self.marked = self.marked.saturating_add(bytes as u64);
        self.marks = self.marks.saturating_add(1);
    }

    /// Datagrams that came so marked.
    #[must_use]
    pub fn marks(&self) -> u64 {
        self.marks
    }

    /// The peer began anew: nothing is known of its path. What was counted for the user stays.
    pub fn forget(&mut self) {
        *self = Self {
            marks: self.marks,
            reordering: self.reordering.forgotten(),
            ..Self::default()
        };
    }

    /// `bytes` were overtaken by what was asked for later, and are given up.
    pub fn lost(&mut self, bytes: usize) {
        self.lost = self.lost.saturating_add(bytes as u64);
        self.given_up(bytes);
    }

    /// `bytes` are given up: lost by time, refused, or no longer wanted.
    pub fn given_up(&mut self, bytes: usize) {
        self.outstanding = self.outstanding.saturating_sub(bytes);
    }

    /// `bytes` that are given up were never to come: the pace did not need to wait for them.
    pub fn refund(&mut self, bytes: usize) {
        if let Some(pace) = self.model.pace() {
            self.pacer.refund(pace, bytes);
        }
    }

    /// Bytes per second that the path carries; `None` while that is being found out.
    pub fn link_rate(&mut self, now: Instant) -> Option<u64> {
        let delivered = self.delivery.delivered();
        if self.outstanding == 0 {
            self.link.begin(now, delivered);
        }
        self.link.update(now, delivered)
    }

    /// Nothing at all came back within the retransmission timeout: what was measured holds no more.
    pub fn stalled(&mut self) {
        self.delivery.forget();
        self.model = Model::default();
        self.link = LinkRate::default();
        self.pacer = Pacer::default();
    }

    /// When one segment should be asked for again because nothing comes any more.
    #[must_use]
    pub fn probe_at(&self) -> Option<Instant> {
        let smoothed = self.rtt.smoothed()?;
        (self.outstanding > 0 && self.probe == Probe::Idle)
            .then(|| self.stirred_at + whole_micros(smoothed * 2 + PROBE_MARGIN))
    }

    /// One segment will be asked for again.
    pub fn probe(&mut self) {
        self.probe = Probe::Due;
    }

    /// There was room, but nothing more to ask for: what is measured now is not the path.
    pub fn idle(&mut self) {
        self.delivery.limit(self.outstanding);
    }

    fn min_rtt(&self) -> Duration {
        self.rtt.min().unwrap_or_default()
    }

    /// How long the answer to a single datagram may take, where asking once more costs little.
    #[must_use]
    pub fn answer_timeout(&self) -> Duration {
        let smoothed = self.rtt.smoothed();
        smoothed.map_or_else(
            || self.rtt.retransmission_timeout(),
            |smoothed| smoothed * 2 + TURNS,
        )
    }

    /// How long to wait for an answer before asking again.
    #[must_use]
    pub fn retransmission_timeout(&self) -> Duration {
        self.rtt.retransmission_timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_what_a_queue_made_of_the_window() {
        let (mut flow, mut now) = (Flow::default(), Instant::from_micros(1));
        let mut ask = |pause, took| {
            now += Duration::from_millis(pause);
            let order = flow.asked(now, 12_000);
            now += Duration::from_millis(took);
            let window = flow.window();
            flow.arrived(now, Some(order), 12_000, 12_000, true);
            window
        };
        let usual = (0..10).map(|_| ask(0, 50)).last();
        let queued = (0..10).map(|_| ask(0, 100)).last();
        assert!(queued < usual);
        assert!(Some(ask(900, 100)) < usual);
        assert_eq!(Some(ask(1000, 100)), usual);
    }
}
