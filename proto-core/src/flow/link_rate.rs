//! What a path carries, for the server that chooses encodings (docs/protocol.md, "Encodings"). A server that encodes
//! too slowly for the path is measured itself, and must not take that for a slow path: so what was measured
//! before is believed for a while.

use crate::time::{Duration, Instant};

/// What comes in so long is measured: a shaper passes a burst on at any rate, which says nothing.
const WINDOW: Duration = Duration::from_millis(50);
/// Of what is too much an eighth is forgotten in a second: half of it in five.
const FORGOTTEN: u64 = 8_000_000;

/// The rate of one path.
#[derive(Debug, Default)]
pub struct LinkRate {
    /// 0 before the first window is over.
    rate: u64,
    /// When the window began, and what had come until then.
    from: Instant,
    before: u64,
}

impl LinkRate {
    /// A window begins: nothing was outstanding, and what did not come in that time says nothing of the path.
    pub fn begin(&mut self, now: Instant, delivered: u64) {
        (self.from, self.before) = (now.max(Instant::from_micros(1)), delivered);
    }

    /// `delivered` bytes have come until now: bytes per second that are to be believed, `None` before the first window is
    /// over.
    pub fn update(&mut self, now: Instant, delivered: u64) -> Option<u64> {
        let time = now.saturating_since(self.from);
        if self.from == Instant::ZERO || time >= WINDOW {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            let came = delivered.saturating_sub(self.before);
            if self.from > Instant::ZERO {
                self.measured(came.saturating_mul(1_000_000) / micros.max(1), micros);
            }
            self.begin(now, delivered);
        }
        (self.rate > 0).then_some(self.rate)
    }

    /// So many bytes per second came for so many microseconds.
    fn measured(&mut self, rate: u64, micros: u64) {
        let above = self.rate.saturating_sub(rate);
        let forgotten = u128::from(above) * u128::from(micros) / u128::from(FORGOTTEN);
        let forgotten = u64::try_from(forgotten).unwrap_or(u64::MAX).min(above);
        self.rate = rate.max(self.rate - forgotten).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1 + ms * 1000)
    }

    #[test]
    fn more_is_believed_at_once_and_less_after_some_seconds() {
        let (mut link, mut delivered) = (LinkRate::default(), 0);
        let mut come = |ms: u64, per_ms: u64| {
            delivered += 10 * per_ms;
            link.update(at(ms), delivered)
        };
        for ms in (0..50).step_by(10) {
            assert_eq!(come(ms, 10), None);
        }
        assert_eq!(come(50, 10), Some(10_000));
        for ms in (60..=100).step_by(10) {
            come(ms, 80);
        }
        assert_eq!(come(110, 10), Some(80_000));
        let mut half = 0;
        for ms in (120..8000).step_by(10) {
            if come(ms, 10) > Some(45_000) {
                half = ms;
            }
        }
        assert!((3000..6500).contains(&half), "{half}");
        for ms in (8000..200_000).step_by(10) {
            come(ms, 10);
        }
        let rest = come(200_000, 10);
        assert!(rest < Some(10_200), "{rest:?}");
    }

    #[test]
    fn a_pause_is_no_slow_path() {
        let mut link = LinkRate::default();
        for ms in 0..=100 {
            link.update(at(ms), ms * 100_000);
        }
        let rate = link.update(at(100), 10_000_000);
        assert_eq!(rate, Some(100_000_000));
        link.begin(at(60_000), 10_000_000);
        assert_eq!(link.update(at(60_000), 10_000_000), rate);
    }

    #[test]
    fn a_burst_at_the_begin_says_little() {
        let mut link = LinkRate::default();
        link.update(at(0), 0);
        for ms in 1..50 {
            assert_eq!(link.update(at(ms), 128 * 1024 + ms * 12_000), None);
        }
        let rate = link.update(at(50), 128 * 1024 + 50 * 12_000).unwrap();
        assert!(rate < 15_000_000, "{rate}");
    }
}
