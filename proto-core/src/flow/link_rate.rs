//! What a path carries, for the server that chooses encodings (docs/protocol.md, "Encodings"). A server that encodes
//! too slowly for the path is measured itself, and must not take that for a slow path: so what was measured
//! before is believed for a while.

use crate::time::{Duration, Instant};

/// Each time that this has gone by ...
const STEP: Duration = Duration::from_secs(1);
/// ... an eighth of what is too much is forgotten: half of it in five seconds.
const FORGOTTEN: u64 = 8;

/// The rate of one path.
#[derive(Debug, Default)]
pub struct LinkRate {
    rate: u64,
    stepped_at: Instant,
}

impl LinkRate {
    /// Takes what was measured now, in bytes per second; gives what is to be believed.
    pub fn update(&mut self, now: Instant, measured: u64) -> u64 {
        let steps = now.saturating_since(self.stepped_at).as_micros() / STEP.as_micros();
        if steps > 0 {
            self.stepped_at = now;
            for _ in 0..steps.min(256) {
                let above = self.rate.saturating_sub(measured);
                self.rate -= above.div_ceil(FORGOTTEN).min(self.rate);
            }
        }
        self.rate = self.rate.max(measured);
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_believed_at_once_and_less_after_some_seconds() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut link = LinkRate::default();
        assert_eq!(link.update(at(1000), 10_000), 10_000);
        assert_eq!(link.update(at(1001), 80_000), 80_000);
        assert_eq!(link.update(at(1900), 10_000), 80_000);
        let mut half = 0;
        for ms in (2000..8000).step_by(10) {
            if link.update(at(ms), 10_000) > 45_000 {
                half = ms;
            }
        }
        assert!((5000..8000).contains(&half), "{half}");
        assert_eq!(link.update(at(200_000), 10_000), 10_000);
    }
}
