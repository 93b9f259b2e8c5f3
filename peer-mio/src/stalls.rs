//! How long the turns of the loop and the flushes of this process took, as counts: while the disk is waited for, no
//! datagram is taken (docs/architecture.md, "The loop").

use proto_core::time::Duration;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Milliseconds below which a time is counted in each place; the last place counts the longer ones.
pub const BOUNDS_MS: [u32; 5] = [1, 5, 10, 50, 100];
const PLACES: usize = BOUNDS_MS.len() + 1;

/// Turns of the loop, without what they waited for something to do.
pub static TURNS: Histogram = Histogram::new();
/// fdatasync, fsync, syncfs, and what begins to write or waits for it.
pub static FLUSHES: Histogram = Histogram::new();

/// Counts of times. They stop at [`u32::MAX`].
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU32; PLACES],
    longest_us: AtomicU32,
}

/// What a [`Histogram`] has counted so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// For each of [`BOUNDS_MS`] how many took less, but not less than the one before; how many took longer.
    pub counts: [u32; PLACES],
    /// The longest one in microseconds.
    pub longest_us: u32,
}

impl Histogram {
    /// Nothing counted.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            counts: [const { AtomicU32::new(0) }; PLACES],
            longest_us: AtomicU32::new(0),
        }
    }

    /// Counts one.
    pub fn note(&self, took: Duration) {
        let millis = took.as_millis();
        let place = BOUNDS_MS
            .iter()
            .position(|bound| millis < u128::from(*bound))
            .unwrap_or(BOUNDS_MS.len());
        if let Some(count) = self.counts.get(place) {
            let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                count.checked_add(1)
            });
        }
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.longest_us.fetch_max(micros, Ordering::Relaxed);
    }

    /// Does something and counts how long it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = work();
        self.note(begin.elapsed());
        done
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            counts: self
                .counts
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed)),
            longest_us: self.longest_us.load(Ordering::Relaxed),
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bound, count) in BOUNDS_MS.iter().zip(&self.counts) {
            write!(formatter, "{count} below {bound} ms, ")?;
        }
        let longer = self.counts.last().copied().unwrap_or_default();
        let longest = f64::from(self.longest_us) / 1000.0;
        write!(formatter, "{longer} longer, the longest {longest:.1} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_counted_below_the_first_bound_that_is_longer() {
        let histogram = Histogram::new();
        for micros in [
            0, 999, 1000, 4999, 5000, 49_999, 50_000, 99_999, 100_000, 7_000_000,
        ] {
            histogram.note(Duration::from_micros(micros));
        }
        let counts = histogram.counts();
        assert_eq!(counts.counts, [2, 2, 1, 1, 2, 2]);
        assert_eq!(counts.longest_us, 7_000_000);
        assert_eq!(
            counts.to_string(),
            "2 below 1 ms, 2 below 5 ms, 1 below 10 ms, 1 below 50 ms, 2 below 100 ms, 2 longer, the longest 7000.0 ms"
        );
    }

    #[test]
    fn what_is_timed_is_done_and_counted() {
        let histogram = Histogram::new();
        assert_eq!(histogram.time(|| 7), 7);
        assert_eq!(histogram.counts().counts.iter().sum::<u32>(), 1);
    }
}
