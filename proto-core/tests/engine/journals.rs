//! Journals are read whole, in order, without haste when they bring nothing.

use crate::netsim::{Library, Path, Sim, index_of};
use proto_core::index::entry::IndexId;

fn pair(path: Path) -> Sim {
    let mut sim = Sim::group(1, path, 2);
    sim.connect();
    sim
}

#[test]
fn journals_are_read_over_lossy_paths() {
    let mut sim = pair(Path {
        loss: 200,
        ..Path::default()
    });
    for round in 0..20 {
        sim.changes(1, 1 + round * 20);
        sim.run_ms(100);
    }
    let all = sim.host(1).library.journal.len();
    assert!(sim.until(20, |sim| sim.learned(0, 1) == all).is_some());
    let learned = &sim.host(0).learned[&index_of(1)];
    assert!(
        learned
            .iter()
            .zip(1..)
            .all(|((sequence, _), place)| *sequence == place)
    );
}

#[test]
fn a_journal_that_changes_between_segments_is_begun_anew_and_ends_consistent() {
    for seed in 0..20 {
        let path = Path {
            delay: 2000,
            loss: 100,
            ..Path::of_rate(10, 4000, 100)
        };
        let mut sim = Sim::group(seed, path, 2);
        sim.connect();
        sim.changes(1, 100);
        for _ in 0..100 {
            sim.run_ms(3);
            sim.changes(1, 1);
        }
        assert!(
            sim.until(20, |sim| sim.learned(0, 1) == 200).is_some(),
            "{}",
            sim.learned(0, 1)
        );
        let right: Vec<_> = (sim.host(1).library.journal.iter())
            .map(|(entry, path)| (entry.sequence, path.clone()))
            .collect();
        assert_eq!(sim.host(0).learned[&index_of(1)], right);
    }
}

#[test]
fn a_restarted_puller_reads_on_from_its_cursor() {
    let mut sim = pair(Path::default());
    sim.changes(1, 50);
    sim.run_ms(100);
    sim.kill(0);
    sim.changes(1, 5);
    sim.run_ms(100);
    sim.restart(0, &[1]);
    let took = sim.until(2, |sim| sim.learned(0, 1) == 55);
    assert!(took.is_some_and(|took| took < 20_000), "{took:?}");
}

#[test]
fn a_journal_that_is_refused_is_asked_for_again_with_the_next_announcement() {
    let mut sim = pair(Path::default());
    sim.host(1).library.journal_gone = true;
    sim.changes(1, 5);
    sim.run_ms(100);
    let before = sim.net.count(0, 1).datagrams;
    sim.run_ms(10_000);
    // A heartbeat and a request every second.
    let datagrams = sim.net.count(0, 1).datagrams - before;
    assert!(datagrams <= 25, "{datagrams}");
    sim.host(1).library.journal_gone = false;
    let took = sim.until(5, |sim| sim.learned(0, 1) == 5);
    assert!(took.is_some_and(|took| took < 1_100_000), "{took:?}");
}

#[test]
fn pages_that_cannot_be_noted_are_not_read_in_a_circle() {
    let mut sim = pair(Path::default());
    sim.host(0).forgetful = true;
    sim.changes(1, 200);
    sim.run_ms(100);
    let before = sim.net.total();
    sim.run_ms(10_000);
    // Each way a heartbeat a second, a request and a page of some 25 datagrams.
    let datagrams = sim.net.total() - before;
    assert!(datagrams <= 350, "{datagrams}");
    sim.host(0).forgetful = false;
    let took = sim.until(5, |sim| sim.learned(0, 1) == 200);
    assert!(took.is_some_and(|took| took < 1_100_000), "{took:?}");
}

/// Another index at the same address, with a longer journal: read from its beginning.
#[test]
fn the_journal_of_a_new_index_is_read_from_its_beginning() {
    for seed in 0..10 {
        let mut sim = Sim::group(seed, Path::default(), 2);
        sim.connect();
        sim.changes(1, 50);
        sim.run_ms(100);
        assert_eq!(sim.learned(0, 1), 50);
        sim.kill(1);
        let new = IndexId(0x77);
        sim.host(1).library = Library::new(new);
        for change in 0..90 {
            sim.host(1).library.change(&format!("file {change}"));
        }
        sim.host(1).own.sequence = 90;
        sim.restart(1, &[0]);
        sim.run_ms(3000);
        let learned = &sim.host(0).learned[&new];
        assert!(learned.iter().map(|(sequence, _)| *sequence).eq(1..=90));
    }
}

#[test]
fn a_long_journal_is_read_while_the_peer_goes_on_to_change() {
    let mut sim = pair(Path::of_rate(100, 20_000, 10));
    sim.changes(1, 2000);
    for _ in 0..200 {
        sim.run_ms(10);
        sim.changes(1, 3);
    }
    let took = sim.until(10, |sim| sim.learned(0, 1) == 2600);
    assert!(took.is_some_and(|took| took < 1_500_000), "{took:?}");
    let learned = &sim.host(0).learned[&index_of(1)];
    assert!(learned.iter().map(|(sequence, _)| *sequence).eq(1..=2600));
}
