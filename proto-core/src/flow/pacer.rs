//! When the next REQUEST may go, so that its answers reach the narrowest place of the path no faster
//! than that passes them on: a server answers at once and as fast as it can.

use crate::time::{Duration, Instant};

/// One REQUEST asks for what the path carries in this time, so that answers come in short bursts ...
const QUANTUM: Duration = Duration::from_micros(400);
/// ... or in this part of a round trip, if that is longer: what waits for it is as long.
const ROUND_PARTS: u32 = 64;
/// Most of one REQUEST in bytes: few datagrams then wake the other side.
const LARGEST: usize = 256 * 1024;
/// Segments of one REQUEST at least, as long as they are not longer than on Ethernet.
const LEAST_SEGMENTS: usize = 12;
const ETHERNET: usize = 1452;
/// What was not asked for in time is asked for at once up to this much: poll(2) counts in
/// milliseconds ...
const AT_ONCE: Duration = Duration::from_micros(1500);
/// ... and this much more at twice the pace: a turn of our loop may take long.
const CATCH_UP: Duration = Duration::from_millis(10);

/// Spaces requests by the pace in bytes per second.
#[derive(Debug, Default)]
pub struct Pacer {
    /// All that was asked for has been paid for by then.
    paid_at: Instant,
    /// Not faster than twice the pace.
    not_before: Instant,
}

impl Pacer {
    /// Bytes of the next REQUEST at this pace.
    #[must_use]
    pub fn quantum(pace: u64, min_rtt: Duration, segment: usize) -> usize {
        let least = (LEAST_SEGMENTS * segment.min(ETHERNET)).max(segment);
        let wanted = bytes(pace, QUANTUM.max(min_rtt / ROUND_PARTS));
        wanted.clamp(least, LARGEST.max(least))
    }

    /// Bytes that may be asked for now; 0 before [`Self::ready_at`].
    #[must_use]
    pub fn credit(&self, now: Instant, pace: u64, quantum: usize) -> usize {
        if now < self.ready_at() {
            return 0;
        }
        let late = now.saturating_since(self.paid_at).min(AT_ONCE);
        quantum.saturating_add(bytes(pace, late))
    }

    /// When the next REQUEST may go.
    #[must_use]
    pub fn ready_at(&self) -> Instant {
        self.paid_at.max(self.not_before)
    }

    /// So many bytes that were asked for will not come.
    pub fn refund(&mut self, pace: u64, count: usize) {
        let micros = (count as u64).saturating_mul(1_000_000) / pace.max(1);
        let back = Duration::from_micros(micros);
        self.paid_at = self.paid_at.saturating_before(back);
        self.not_before = self.not_before.saturating_before(back / 2);
    }

    /// So many bytes were asked for.
    pub fn asked(&mut self, now: Instant, pace: u64, count: usize) {
        let micros = (count as u64).saturating_mul(1_000_000) / pace.max(1);
        let from = if now.saturating_since(self.paid_at) > CATCH_UP {
            Instant::from_micros(now.as_micros().saturating_sub(whole(CATCH_UP)))
        } else {
            self.paid_at
        };
        // What was asked for beyond the pace, so that the path does not run dry, is not waited for afterwards.
        let latest = now + CATCH_UP.max(Duration::from_micros(micros));
        self.paid_at = (from + Duration::from_micros(micros)).min(latest);
        self.not_before = now + Duration::from_micros(micros / 2);
    }
}

fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn bytes(pace: u64, time: Duration) -> usize {
    usize::try_from(pace.saturating_mul(whole(time)) / 1_000_000).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: usize = 1000;

    #[test]
    fn requests_keep_the_pace_and_catch_up_a_little() {
        let pace = 10_000_000;
        let quantum = Pacer::quantum(pace, Duration::ZERO, SEGMENT);
        assert_eq!(quantum, 12_000, "twelve segments");
        let mut pacer = Pacer::default();
        let mut now = Instant::from_micros(1_000_000);
        let (begin, mut asked) = (now, 0);
        while now < begin + Duration::from_secs(1) {
            let credit = pacer.credit(now, pace, quantum);
            assert!(credit > 0 && credit <= quantum + 15_000);
            pacer.asked(now, pace, credit);
            asked += credit;
            assert_eq!(pacer.credit(now, pace, quantum), 0);
            now = now.max(pacer.ready_at());
        }
        let allowed = 10_000_000 + 100_000 + 2 * quantum;
        assert!(asked > 10_000_000 && asked < allowed, "{asked}");
        // Ten milliseconds at most of a long pause are made up for, at twice the pace at most.
        let mut burst = 0;
        let pause = now + Duration::from_secs(5);
        let mut now = pause;
        while now < pause + Duration::from_millis(10) {
            let credit = pacer.credit(now, pace, quantum);
            pacer.asked(now, pace, credit);
            burst += credit;
            now = now.max(pacer.ready_at());
        }
        assert!(burst > 180_000 && burst < 230_000, "{burst}");
    }

    #[test]
    fn what_was_asked_for_beyond_the_pace_is_no_debt_for_long() {
        let mut pacer = Pacer::default();
        let now = Instant::from_micros(1_000_000);
        for _ in 0..1000 {
            pacer.asked(now, 1_000_000, 5_000);
        }
        assert_eq!(pacer.ready_at(), now + CATCH_UP);
        pacer.asked(now, 1_000_000, 50_000);
        assert_eq!(pacer.ready_at(), now + Duration::from_millis(50));
    }

    #[test]
    fn a_request_is_as_long_as_the_path_can_take() {
        let quantum = |pace, rtt| Pacer::quantum(pace, Duration::from_millis(rtt), SEGMENT);
        assert_eq!(quantum(125_000_000, 0), 50_000);
        assert_eq!(quantum(125_000_000, 64), 125_000, "a 64th of a round trip");
        assert_eq!(quantum(u64::MAX, 0), LARGEST);
    }
}
