//! Bundles: a server takes its time to build one, and only at its end their length is known
//! (docs/protocol.md, "Bundles").

use crate::netsim::{MB, Path, SECOND, Shrinking, Sim, index_of, slot};
use proto_core::pull::{Failure, Want};
use proto_core::wire::{BundleId, ObjectId};

/// A part of a bundle of host 1.
fn part(start: u64) -> Want {
    Want {
        object: ObjectId::Bundle(BundleId::new(index_of(1), 3).unwrap()),
        start,
        length: 262_144,
        only: Some(slot(1)),
        prefer: None,
    }
}

/// Two hosts, of which the second one has bundles of so many bytes, and looks so often before one is built.
fn sim(loss: u16, bytes: usize, building: usize) -> Sim {
    let mut sim = Sim::group(1, Path::of_rate(100, 1000, loss.into()), 2);
    sim.host(1).library.bundle = bytes;
    sim.host(1).library.building = building;
    sim.connect();
    sim
}

#[test]
fn parts_of_a_bundle_have_the_length_that_the_server_says() {
    for loss in [0, 100] {
        let mut sim = sim(loss, 300_000, 0);
        sim.pull_all(0, &[part(0), part(262_144)], 20);
        assert_eq!(sim.host(0).new_bytes, 300_000);
        sim.want(0, &[part(524_288)]);
        sim.until(5, |sim| !sim.host(0).failed.is_empty()).unwrap();
        assert_eq!(sim.host(0).failed, [(part(524_288), Failure::Gone)]);
    }
}

#[test]
fn parts_of_a_bundle_travel_encoded_though_nobody_knows_how_long_the_last_one_is() {
    for (loss, at_most) in [(0, 1_050), (100, 1_500)] {
        let mut sim = sim(loss, 2_000_000, 0);
        sim.host(1).library.shrinking = Shrinking::To(4);
        let parts: Vec<Want> = (0..8).map(|number| part(number * 262_144)).collect();
        let before = sim.net.count(1, 0).bytes;
        sim.pull_all(0, &parts, 20);
        assert_eq!(sim.host(0).new_bytes, 500_000, "{loss}");
        let sent = sim.net.count(1, 0).bytes - before;
        assert!(sent < 500 * at_most, "{loss}: {sent}");
    }
}

#[test]
fn a_server_that_builds_is_neither_lost_nor_silent() {
    let mut sim = sim(0, 300_000, usize::MAX);
    let wants = sim.add_content(1, 10 * MB, &[1]);
    sim.want(0, &[part(0)]);
    sim.run_ms(700);
    assert_eq!(sim.host(0).new_bytes, 0);
    // 10 MB at 100 Mbit/s take 0.85 s, whatever else is waited for.
    let took = sim.pull_all(0, &wants, 10);
    assert!(took < SECOND, "{took}");
    assert!(!sim.host(0).done.contains(&part(0)));
    sim.host(1).library.building = 0;
    // In the simulator a REQUEST is what makes the server look again.
    let took = sim.until(1, |sim| sim.host(0).done.contains(&part(0)));
    assert!(took.unwrap() < SECOND / 2);
    assert!(sim.host(0).failed.is_empty());
}

#[test]
fn a_bundle_that_is_not_built_in_two_seconds_has_failed() {
    let mut sim = sim(0, 300_000, usize::MAX);
    sim.want(0, &[part(0)]);
    sim.run_ms(1_900);
    assert!(sim.host(0).failed.is_empty());
    sim.run_ms(200);
    assert_eq!(sim.host(0).failed, [(part(0), Failure::Silent)]);
    // Its server is asked for the rest as before.
    let wants = sim.add_content(1, 5 * MB, &[1]);
    assert!(sim.pull_all(0, &wants, 5) < SECOND);
}
