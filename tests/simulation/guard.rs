//! The guard against mass deletion (docs/architecture.md, "Guards").

use peer_mio::disk::Place;
use peer_mio::peer::guard;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::rng::Rng;
use std::io::ErrorKind;

const SETTLE: Duration = Duration::from_secs(200);

/// Two peers with so many files in `folder/` of the first one, all told to the second.
fn two(count: usize) -> Cluster {
    let mut cluster = Cluster::new(2, &mut Rng::new(11));
    cluster.set_clocks();
    for number in 0..count {
        write(&cluster, number);
    }
    for place in 0..2 {
        assert!(cluster.start(place));
    }
    settle(&mut cluster);
    assert_eq!(counts(&cluster), [count, count]);
    cluster
}

fn name(number: usize) -> String {
    format!("folder/{}/f{number}", number % 3)
}

fn write(cluster: &Cluster, number: usize) {
    let disk = &cluster.machines[0].disk;
    let path = name(number);
    for (end, _) in path.match_indices('/') {
        match disk.user_mkdir(&path.as_bytes()[..end]) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{error}"),
            _ => {}
        }
    }
    disk.user_write(path.as_bytes(), path.as_bytes()).unwrap();
}

fn remove(cluster: &Cluster, numbers: std::ops::Range<usize>) {
    cluster.set_clocks();
    for number in numbers {
        let disk = &cluster.machines[0].disk;
        disk.user_remove_all(name(number).as_bytes()).unwrap();
    }
}

fn settle(cluster: &mut Cluster) {
    cluster.drive(Duration::from_secs(3));
    assert!(
        cluster.drive_until(SETTLE, Cluster::in_sync),
        "{:?}",
        errors(cluster)
    );
}

/// Files in `share/` of each machine.
fn counts(cluster: &Cluster) -> [usize; 2] {
    [0, 1].map(|place| {
        let nodes = cluster.machines[place].disk.tree(Place::Share);
        nodes
            .values()
            .filter(|node| matches!(node, Node::File(..)))
            .count()
    })
}

fn errors(cluster: &Cluster) -> Vec<String> {
    cluster.machines[0].peer.as_ref().unwrap().status().errors
}

/// Waits until the first machine's deletions are stopped, and sees that they stay so.
fn assert_stopped(cluster: &mut Cluster, missing: usize, files: usize, left: usize) {
    let told = format!("{missing} of {files} files are gone");
    let so = |cluster: &Cluster| errors(cluster).iter().any(|error| error.contains(&told));
    assert!(
        cluster.drive_until(SETTLE, so),
        "no {told} in {:?}",
        errors(cluster)
    );
    // Several scans pass.
    cluster.drive(SETTLE);
    assert!(so(cluster), "no {told} in {:?}", errors(cluster));
    assert!(!cluster.in_sync());
    assert_eq!(counts(cluster)[1], left, "the other one keeps its own");
}

fn resume(cluster: &mut Cluster) -> Option<u64> {
    cluster.machines[0].peer.as_mut().unwrap().resume()
}

#[test]
fn a_mass_deletion_waits_for_resume() {
    for count in [64, 100, 1500] {
        let mut cluster = two(count);
        cluster.machines[0].disk.user_remove_all(b"folder").unwrap();
        assert_stopped(&mut cluster, count, count, count);
        assert_eq!(resume(&mut cluster), Some(count as u64));
        settle(&mut cluster);
        assert_eq!(counts(&cluster), [0, 0]);
        assert!(errors(&cluster).is_empty());
        assert_eq!(resume(&mut cluster), None);
        assert!(cluster.in_sync());
    }
}

#[test]
fn a_mass_deletion_of_a_stopped_peer_waits_too_and_a_restart_forgets_nothing() {
    let mut cluster = two(100);
    cluster.crash(0, false);
    remove(&cluster, 0..70);
    for _ in 0..2 {
        assert!(cluster.start(0));
        assert_stopped(&mut cluster, 70, 100, 100);
        cluster.crash(0, false);
    }
    assert!(cluster.start(0));
    assert_stopped(&mut cluster, 70, 100, 100);
    // Other changes go on meanwhile.
    write(&cluster, 1000);
    assert!(cluster.drive_until(SETTLE, |cluster| counts(cluster)[1] == 101));
    resume(&mut cluster);
    settle(&mut cluster);
    assert_eq!(counts(&cluster), [31, 31]);
}

#[test]
fn what_is_put_back_is_no_deletion() {
    let mut cluster = two(100);
    remove(&cluster, 0..100);
    assert_stopped(&mut cluster, 100, 100, 100);
    for number in 0..60 {
        write(&cluster, number);
    }
    settle(&mut cluster);
    assert_eq!(counts(&cluster), [60, 60], "forty of a hundred may go");
}

#[test]
fn half_of_the_files_may_go_and_one_more_may_not() {
    let mut cluster = two(200);
    remove(&cluster, 0..100);
    settle(&mut cluster);
    assert_eq!(counts(&cluster), [100, 100]);
    cluster.drive(Duration::from_secs(20));
    remove(&cluster, 100..151);
    assert_stopped(&mut cluster, 51, 100, 100);
}

#[test]
fn slow_steps_are_one_change_and_long_pauses_part_two() {
    let mut cluster = two(100);
    remove(&cluster, 0..40);
    cluster.drive(Duration::from_secs(2));
    assert_eq!(counts(&cluster), [60, 60]);
    remove(&cluster, 40..60);
    assert_stopped(&mut cluster, 20, 100, 60);

    let mut cluster = two(100);
    remove(&cluster, 0..40);
    cluster.drive(Duration::from_secs(20));
    remove(&cluster, 40..60);
    settle(&mut cluster);
    assert_eq!(counts(&cluster), [40, 40]);
}

#[test]
fn a_rename_of_everything_is_no_deletion() {
    for count in [100, 1500] {
        let mut cluster = two(count);
        cluster.set_clocks();
        let disk = &cluster.machines[0].disk;
        disk.user_rename(b"folder", b"new").unwrap();
        let moved = |cluster: &Cluster| {
            assert!(errors(cluster).is_empty(), "{:?}", errors(cluster));
            cluster.in_sync()
        };
        cluster.drive(Duration::from_secs(1));
        assert!(cluster.drive_until(SETTLE, moved));
        assert_eq!(counts(&cluster), [count, count]);
        let tree = cluster.machines[1].disk.tree(Place::Share);
        assert!(tree.contains_key(b"new".as_slice()) && !tree.contains_key(b"folder".as_slice()));
    }
}

#[test]
fn few_files_and_those_who_said_so_are_not_guarded() {
    let mut cluster = two(63);
    cluster.machines[0].disk.user_remove_all(b"folder").unwrap();
    settle(&mut cluster);
    assert_eq!(counts(&cluster), [0, 0]);

    let mut cluster = two(100);
    cluster.max_delete = guard::ALL;
    cluster.crash(0, false);
    assert!(cluster.start(0));
    settle(&mut cluster);
    cluster.machines[0].disk.user_remove_all(b"folder").unwrap();
    settle(&mut cluster);
    assert_eq!(counts(&cluster), [0, 0]);
}
