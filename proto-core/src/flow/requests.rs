//! The latest requests to one peer: what was known when each was sent, and how far answers have come.

use super::delivery::Sent;
use crate::time::{Duration, Instant};

/// Requests that are remembered. What is older counts as sent long ago.
const KEPT: usize = 256;
/// Rates are measured over at least this time: shorter spans measure the turns of loops and the bursts of
/// sockets, not the path.
const SPAN: Duration = Duration::from_millis(4);

/// The latest requests, by their place in the order of all. The first one has place 1.
#[derive(Debug)]
pub struct Requests {
    sent: [Sent; KEPT],
    newest: u64,
    newest_answered: u64,
    /// The newest request that was sent a [`SPAN`] ago, or the first one after a pause.
    base: u64,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            sent: [Sent::default(); KEPT],
            newest: 0,
            newest_answered: 0,
            base: 0,
        }
    }
}

impl Requests {
    /// Notes a request; its place.
    pub fn note(&mut self, sent: Sent) -> u64 {
        // No place has 16 last bits of 0: those say "never asked for".
        self.newest += if self.newest as u16 == u16::MAX { 2 } else { 1 };
        if let Some(slot) = self.sent.get_mut(slot(self.newest)) {
            *slot = sent;
        }
        self.newest
    }

    /// What was known when the request of this place was sent, if it is remembered.
    #[must_use]
    pub fn get(&self, order: u64) -> Option<&Sent> {
        (order <= self.newest && order + KEPT as u64 > self.newest)
            .then(|| self.sent.get(slot(order)))?
    }

    /// The next request is the first one after a pause.
    pub fn restart(&mut self) {
        self.base = self.newest + 1;
    }

    /// The request since which the rate is to be measured when this one is answered: itself, or an
    /// earlier one on a short path.
    #[must_use]
    pub fn reference(&mut self, now: Instant, order: u64) -> u64 {
        self.base = self.base.max((self.newest + 1).saturating_sub(KEPT as u64));
        while self
            .get(self.base + 1)
            .is_some_and(|next| now.saturating_since(next.at) >= SPAN)
        {
            self.base += 1;
        }
        order.min(self.base)
    }

    /// Something of this request came; whether it is the first.
    pub fn answered(&mut self, order: u64) -> bool {
        self.newest_answered = self.newest_answered.max(order);
        let remembered = self.get(order).is_some();
        match self.sent.get_mut(slot(order)) {
            Some(sent) if remembered => !core::mem::replace(&mut sent.answered, true),
            _ => false,
        }
    }

    /// Place of the newest request of which something came.
    #[must_use]
    pub fn newest_answered(&self) -> u64 {
        self.newest_answered
    }

    /// The place of which these are the last 16 bits: the newest one.
    #[must_use]
    pub fn whole(&self, low: u16) -> u64 {
        let behind = (self.newest as u16).wrapping_sub(low);
        self.newest.saturating_sub(u64::from(behind))
    }
}

fn slot(order: u64) -> usize {
    usize::try_from(order % KEPT as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Delivery;

    fn note(requests: &mut Requests, micros: u64) -> u64 {
        let sent = Delivery::default().sent(Instant::from_micros(micros));
        requests.note(sent)
    }

    #[test]
    fn places_survive_their_last_16_bits_and_none_ends_in_zeros() {
        let mut requests = Requests::default();
        for number in 0..200_000u64 {
            let order = note(&mut requests, number);
            assert_ne!(order as u16, 0);
            let earlier = order.saturating_sub(200).max(1);
            assert_eq!(requests.whole(order as u16), order);
            if earlier as u16 != 0 {
                assert_eq!(requests.whole(earlier as u16), earlier);
            }
        }
    }

    #[test]
    fn a_request_is_answered_once_and_forgotten_after_some_others() {
        let mut requests = Requests::default();
        let first = note(&mut requests, 1);
        let second = note(&mut requests, 2);
        assert!(requests.answered(second) && !requests.answered(second));
        assert_eq!(requests.newest_answered(), second);
        assert!(requests.answered(first), "later, but also once");
        assert_eq!(requests.newest_answered(), second);
        for _ in 0..KEPT {
            note(&mut requests, 3);
        }
        assert!(requests.get(first).is_none() && !requests.answered(first));
    }

    #[test]
    fn rates_are_measured_over_a_while_and_never_over_a_pause() {
        let mut requests = Requests::default();
        requests.restart();
        for millis in 0..20 {
            note(&mut requests, millis * 1000);
        }
        let now = Instant::from_micros(19_500);
        let reference = requests.reference(now, 20);
        assert_eq!(
            requests.get(reference).map(|sent| sent.at),
            Some(Instant::from_micros(15_000))
        );
        assert_eq!(requests.reference(now, 3), 3, "a long path measures itself");
        requests.restart();
        let after = note(&mut requests, 500_000);
        assert_eq!(
            requests.reference(Instant::from_micros(500_100), after),
            after
        );
    }
}
