//! `--durability none`: what had not reached the disk when the power was cut lands again, and is told to nobody
//! (docs/architecture.md, "Durability").

use crate::fetching::{holds, random, write};
use peer_mio::disk::Place;
use peer_mio::jobs::hash::content_of;
use peer_mio::peer::Flushing;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::rng::Rng;
use std::collections::BTreeMap;

/// Files before the change and after it: half of the first are replaced.
const FILES: u64 = 8;

fn name(number: u64) -> Vec<u8> {
    format!("d/file {number}").into_bytes()
}

/// More than an announcement carries, and now and then a few chunks.
fn bytes(number: u64, version: u64) -> Vec<u8> {
    let large = if number.is_multiple_of(4) { 100_000 } else { 0 };
    random(5_000 + large + number * 100 + version)
}

/// Two machines in sync with some files, all of them on the disks; then the first one has new versions and new files.
fn begin(seed: u64) -> (Cluster, BTreeMap<Vec<u8>, Node>) {
    let mut cluster = Cluster::new(2, &mut Rng::new(seed));
    cluster.flushing = Flushing::Never;
    assert!(cluster.start(0) && cluster.start(1));
    cluster.machines[0].disk.user_mkdir(b"d").unwrap();
    for number in 0..FILES {
        write(&cluster, 0, &name(number), &bytes(number, 0));
    }
    assert!(cluster.drive_until(Duration::from_secs(30), |cluster| {
        cluster.in_sync() && trees(cluster)[1].len() > FILES as usize
    }));
    cluster.drive(Duration::from_secs(200));
    for number in FILES / 2..FILES * 2 {
        write(&cluster, 0, &name(number), &bytes(number, 1));
    }
    let good = trees(&cluster).swap_remove(0);
    (cluster, good)
}

fn trees(cluster: &Cluster) -> Vec<BTreeMap<Vec<u8>, Node>> {
    let machines = cluster.machines.iter();
    machines
        .map(|machine| machine.disk.tree(Place::Share))
        .collect()
}

/// Files of a tree that are neither version.
fn torn(tree: &BTreeMap<Vec<u8>, Node>) -> usize {
    let known: Vec<_> = (0..FILES * 2)
        .flat_map(|number| [bytes(number, 0), bytes(number, 1)])
        .collect();
    let torn = tree
        .values()
        .filter(|node| matches!(node, Node::File(_, _, bytes) if !known.contains(bytes)));
    torn.count()
}

/// After the power is back all is as it was at the one who wrote it, and there it never was anything else.
fn recovers(cluster: &mut Cluster, good: &BTreeMap<Vec<u8>, Node>, what: &str) {
    assert!(cluster.start(1));
    let steady = |cluster: &Cluster| trees(cluster)[0] == *good;
    for _ in 0..200 {
        cluster.drive(Duration::from_millis(20));
        assert!(steady(cluster), "{what}: the damage was told");
    }
    let same = cluster.drive_until(Duration::from_secs(60), |cluster| {
        cluster.in_sync() && trees(cluster)[1] == *good
    });
    let words = sim::model::difference(&trees(cluster)[0], &trees(cluster)[1]);
    assert!(same && steady(cluster), "{what}: {words:?}");
}

#[test]
fn files_that_were_torn_after_their_commit_land_again() {
    let mut seen = 0;
    for seed in 0..40 {
        let (mut cluster, good) = begin(seed);
        assert!(cluster.drive_until(Duration::from_secs(30), |cluster| {
            cluster.in_sync() && trees(cluster)[1] == good
        }));
        // Until the index is committed, or a while longer.
        cluster.drive(Duration::from_millis(seed * 30));
        cluster.crash(1, true);
        seen += torn(&trees(&cluster)[1]);
        recovers(&mut cluster, &good, &format!("seed {seed}"));
    }
    assert!(seen > 40, "only {seen} torn");
}

#[test]
fn files_that_were_torn_between_their_rename_and_the_commit_land_again() {
    let mut seen = 0;
    for stop in 0..160 {
        let (mut cluster, good) = begin(stop);
        let disk = cluster.machines[1].disk.handle();
        disk.stop_after(stop);
        cluster.drive_until(Duration::from_secs(2), |_| disk.is_stopped());
        cluster.crash(1, true);
        seen += torn(&trees(&cluster)[1]);
        // Killed once more while it starts, and the power cut again.
        cluster.machines[1].disk.handle().stop_after(stop / 4);
        cluster.start(1);
        cluster.drive(Duration::from_millis(stop % 50));
        cluster.crash(1, stop % 2 == 0);
        recovers(&mut cluster, &good, &format!("stop {stop}"));
    }
    assert!(seen > 40, "only {seen} torn");
}

#[test]
fn a_run_that_flushes_again_settles_what_one_left_that_did_not() {
    for seed in 0..20 {
        let (mut cluster, good) = begin(seed);
        cluster.drive_until(Duration::from_secs(30), |cluster| trees(cluster)[1] == good);
        cluster.crash(1, true);
        cluster.flushing = Flushing::Group;
        recovers(&mut cluster, &good, &format!("seed {seed}"));
        cluster.drive(Duration::from_secs(300));
        // What a user writes is damaged like a user's file again, and nothing of it is taken for a landing.
        write(&cluster, 0, b"d/late", &random(50_000));
        cluster.drive(Duration::from_secs(5));
        cluster.crash(1, true);
        assert!(cluster.start(1));
        assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
        assert_eq!(trees(&cluster)[0], trees(&cluster)[1], "seed {seed}");
    }
}

#[test]
fn what_nobody_has_any_more_makes_way_for_what_somebody_has() {
    let (one, other) = (random(5_000), random(5_001));
    // The greater content wins while nothing else tells the two apart.
    let (winner, loser) = if content_of(&one) > content_of(&other) {
        (one, other)
    } else {
        (other, one)
    };
    let mut cluster = Cluster::new(3, &mut Rng::new(1));
    cluster.flushing = Flushing::Never;
    assert!(cluster.start(0) && cluster.start(2));
    write(&cluster, 2, b"f", &winner);
    assert!(cluster.drive_until(Duration::from_secs(30), |cluster| {
        holds(cluster, 0, b"f", &winner)
    }));
    cluster.drive(Duration::from_secs(5));
    cluster.crash(2, false);
    cluster.crash(0, true);
    let _ = cluster.machines[0].disk.user_remove_all(b"f");
    write(&cluster, 1, b"f", &loser);
    assert!(cluster.start(1));
    assert!(cluster.start(0));
    assert!(cluster.drive_until(Duration::from_secs(30), |cluster| {
        holds(cluster, 0, b"f", &loser)
    }));
    // Whoever has it after all brings it back, and both are kept.
    assert!(cluster.start(2));
    assert!(cluster.drive_until(Duration::from_secs(30), |cluster| {
        cluster.in_sync() && (0..3).all(|place| holds(cluster, place, b"f", &winner))
    }));
    for tree in trees(&cluster) {
        let is_loser = |node: &Node| matches!(node, Node::File(_, _, bytes) if *bytes == loser);
        assert!(tree.values().any(is_loser), "{tree:?}");
    }
}
