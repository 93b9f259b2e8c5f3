//! Paths on which datagrams overtake each other without loss: little is asked for twice.

use crate::netsim::{MB, Path, Sim, slot};

#[test]
fn what_only_comes_late_is_soon_no_longer_given_up() {
    // One datagram of twenty comes 15 ms later: more than the window is at first.
    let path = Path {
        reordering: 50,
        held_back: 15_000,
        ..Path::of_rate(100, 20_000, 0)
    };
    let mut sim = Sim::group(1, path, 2);
    let wants = sim.add_content(1, 30 * MB, &[1]);
    sim.connect();
    let before = sim.net.count(1, 0).datagrams;
    sim.pull_all(0, &wants, 20);
    let datagrams = sim.net.count(1, 0).datagrams - before;
    let spurious = sim.host(0).engine.status(slot(1)).unwrap().spurious;
    println!("{spurious} of {datagrams} datagrams were given up too early");
    // With a window that does not grow it is one of twenty.
    assert!(spurious > 0, "the path does not show anything");
    assert!(spurious * 100 < datagrams, "{spurious} of {datagrams}");
}

#[test]
fn nothing_counts_as_spurious_where_nothing_comes_late() {
    for loss in [0, 20] {
        let mut sim = Sim::group(1, Path::of_rate(100, 20_000, loss), 2);
        let wants = sim.add_content(1, 10 * MB, &[1]);
        sim.connect();
        sim.pull_all(0, &wants, 20);
        let spurious = sim.host(0).engine.status(slot(1)).unwrap().spurious;
        assert!(spurious < 10, "{loss}: {spurious}");
    }
}
