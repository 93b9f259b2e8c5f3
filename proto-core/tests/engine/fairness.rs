//! Who waits for whom: small things beside large ones, small receive buffers, and sources that send nothing.

use crate::netsim::{MB, Path, SECOND, Serving, Sim, slot};
use proto_core::wire::ObjectId;

/// What a Linux kernel grants without being asked for more.
const DEFAULT_BUFFER: usize = 212_992;

#[test]
fn small_files_do_not_wait_for_a_large_one() {
    let mut sim = Sim::group(1, Path::of_rate(20, 10_000, 0), 2);
    let large = sim.add_content(1, 20 * MB, &[1]);
    let small: Vec<_> = (2..22)
        .flat_map(|seed| sim.add_content(seed, 3000, &[1]))
        .collect();
    sim.connect();
    sim.want(0, &large);
    sim.run_ms(1000);
    let mut longest = 0;
    for want in small {
        // Drivers ask for what is small first; here only the engine decides.
        sim.host(0).todo.push_front(want);
        sim.work(0);
        let took = sim.until(20, |sim| sim.host(0).done.contains(&want));
        longest = longest.max(took.unwrap());
    }
    // A place in the table of pulls is free after each chunk (128 KB: 50 ms), and the queue on the path is 100 ms.
    assert!(longest < 400_000, "{longest}");
}

#[test]
fn changes_are_read_beside_a_large_file() {
    let mut sim = Sim::group(1, Path::of_rate(20, 10_000, 0), 2);
    let large = sim.add_content(1, 20 * MB, &[1]);
    sim.connect();
    sim.want(0, &large);
    sim.run_ms(1000);
    sim.changes(1, 300);
    let took = sim.until(20, |sim| sim.learned(0, 1) == 300);
    assert!(took.is_some_and(|took| took < 500_000), "{took:?}");
}

#[test]
fn two_pullers_share_the_link_of_their_source() {
    let mut sim = Sim::group(1, Path::default(), 3);
    let wants = sim.add_content(1, 10 * MB, &[0]);
    sim.host(0).uplink = 100_000_000;
    sim.connect();
    sim.want(1, &wants);
    sim.want(2, &wants);
    sim.run_ms(500);
    let (one, two) = (sim.host(1).new_bytes, sim.host(2).new_bytes);
    assert!(one.abs_diff(two) * 5 < one + two, "{one} {two}");
    let all = wants.len();
    let took = sim.until(10, |sim| {
        sim.host(1).done.len() == all && sim.host(2).done.len() == all
    });
    assert!(took.is_some_and(|took| took < 1_300_000), "{took:?}");
}

#[test]
fn a_small_receive_buffer_is_enough_for_a_fast_short_path_with_loss() {
    for loss in [0, 10] {
        let mut sim = Sim::new(1, Path::of_rate(10_000, 100, loss));
        sim.receive_buffer = DEFAULT_BUFFER;
        sim.add_host([1]);
        sim.add_host([0]);
        let wants = sim.add_content(1, 50 * MB, &[1]);
        sim.connect();
        let took = sim.pull_all(0, &wants, 60);
        // Half a gigabit with loss; without it most of what the wire carries.
        let at_most = if loss == 0 { 100_000 } else { 800_000 };
        assert!(took < at_most, "{loss}: {took}");
    }
}

/// A tunnel with a small MTU, say: heartbeats come, BLOCKs do not.
#[test]
fn a_source_whose_blocks_never_come_is_left_for_another() {
    let path = Path::of_rate(100, 1000, 0);
    let mut sim = Sim::group(1, path, 3);
    let mut wants = sim.add_content(1, 5 * MB, &[1, 2]);
    for want in &mut wants {
        want.prefer = Some(slot(1));
    }
    let tunnel = Path {
        longest: 1000,
        ..path
    };
    sim.net.set_both(0, 1, tunnel);
    sim.connect();
    let took = sim.pull_all(0, &wants, 60);
    assert!(took < 10 * SECOND, "{took}");
}

#[test]
fn a_source_that_is_alone_and_silent_for_a_while_is_asked_until_it_answers() {
    let mut sim = Sim::group(1, Path::of_rate(100, 1000, 0), 2);
    let wants = sim.add_content(1, 5 * MB, &[1]);
    sim.host(1).library.serving = Serving::NotYet;
    sim.connect();
    sim.want(0, &wants);
    let before = sim.net.count(0, 1).datagrams;
    sim.run_ms(15_000);
    // Heartbeats, and a request or two every two seconds.
    let datagrams = sim.net.count(0, 1).datagrams - before;
    assert!(datagrams < 70, "{datagrams}");
    sim.host(1).library.serving = Serving::Ready;
    let took = sim.until_done(0, wants.len(), 60);
    assert!(took < 4 * SECOND, "{took}");
}

/// One content that its source does not get from its disk, though it sends all others.
#[test]
fn a_piece_that_one_source_never_sends_comes_from_another() {
    let mut sim = Sim::group(1, Path::of_rate(100, 1000, 0), 3);
    let mut stuck = sim.add_content(1, MB, &[1, 2]);
    let mut wants = sim.add_content(2, 20 * MB, &[1]);
    wants.append(&mut stuck);
    for want in &mut wants {
        want.prefer = Some(slot(1));
    }
    let ObjectId::Content(id) = wants[wants.len() - 1].object else {
        panic!("a content")
    };
    sim.host(1).library.slow = Some(id);
    sim.connect();
    let took = sim.pull_all(0, &wants, 60);
    assert!(took < 8 * SECOND, "{took}");
}
