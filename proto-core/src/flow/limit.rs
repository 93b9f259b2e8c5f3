//! A limit that the user set: so many bytes of UDP payload in a second, to all peers together or from
//! all of them (docs/protocol.md, "Flow", "Limits").

use crate::time::{Duration, Instant};

/// At once go the bytes of this time, so that bursts stay short.
const QUANTUM: Duration = Duration::from_millis(2);
/// What was not used is made up for up to this much: poll(2) counts in milliseconds, and a turn of the loop
/// takes its time.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Keeps a rate.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Bytes in a second, at least 1.
    rate: u64,
    /// All that was spent is paid for by then.
    paid_at: Instant,
    /// What is left of a microsecond, in `rate` parts of it.
    rest: u64,
}

impl Limit {
    /// A limit of so many bytes in a second (at least 1).
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            paid_at: Instant::ZERO,
            rest: 0,
        }
    }

    /// Bytes that may go now: none before [`Self::ready_at`], then at least one; the last datagram may
    /// be longer than what is left.
    #[must_use]
    pub fn room(&self, now: Instant) -> usize {
        if now < self.paid_at {
            return 0;
        }
        let time = QUANTUM + now.saturating_since(self.paid_at).min(CATCH_UP);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bytes = self.rate.saturating_mul(micros) / 1_000_000;
        usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
    }

    /// Whether it is narrower than paths that carry `rate` bytes in a second together, or a quarter more: what they are
    /// probed with.
    #[must_use]
    pub fn binds(&self, rate: u64) -> bool {
        self.rate <= rate.saturating_add(rate / 4)
    }

    /// When there is room again.
    #[must_use]
    pub fn ready_at(&self) -> Instant {
        self.paid_at
    }

    /// So many bytes have gone or will come.
    pub fn spend(&mut self, now: Instant, bytes: usize) {
        let earliest = now.saturating_before(CATCH_UP);
        let owed = (bytes as u64)
            .saturating_mul(1_000_000)
            .saturating_add(self.rest);
        self.rest = owed % self.rate;
        self.paid_at = self.paid_at.max(earliest) + Duration::from_micros(owed / self.rate);
    }

    /// So many bytes that were spent will not come.
    pub fn refund(&mut self, bytes: usize) {
        let micros = (bytes as u64).saturating_mul(1_000_000) / self.rate;
        self.paid_at = self
            .paid_at
            .saturating_before(Duration::from_micros(micros));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whoever takes all the room there is, as late as a loop may be, gets the rate.
        #[test]
        fn the_rate_is_kept(
            rate in 10_000_u64..1_000_000_000,
            datagram in 100_usize..1_500,
            late in prop::collection::vec(0_u64..15_000, 1..50),
        ) {
            let mut limit = Limit::new(rate);
            let begin = Instant::from_micros(1_000_000);
            let mut now = begin;
            limit.spend(now, 0);
            let mut spent = 0_u64;
            let second = Duration::from_secs(2);
            for late in late.iter().cycle() {
                now = now.max(limit.ready_at()) + Duration::from_micros(*late);
                if now >= begin + second {
                    break;
                }
                let mut room = limit.room(now);
                while room > 0 {
                    limit.spend(now, datagram);
                    spent += datagram as u64;
                    room = room.saturating_sub(datagram);
                }
                prop_assert!(limit.ready_at() > now.saturating_before(CATCH_UP));
            }
            let spare = rate * 40 / 1000 + datagram as u64;
            prop_assert!(spent <= 2 * rate + spare, "{spent} of {}", 2 * rate);
            prop_assert!(spent + spare >= 2 * rate, "{spent} of {}", 2 * rate);
        }
    }

    #[test]
    fn a_long_pause_is_not_made_up_for() {
        let mut limit = Limit::new(1_000_000);
        let now = Instant::from_micros(60_000_000);
        assert_eq!(limit.room(now), 22_000);
        limit.spend(now, 22_000);
        assert_eq!(limit.room(now), 0);
        assert_eq!(limit.ready_at(), now + Duration::from_millis(2));
    }
}
