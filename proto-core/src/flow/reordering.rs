//! How much later than others a datagram may come before it counts as lost (RFC 8985 section 6.2, the
//! reordering window): longer for a while where some did that had been given up.

use crate::time::Duration;

/// Whatever the path: two cores of one machine deliver their datagrams in different order.
const LEAST: Duration = Duration::from_millis(5);
/// The window beyond that in quarters of a smoothed round trip: to begin with, and at most.
const FIRST: u32 = 1;
const MOST: u32 = 4;
/// It shrinks by a quarter after so many rounds in which nothing was given up too early.
const CALM_ROUNDS: u32 = 16;

/// The reordering window of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Reordering {
    quarters: u32,
    calm: u32,
    grown: bool,
    spurious: u64,
}

impl Default for Reordering {
    fn default() -> Self {
        Self {
            quarters: FIRST,
            calm: 0,
            grown: false,
            spurious: 0,
        }
    }
}

impl Reordering {
    /// How long after a round trip an answer may still come.
    #[must_use]
    pub fn window(&self, smoothed: Duration) -> Duration {
        smoothed / 4 * self.quarters + LEAST
    }

    /// A segment came that had been given up: at most one step in a round, since all of a round were given up by the
    /// same window.
    pub fn note_spurious(&mut self) {
        self.spurious = self.spurious.saturating_add(1);
        self.calm = 0;
        if !self.grown {
            self.grown = true;
            self.quarters = (self.quarters + 1).min(MOST);
        }
    }

    /// A round trip has gone by.
    pub fn end_round(&mut self) {
        self.grown = false;
        self.calm += 1;
        if self.calm >= CALM_ROUNDS {
            self.calm = 0;
            self.quarters = self.quarters.saturating_sub(1).max(FIRST);
        }
    }

    /// Segments that came after they had been given up.
    #[must_use]
    pub fn spurious(&self) -> u64 {
        self.spurious
    }

    /// Nothing known of the path; what was counted stays.
    #[must_use]
    pub fn forgotten(&self) -> Self {
        Self {
            spurious: self.spurious,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOOTHED: Duration = Duration::from_millis(40);

    fn millis(reordering: &Reordering) -> u128 {
        reordering.window(SMOOTHED).as_millis()
    }

    #[test]
    fn the_window_grows_once_in_a_round_up_to_a_round_trip() {
        let mut reordering = Reordering::default();
        assert_eq!(millis(&reordering), 15);
        for expected in [25, 35, 45, 45] {
            reordering.note_spurious();
            reordering.note_spurious();
            assert_eq!(millis(&reordering), expected);
            reordering.end_round();
        }
        assert_eq!(reordering.spurious(), 8);
    }

    #[test]
    fn it_shrinks_by_a_step_after_sixteen_calm_rounds() {
        let mut reordering = Reordering::default();
        reordering.note_spurious();
        for _ in 0..15 {
            reordering.end_round();
        }
        assert_eq!(millis(&reordering), 25);
        reordering.end_round();
        assert_eq!(millis(&reordering), 15);
        for _ in 0..40 {
            reordering.end_round();
        }
        assert_eq!(millis(&reordering), 15);
        assert_eq!(reordering.forgotten().spurious(), 1);
    }
}
