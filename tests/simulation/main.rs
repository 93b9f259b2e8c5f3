//! Plays many seeds of the simulator: `SEEDS=n` of them, or `SEED=n` only one.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bundle_parts;
mod bundles;
mod cold;
mod cold_hashing;
mod delta;
mod draft_lies;
mod drafts;
mod fetching;
mod flushed;
mod full_disk;
mod guard;
mod identity;
mod interrupted;
mod landing;
mod large_hash;
mod legacy;
mod liar;
mod overhead;
mod partial_sources;
mod passed_on;
mod renames;
mod same_tick;
mod scanning;
mod shared_bundles;
mod shelf;
mod stalling;
mod swarm;
mod torn;
mod waiting;
mod wrong_bytes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Prints every log line of the peers, for `TRACE=1`.
struct Printer;

impl log::Log for Printer {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("             {}", record.args());
    }

    fn flush(&self) {}
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn play(seed: u64) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| sim::scenario::play(seed)))
        .unwrap_or_else(|panic| Err(format!("panicked: {:?}", panic.downcast_ref::<String>())))
}

#[test]
fn all_peers_end_with_the_same_folder_and_nothing_of_a_user_is_lost() {
    if let Some(seed) = number("SEED") {
        if std::env::var_os("TRACE").is_some() && log::set_logger(&Printer).is_ok() {
            log::set_max_level(log::LevelFilter::Trace);
        }
        if let Err(what) = play(seed) {
            panic!("seed {seed}: {what}");
        }
        return;
    }
    let seeds = number("SEEDS").unwrap_or(200);
    let next = AtomicU64::new(1);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        return;
                    }
                    if let Err(what) = play(seed) {
                        eprintln!("seed {seed}: {what}\nreplay with: SEED={seed} TRACE=1 make sim");
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_unstable();
    assert!(
        failed.is_empty(),
        "of {seeds} seeds these fail: {failed:?}; replay one with: SEED={} TRACE=1 make sim",
        failed[0]
    );
    println!("{seeds} seeds played");
}
