//! How soon a line is on the other two. Measured and printed, not judged: machines differ.

use crate::harness::{Group, seconds};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn a_line_arrives_on_both_others() {
    let mut group = Group::on_loopback("latency", 3);
    group.start();
    let mut times: Vec<Duration> = (0..20)
        .map(|round| {
            let line = format!("line {round}\n");
            let start = Instant::now();
            group[0].write("line.txt", line.as_bytes());
            // Closer looks than `wait_until` takes: this is a measurement.
            while !(group[1].has("line.txt", line.as_bytes())
                && group[2].has("line.txt", line.as_bytes()))
            {
                assert!(
                    start.elapsed() < seconds(10),
                    "line {round} did not arrive\n{}",
                    group.report()
                );
                sleep(Duration::from_millis(1));
            }
            start.elapsed()
        })
        .collect();
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "a line on both others: median {median:.1?}, worst {worst:.1?} of {}",
        times.len()
    );
}
