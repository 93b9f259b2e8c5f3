//! What time it is, as one value that is passed down. [`SystemClock`] and [`stopwatch`] are the only
//! readers of the system's clocks, so that a simulator can run everything else.

use proto_core::index::entry::Timestamp;
use proto_core::time::Instant;
use std::time::{SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, for timers.
    pub mono: Instant,
    /// Time of day, for names in the trash and for comparing with file times; it may jump.
    pub wall: Timestamp,
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    zero: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic zero is a second ago, so that nothing happened "at zero".
    #[must_use]
    pub fn new() -> Self {
        let now = std::time::Instant::now();
        Self {
            zero: now
                .checked_sub(std::time::Duration::from_secs(1))
                .unwrap_or(now),
        }
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let mono = u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp {
                sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nsec: since.subsec_nanos(),
            },
            Err(_) => Timestamp::default(),
        };
        Now {
            mono: Instant::from_micros(mono),
            wall,
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Time that has gone by since its first call, to measure how long something takes.
#[must_use]
pub fn stopwatch() -> std::time::Duration {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed()
}
