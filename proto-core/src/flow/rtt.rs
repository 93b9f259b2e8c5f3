//! Round-trip times of one peer: smoothed and variance as in RFC 6298, and a windowed minimum.

use crate::time::{Duration, Instant};

/// How long a minimum is believed before a later sample replaces it (BBRv2: five seconds). Flows that share a queue find
/// their shares when it is emptied for this.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(5);
/// Down to half as long, but so many round trips, where they usually take a quarter of the minimum and this more: a queue
/// stands, so that others may be there who do not know their minimum yet.
const LONGER: Duration = Duration::from_micros(2500);
const ROUNDS: u32 = 16;
/// Before the first sample (RFC 6298 section 2.1 says 1 s; answers here come from a loop that serves at once).
const INITIAL_RTO: Duration = Duration::from_millis(300);
/// Least that is waited beyond a round trip. A turn of the serving peer's loop may take a while when it
/// flushes; asking twice is worse than waiting.
const MARGIN: Duration = Duration::from_millis(120);
/// Longer silence is the session's business.
const MAX_RTO: Duration = Duration::from_secs(2);

/// Round-trip estimator.
#[derive(Debug, Default)]
pub struct Rtt {
    smoothed: Option<Duration>,
    variance: Duration,
    min: Option<(Duration, Instant)>,
}

impl Rtt {
    /// Takes one measured round trip; whether the minimum was out of date.
    pub fn sample(&mut self, now: Instant, rtt: Duration) -> bool {
        match self.smoothed {
            None => {
                self.smoothed = Some(rtt);
                self.variance = rtt / 2;
            }
            Some(smoothed) => {
                // RFC 6298 section 2.3: alpha 1/8, beta 1/4.
                let difference = smoothed.abs_diff(rtt);
                self.variance = (self.variance * 3 + difference) / 4;
                self.smoothed = Some((smoothed * 7 + rtt) / 8);
            }
        }
        self.sample_min(now, rtt)
    }

    /// Takes a round trip without load (a heartbeat's echo), for the minimum only; whether that was out
    /// of date.
    pub fn sample_min(&mut self, now: Instant, rtt: Duration) -> bool {
        match self.min {
            // As good as the minimum confirms it.
            Some((min, _)) if rtt >= min && rtt <= min + min / 16 => self.min = Some((min, now)),
            Some((min, at)) if rtt >= min => {
                let stands = self
                    .smoothed
                    .filter(|usual| *usual > min + min / 4 + LONGER);
                let window = stands.map_or(MIN_RTT_WINDOW, |usual| {
                    (usual * ROUNDS).clamp(MIN_RTT_WINDOW / 2, MIN_RTT_WINDOW)
                });
                if now.saturating_since(at) >= window {
                    self.min = Some((rtt, now));
                    return true;
                }
            }
            _ => self.min = Some((rtt, now)),
        }
        false
    }

    /// The least round trip of the last seconds.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        self.min.map(|(min, _)| min)
    }

    /// The smoothed round trip.
    #[must_use]
    pub fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// RFC 6298 section 2.3: SRTT + 4 RTTVAR, within bounds; a path without jitter has no variance.
    #[must_use]
    pub fn retransmission_timeout(&self) -> Duration {
        match self.smoothed {
            None => INITIAL_RTO,
            Some(smoothed) => whole_micros(smoothed + (self.variance * 4).max(MARGIN)).min(MAX_RTO),
        }
    }
}

/// Rounded up to what an [`Instant`] holds: a deadline must not lie before the time that it stands for.
pub(crate) fn whole_micros(duration: Duration) -> Duration {
    let micros = duration.as_nanos().div_ceil(1000);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_forgotten_after_its_window() {
        let mut rtt = Rtt::default();
        rtt.sample(Instant::from_micros(0), Duration::from_millis(1));
        rtt.sample(Instant::from_micros(1_000_000), Duration::from_millis(5));
        assert_eq!(rtt.min(), Some(Duration::from_millis(1)));
        rtt.sample(Instant::from_micros(11_000_000), Duration::from_millis(5));
        assert_eq!(rtt.min(), Some(Duration::from_millis(5)));
    }

    #[test]
    fn the_timeout_follows_the_samples_within_its_bounds() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.retransmission_timeout(), INITIAL_RTO);
        for turn in 0..100 {
            rtt.sample(Instant::from_micros(turn), Duration::from_micros(100));
        }
        let least = Duration::from_micros(100) + MARGIN;
        assert_eq!(rtt.retransmission_timeout(), least);
        for turn in 0..100 {
            rtt.sample(Instant::from_micros(turn), Duration::from_secs(9));
        }
        assert_eq!(rtt.retransmission_timeout(), MAX_RTO);
    }
}
