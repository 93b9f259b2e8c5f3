//! How long datagrams may be, found by the engines on paths that carry more, less, and less all of a sudden.

use crate::netsim::{MB, Path, SECOND, Sim, slot};
use proto_core::limits::MAX_DATAGRAM;

/// Two hosts on a path of 100 Mbit/s and 10 ms that carries datagrams up to `longest`.
fn pair(longest: usize, loss: u64) -> Sim {
    let path = Path::of_rate(100, 10_000, loss);
    let mut sim = Sim::new(1, Path { longest, ..path });
    sim.datagram = MAX_DATAGRAM;
    sim.add_host([1]);
    sim.add_host([0]);
    sim
}

fn size(sim: &mut Sim) -> usize {
    let status = sim.host(0).engine.status(slot(1));
    status.map_or(0, |status| status.datagram)
}

#[test]
fn each_path_is_used_as_far_as_it_goes() {
    let found = [
        (1_200, 1_200),
        (1_300, 1_200),
        (1_480, 1_452),
        (9_000, 8_952),
        (65_507, 60_000),
    ];
    for (longest, expected) in found {
        for loss in [0, 20] {
            let mut sim = pair(longest, loss);
            let wants = sim.add_content(1, 5 * MB, &[1]);
            sim.connect();
            assert_eq!(size(&mut sim), expected, "{longest}, {loss}");
            let took = sim.pull_all(0, &wants, 20);
            // 5 MB take 0.4 s.
            assert!(took < SECOND, "{longest}, {loss}: {took}");
            assert_eq!(sim.host(0).new_bytes, 5_000_000);
        }
    }
}

/// The microseconds that 20 MB take on a path that stays as it is.
fn alone(longest: usize) -> u64 {
    let mut sim = pair(longest, 0);
    let wants = sim.add_content(1, 20 * MB, &[1]);
    sim.connect();
    sim.pull_all(0, &wants, 20)
}

#[test]
fn a_path_that_becomes_narrower_under_way_costs_two_seconds_at_most() {
    for (before, after, expected) in [
        (1_480, 1_300, 1_200),
        (65_507, 1_480, 1_452),
        (9_000, 1_200, 1_200),
    ] {
        let mut sim = pair(before, 0);
        let wants = sim.add_content(1, 20 * MB, &[1]);
        sim.connect();
        let alone = alone(before);
        sim.want(0, &wants);
        sim.run_ms(500);
        let path = Path::of_rate(100, 10_000, 0);
        sim.net.set_both(
            0,
            1,
            Path {
                longest: after,
                ..path
            },
        );
        let rest = sim.until(30, |sim| sim.host(0).done.len() == wants.len());
        let took = 500_000 + rest.unwrap();
        assert_eq!(size(&mut sim), expected);
        assert!(
            took < alone + 2 * SECOND,
            "{before} to {after}: {took}, else {alone}"
        );
        // What was under way in long segments came twice, no more: two windows at most.
        let twice = sim.host(0).new_bytes - 20_000_000;
        assert!(twice < 600_000, "{before} to {after}: {twice}");
    }
}
