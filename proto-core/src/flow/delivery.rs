//! Delivery rate: bytes that came between a request and its answer, over the time that took
//! (draft-cheng-iccrg-delivery-rate-estimation, seen from the receiver); the maximum of the last rounds.

use crate::time::{Duration, Instant};

/// Rounds over which the maximum is kept (BBR: ten).
const ROUNDS: usize = 10;
/// None of them is shorter for that: all of BBR's cycle of eight phases of at least 5 ms must be in them, or the rate sinks
/// between two probes.
const SHORTEST_ROUND: Duration = Duration::from_millis(6);
/// Shorter spans measure the batching of sockets, not the path.
const SHORTEST_SPAN: Duration = Duration::from_micros(200);

/// State of the flow at the moment of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// When it was sent.
    pub at: Instant,
    delivered: u64,
    delivered_at: Instant,
    /// When the newest request was sent that had been answered then.
    answered_sent_at: Instant,
    /// Whether there was less to ask for than the path could carry.
    limited: bool,
    /// Whether anything of it has come.
    pub answered: bool,
}

/// Delivery-rate estimator of one flow.
#[derive(Debug, Default)]
pub struct Delivery {
    delivered: u64,
    delivered_at: Instant,
    answered_sent_at: Instant,
    /// A round ends when something that was asked for after this much had been delivered arrives.
    round_ends: u64,
    rates: [u64; ROUNDS],
    round: usize,
    /// When the round of the newest rate began.
    round_began: Instant,
    /// What is asked for before this much was delivered does not fill the path.
    limited_until: u64,
}

impl Delivery {
    /// Takes note of a request.
    #[must_use]
    pub fn sent(&mut self, now: Instant) -> Sent {
        Sent {
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            answered_sent_at: self.answered_sent_at,
            limited: self.delivered < self.limited_until,
            answered: false,
        }
    }

    /// There is no more to ask for while so many bytes are outstanding.
    pub fn limit(&mut self, outstanding: usize) {
        self.limited_until = self
            .delivered
            .saturating_add(outstanding as u64)
            .saturating_add(1);
    }

    /// The flow was idle: measuring begins anew at `now`.
    pub fn restart(&mut self, now: Instant) {
        self.delivered_at = now;
        self.answered_sent_at = now;
    }

    /// Takes note of bytes that answer a request of which the moment is not known.
    pub fn count(&mut self, now: Instant, bytes: usize) {
        self.delivered = self.delivered.saturating_add(bytes as u64);
        self.delivered_at = now;
    }

    /// Takes note of bytes that answer a request; whether a round has ended.
    /// `reference` is the request since which the rate is measured, `sent` the one that is answered.
    pub fn arrived(&mut self, now: Instant, reference: &Sent, sent: &Sent, bytes: usize) -> bool {
        self.count(now, bytes);
        self.answered_sent_at = self.answered_sent_at.max(sent.at);
        // What waited in our socket comes at once: it was not delivered faster than it was asked for.
        let span = now
            .saturating_since(reference.delivered_at.min(reference.at))
            .max(sent.at.saturating_since(reference.answered_sent_at))
            .max(SHORTEST_SPAN);
        let span_micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let rate = (self.delivered - reference.delivered.min(self.delivered))
            .saturating_mul(1_000_000)
            / span_micros.max(1);
        // Too little to do is no reason to believe in a slower path.
        if (sent.limited || reference.limited) && self.rate().is_some_and(|known| rate <= known) {
            return false;
        }
        let round_ended = reference.delivered >= self.round_ends;
        if round_ended {
            self.round_ends = self.delivered;
        }
        if round_ended && now.saturating_since(self.round_began) >= SHORTEST_ROUND {
            self.round_began = now;
            self.round = (self.round + 1) % ROUNDS;
            if let Some(slot) = self.rates.get_mut(self.round) {
                *slot = 0;
            }
        }
        if let Some(slot) = self.rates.get_mut(self.round) {
            *slot = (*slot).max(rate);
        }
        round_ended
    }

    /// Bytes that came so far.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Greatest rate of the last rounds in bytes per second.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        self.rates.iter().copied().max().filter(|rate| *rate > 0)
    }

    /// Forgets all rates.
    pub fn forget(&mut self) {
        self.rates = [0; ROUNDS];
    }
}
