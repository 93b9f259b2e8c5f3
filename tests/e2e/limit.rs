//! `--limit` with real processes: never more than it says. That it is not less either, the simulated network shows
//! (`proto-core/tests/engine/limits.rs`): here other programs may take the processor.

use crate::harness::{Group, seconds};
use std::time::Instant;

/// Bytes per second.
const RATE: u64 = 1_000_000;

#[test]
fn a_limited_source_takes_its_time() {
    takes_its_time("limit-up", 0, "--limit-up");
}

#[test]
fn a_limited_receiver_takes_its_time() {
    takes_its_time("limit-down", 1, "--limit-down");
}

fn takes_its_time(test: &str, limited: usize, option: &str) {
    let mut group = Group::on_loopback(test, 2);
    group[limited].options = vec![option.to_owned(), "1M".to_owned()];
    group.start();
    let size = 2 * RATE;
    let bytes: Vec<u8> = (0..size).map(|at| ((at * at) >> 7) as u8).collect();
    let begin = Instant::now();
    group[0].write("large", &bytes);
    group.wait_until("the file arrives", seconds(60), |group| {
        group[1].has("large", &bytes)
    });
    // 20 ms of what was not used before may be made up for.
    assert!(
        begin.elapsed() >= seconds(1) * 19 / 10,
        "{:?}",
        begin.elapsed()
    );
}
