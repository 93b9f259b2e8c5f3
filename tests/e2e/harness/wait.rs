//! Waiting for a state, with a bound.

use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time between two looks at a state.
const POLL: Duration = Duration::from_millis(10);

/// A bound of this many seconds, multiplied by `TINYPEER_PATIENCE` (default 1) for slow machines.
pub fn seconds(count: u64) -> Duration {
    static PATIENCE: OnceLock<u32> = OnceLock::new();
    let patience = PATIENCE.get_or_init(|| {
        std::env::var("TINYPEER_PATIENCE")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(1)
    });
    Duration::from_secs(count) * *patience
}

/// Looks at `reached` until it is true and returns how long that took; after `bound` it panics with
/// `what` was waited for and what `report` says of the state then.
#[track_caller]
pub fn wait_until(
    what: &str,
    bound: Duration,
    mut reached: impl FnMut() -> bool,
    report: impl FnOnce() -> String,
) -> Duration {
    let start = Instant::now();
    loop {
        if reached() {
            return start.elapsed();
        }
        if start.elapsed() >= bound {
            panic!(
                "not within {:.1} s: {what}\n{}",
                bound.as_secs_f64(),
                report()
            );
        }
        sleep(POLL);
    }
}
