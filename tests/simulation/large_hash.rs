//! A large file that is being hashed holds nothing else up (docs/architecture.md, "Picking up a change").

use crate::fetching::{cluster, has, random, write};
use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;

/// Some hundred slices of hashing.
const LARGE: u64 = 100_000_000;

/// Live files in the index of machine 0.
fn indexed(cluster: &Cluster) -> u64 {
    let peer = cluster.machines[0].peer.as_ref().unwrap();
    peer.status().files
}

/// Two machines; the first has begun to hash a large file, of which a slice or two are done.
fn hashing() -> Cluster {
    let mut cluster = cluster(2, Duration::from_micros(100));
    cluster.slices = 1;
    write(&cluster, 0, b"large", &random(LARGE));
    let begun = |cluster: &Cluster| cluster.machines[0].disk.share_read() > 0;
    assert!(cluster.drive_until(Duration::from_secs(10), begun));
    cluster
}

#[test]
fn a_small_file_does_not_wait_for_it() {
    let mut cluster = hashing();
    write(&cluster, 0, b"note", b"a line");
    let arrived = |cluster: &Cluster| has(cluster, 1, b"note");
    assert!(cluster.drive_until(Duration::from_secs(10), arrived));
    let read = cluster.machines[0].disk.share_read();
    assert!(read < LARGE, "the large one was first");
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    assert!(has(&cluster, 1, b"large"));
}

#[test]
fn another_large_one_waits_and_a_change_begins_anew() {
    let mut cluster = hashing();
    let (second, newer) = (random(LARGE / 2), random(LARGE / 3));
    write(&cluster, 0, b"second", &second);
    write(&cluster, 0, b"large", &newer);
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        cluster.in_sync() && has(cluster, 1, b"second") && has(cluster, 1, b"large")
    }));
    let bytes = |place: usize| cluster.machines[place].disk.tree(Place::Share);
    assert!(bytes(0) == bytes(1));
}

#[test]
fn what_is_deleted_meanwhile_is_gone() {
    let mut cluster = hashing();
    cluster.machines[0].disk.user_remove_all(b"large").unwrap();
    write(&cluster, 0, b"note", b"a line");
    let arrived = |cluster: &Cluster| has(cluster, 1, b"note");
    assert!(cluster.drive_until(Duration::from_secs(10), arrived));
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    assert_eq!(indexed(&cluster), 1);
    assert!(!has(&cluster, 1, b"large"));
}

#[test]
fn a_disk_that_has_to_be_waited_for_holds_up_nothing_else() {
    let mut cluster = cluster(2, Duration::from_micros(100));
    cluster.machines[0].disk.be_cold(100_000_000);
    let bytes = random(LARGE);
    write(&cluster, 0, b"large", &bytes);
    write(&cluster, 0, b"medium", &bytes[..10_000_000]);
    let begun = |cluster: &Cluster| cluster.machines[0].disk.cold_looks() > 20;
    assert!(cluster.drive_until(Duration::from_secs(10), begun));
    write(&cluster, 0, b"note", b"a line");
    let arrived = |cluster: &Cluster| has(cluster, 1, b"note");
    assert!(cluster.drive_until(Duration::from_secs(10), arrived));
    assert!(!has(&cluster, 1, b"large"));
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        cluster.in_sync() && has(cluster, 1, b"large") && has(cluster, 1, b"medium")
    }));
    let tree = |place: usize| cluster.machines[place].disk.tree(Place::Share);
    assert!(tree(0) == tree(1));
    // But for the note, which is short, and was not read ahead.
    assert_eq!(cluster.machines[0].disk.cold_waits(), 1);
    assert!(cluster.machines[0].disk.cold_looks() > LARGE / (256 * 1024));
}
