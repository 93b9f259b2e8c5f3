//! Two transfers through one bottleneck.

use crate::netsim::{MB, Path, Sim};

const MBIT: u64 = 100;

/// Two pullers, 0 and 1, of two sources, 2 and 3, over one wire; each pair with a round trip of its own in
/// microseconds. The second one begins `later` milliseconds after the first. How many thousandths of what both got
/// in ten seconds the first one had, from `settled` milliseconds after the second began on.
fn share(rtts: [u64; 2], later: u64, settled: u64) -> u64 {
    let longest = rtts[0].max(rtts[1]);
    let path = |rtt| Path {
        queue: MBIT * longest / 8 * 2,
        ..Path::of_rate(MBIT, rtt, 0)
    };
    let mut sim = Sim::new(1, path(longest));
    for other in [2, 3, 0, 1] {
        sim.add_host([other]);
    }
    sim.net.set_both(0, 2, path(rtts[0]));
    sim.net.set_both(1, 3, path(rtts[1]));
    sim.net.share((3, 1), (2, 0));
    let wants = [2, 3].map(|source| sim.add_content(source as u64, 500 * MB, &[source]));
    sim.connect();
    sim.want(0, &wants[0]);
    sim.run_ms(later);
    sim.want(1, &wants[1]);
    sim.run_ms(settled);
    let before = [0, 1].map(|host| sim.host(host).new_bytes);
    sim.run_ms(10_000);
    let got = [0, 1].map(|host| sim.host(host).new_bytes - before[host]);
    let used = (got[0] + got[1]) * 8 * 100 / (MBIT * 10_000_000);
    let share = got[0] * 1000 / (got[0] + got[1]);
    println!(
        "round trips {rtts:?} us, the second {later} ms later: {share} of 1000, {used} % used"
    );
    assert!(used >= 85, "{used} %");
    share
}

#[test]
fn two_that_begin_together_share_the_wire() {
    let share = share([50_000, 50_000], 0, 1000);
    assert!((400..=600).contains(&share), "{share}");
}

/// A known weakness: the queue of both is as long as their windows allow, where every division is stable, and only the
/// round trips that are measured anew bring them nearer. Marks would ("congestion.rs").
#[test]
fn one_that_begins_later_comes_to_a_part_of_it() {
    let share = share([50_000, 50_000], 5000, 15_000);
    assert!((250..=750).contains(&share), "{share}");
}

/// As with BBR the longer one gets more: its window is as much longer. The other one is not starved.
#[test]
fn different_round_trips_leave_both_something() {
    let share = share([20_000, 80_000], 0, 5000);
    assert!((40..=960).contains(&share), "{share}");
}
