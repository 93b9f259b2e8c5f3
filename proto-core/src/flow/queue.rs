//! How much of a window may stand in a queue (docs/protocol.md, "Flow", "Standing queue"): FAST TCP's window
//! (Wei, Jin, Low, Hegde 2006), where all flows through one queue get the same, whatever their round trips are.

use crate::time::Duration;

/// The square of the bytes that one flow may have in the queue, over its rate: 79 KB at 100 Mbit/s (6.3 ms), 25 KB at
/// 10 Mbit/s (20 ms), 250 KB at 1 Gbit/s (2 ms).
const SQUARE: u64 = 500;
/// A window goes this part of the way in one round.
const STEP: usize = 4;
/// Without a queue it grows by this part of itself at least: where much is under way the queue's part is a small one.
const ROOM: usize = 16;
/// Least window in bytes.
pub const LEAST: usize = 16 * 1024;

/// The window in bytes after a round in which no round trip was shorter than `rtt` microseconds, on a path of which
/// round trips of up to `base` say nothing of a queue.
pub fn next_window(window: usize, base: Duration, rtt: u32, full: bool) -> usize {
    let base = u64::try_from(base.as_micros()).unwrap_or(u64::MAX).max(1);
    let rtt = u64::from(rtt).max(base);
    let now = window as u64;
    let rate = now.saturating_mul(1_000_000) / rtt;
    let own = rate.saturating_mul(SQUARE).isqrt() >> u32::from(full);
    let wanted = usize::try_from(now.saturating_mul(base) / rtt + own).unwrap_or(window);
    let wanted = if rtt == base {
        wanted.max(window + window / ROOM)
    } else {
        wanted
    };
    if wanted < window {
        (window - (window - wanted) / STEP).max(LEAST)
    } else {
        window + (wanted - window) / STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates of three flows with these round trips in microseconds through one queue, after some rounds.
    fn rates(rtts: [u64; 3], mut windows: [usize; 3], rate: u64) -> [u64; 3] {
        let each = |windows: [usize; 3], queue: u64| {
            [0, 1, 2].map(|flow| windows[flow] as u64 * 1_000_000 / (rtts[flow] + queue))
        };
        let mut queue = 0;
        for _ in 0..300 {
            // All waits so long that the rates add up to that of the queue.
            queue = (0..22).rev().fold(0, |queue, bit| {
                let more = queue | 1 << bit;
                let over = each(windows, more).iter().sum::<u64>() > rate;
                if over { more } else { queue }
            });
            windows = [0, 1, 2].map(|flow| {
                let base = Duration::from_micros(rtts[flow]);
                next_window(windows[flow], base, (rtts[flow] + queue) as u32, false)
            });
        }
        each(windows, queue)
    }

    #[test]
    fn all_flows_of_one_queue_come_to_the_same_rate() {
        for (rtts, windows) in [
            ([50_000; 3], [1_400_000, 64_000, 600_000]),
            ([20_000, 80_000, 1000], [64_000, 2_000_000, 64_000]),
        ] {
            for rate in [1_250_000, 12_500_000, 125_000_000] {
                for is in rates(rtts, windows, rate) {
                    assert!(
                        is.abs_diff(rate / 3) * 10 < rate / 3,
                        "{rtts:?} {rate}: {is}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_window_shrinks_no_further_than_to_its_least_and_grows_without_a_queue() {
        let base = Duration::from_millis(50);
        let mut window = 1_000_000;
        for _ in 0..100 {
            window = next_window(window, base, u32::MAX, false);
        }
        assert_eq!(window, LEAST);
        assert!(next_window(16_000_000, base, 0, false) >= 16_250_000);
        let alone = 12_500_000 / 20;
        assert_eq!(next_window(alone, base, 50_000, false), alone + 79_056 / 4);
    }
}
