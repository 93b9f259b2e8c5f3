//! How many bytes may be outstanding at one peer.

use crate::time::Duration;

/// Least window in bytes: a chunk of average size, so that one is always under way (52 ms of queue
/// at 10 Mbit/s).
const FLOOR: usize = 64 * 1024;
/// Greatest window in bytes; the receive buffer that the kernel granted usually allows less.
const CEILING: usize = 16 * 1024 * 1024;
/// BBR's cwnd_gain: two bandwidth-delay products, so that the estimate can grow.
const GAIN: u32 = 2;
/// On short paths the loops at both ends, not the wire, take the time: a window below this much
/// time at the measured rate would measure itself smaller and smaller.
const SHORTEST_TURN: Duration = Duration::from_micros(2_500);

/// The window of one flow.
#[derive(Debug)]
pub struct Window {
    bytes: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { bytes: FLOOR }
    }
}

impl Window {
    /// Bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Fits the window to a delivery rate in bytes per second and a minimum round trip.
    pub fn update(&mut self, rate: u64, min_rtt: Option<Duration>) {
        let turn = min_rtt
            .unwrap_or_default()
            .saturating_mul(GAIN)
            .max(SHORTEST_TURN);
        let turn_micros = u64::try_from(turn.as_micros()).unwrap_or(u64::MAX);
        let target = rate.saturating_mul(turn_micros) / 1_000_000;
        self.bytes = usize::try_from(target)
            .unwrap_or(CEILING)
            .clamp(FLOOR, CEILING);
    }

    /// Back to the least window.
    pub fn reset(&mut self) {
        self.bytes = FLOOR;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_two_bandwidth_delay_products_within_bounds() {
        let mut window = Window::default();
        window.update(12_500_000, Some(Duration::from_millis(50)));
        assert_eq!(window.bytes(), 1_250_000);
        window.update(1, None);
        assert_eq!(window.bytes(), FLOOR);
        window.update(u64::MAX, Some(Duration::from_secs(9)));
        assert_eq!(window.bytes(), CEILING);
    }
}
