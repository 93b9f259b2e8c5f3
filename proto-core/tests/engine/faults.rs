//! Networks that fail for a while.

use crate::netsim::{MB, Path, SECOND, Sim, slot};
use proto_core::engine::Event;

#[test]
fn a_lost_block_leaves_the_window_and_silence_closes_it() {
    let path = Path::of_rate(100, 50_000, 0);
    let mut sim = Sim::group(1, path, 2);
    let wants = sim.add_content(1, 20 * MB, &[1]);
    let piece = sim.add_content(2, 10_000, &[1]);
    let later = sim.add_content(3, 10_000, &[1]);
    sim.connect();
    sim.pull_all(0, &wants, 10);
    let window = sim.host(0).engine.status(slot(1)).unwrap().window;
    assert!(window > MB, "{window}");
    sim.net.set(1, 0, path.severed());
    sim.want(0, &piece);
    sim.run_ms(20);
    sim.run_ms(60);
    sim.net.set(1, 0, path);
    let all = wants.len() + 1;
    assert!(sim.until(5, |sim| sim.host(0).done.len() == all).is_some());
    let after = sim.host(0).engine.status(slot(1)).unwrap().window;
    assert!(after > window / 2, "{after} of {window}");
    sim.net.set(1, 0, path.severed());
    sim.want(0, &later);
    sim.run_ms(1500);
    assert_eq!(
        sim.host(0).engine.status(slot(1)).unwrap().window,
        64 * 1024
    );
}

/// How often host 0 lost its peer.
fn lost(sim: &mut Sim) -> usize {
    let events = sim.host(0).events.iter();
    events
        .filter(|(_, event)| matches!(event, Event::Disconnected { .. }))
        .count()
}

#[test]
fn a_short_partition_interrupts_a_transfer_only_for_as_long_as_it_lasts() {
    for (rate, rtt) in [(10, 1000), (100, 20_000)] {
        for ms in [50, 500, 2500] {
            let path = Path::of_rate(rate, rtt, 0);
            let mut sim = Sim::group(1, path, 2);
            let wants = sim.add_content(1, 5 * MB, &[1]);
            sim.connect();
            let undisturbed = 5 * MB as u64 * 8 * 105 / 100 / rate + 10 * rtt;
            sim.want(0, &wants);
            sim.run_ms(200);
            sim.net.set_both(0, 1, path.severed());
            sim.run_ms(ms);
            sim.net.set_both(0, 1, path);
            let left = wants.len() - sim.host(0).done.len();
            let took = sim.until_done(0, left, 60);
            // The retransmission timeout has grown to two seconds at most; then the window is small.
            let wait = (2 * ms * 1000).min(2 * SECOND) + SECOND / 2;
            assert!(took < undisturbed + wait, "{rate} {ms}: {took}");
            assert_eq!((lost(&mut sim), sim.host(0).failed.len()), (0, 0));
            assert_eq!(sim.host(0).new_bytes as usize, 5 * MB);
        }
    }
}

#[test]
fn a_long_partition_parts_the_peers_and_after_it_all_goes_on() {
    let path = Path::of_rate(100, 20_000, 0);
    for severed in [(true, true), (true, false), (false, true)] {
        let mut sim = Sim::group(1, path, 2);
        let wants = sim.add_content(1, 10 * MB, &[1]);
        sim.connect();
        sim.want(0, &wants);
        sim.run_ms(200);
        if severed.0 {
            sim.net.set(0, 1, path.severed());
        }
        if severed.1 {
            sim.net.set(1, 0, path.severed());
        }
        sim.changes(1, 10);
        sim.run_ms(20_000);
        assert!(!sim.is_connected(0, 1) && !sim.is_connected(1, 0));
        assert_eq!(sim.host(0).engine.free_pulls(), 60);
        sim.net.set_both(0, 1, path);
        // INITIATIONs come every two seconds.
        let took = sim.until(10, |sim| sim.is_connected(0, 1) && sim.is_connected(1, 0));
        assert!(
            took.is_some_and(|took| took <= 2 * SECOND + 100_000),
            "{took:?}"
        );
        // A driver asks again for what failed when a peer is there again.
        let failed = std::mem::take(&mut sim.host(0).failed);
        let again: Vec<_> = failed.into_iter().map(|(want, _)| want).collect();
        let left = wants.len() - sim.host(0).done.len();
        assert_eq!(again.len(), left);
        let took = sim.pull_all(0, &again, 10);
        assert!(took < 2 * SECOND, "{took}");
        assert_eq!(sim.learned(0, 1), 10);
    }
}

#[test]
fn a_path_that_loses_all_now_and_then_still_brings_everything() {
    for seed in 0..5 {
        let path = Path::of_rate(50, 10_000, 10);
        let mut sim = Sim::group(seed, path, 2);
        let wants = sim.add_content(seed, 5 * MB, &[1]);
        sim.host(0).persistent = true;
        sim.connect();
        sim.want(0, &wants);
        let mut random = crate::netsim::Random(seed);
        let begin = sim.now;
        while sim.host(0).done.len() < wants.len() {
            sim.net.set_both(0, 1, path.severed());
            sim.run_ms(random.below(200));
            sim.net.set_both(0, 1, path);
            sim.run_ms(random.below(200));
            assert!(sim.now - begin < 30 * SECOND);
        }
        assert_eq!(sim.host(0).new_bytes as usize, 5 * MB);
    }
}
