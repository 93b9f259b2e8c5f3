//! What is served, copied or verified is not waited for where the disk has to be (docs/architecture.md, "The loop").

use crate::fetching::{begin_of, cluster, has, here, random, write};
use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;

/// Bytes of the file.
const LARGE: u64 = 20_000_000;

/// Machine 0 has a file in its index, of which nothing is in memory; its disk reads so many bytes in a second. Machine 1
/// has just been started.
fn cold(rate: u64) -> Cluster {
    let mut cluster = cluster(2, Duration::from_micros(100));
    cluster.crash(1, false);
    write(&cluster, 0, b"large", &random(LARGE));
    assert!(cluster.drive_until(Duration::from_secs(30), |cluster| {
        let peer = cluster.machines[0].peer.as_ref().unwrap();
        peer.status().files == 1
    }));
    cluster.machines[0].disk.be_cold(rate);
    assert!(cluster.start(1));
    cluster
}

fn assert_same(cluster: &Cluster) {
    let tree = |place: usize| cluster.machines[place].disk.tree(Place::Share);
    assert!(tree(0) == tree(1));
}

#[test]
fn a_cold_disk_is_kept_busy_and_not_waited_for() {
    let mut cluster = cold(20_000_000);
    let begin = cluster.now();
    let begun = |cluster: &Cluster| here(cluster, 1) > 0;
    assert!(cluster.drive_until(Duration::from_secs(10), begun));
    write(&cluster, 0, b"note", b"a line");
    let written = cluster.now();
    let arrived = |cluster: &Cluster| has(cluster, 1, b"note");
    assert!(cluster.drive_until(Duration::from_secs(10), arrived));
    let late = cluster.now().saturating_since(written);
    assert!(late < Duration::from_millis(100), "{late:?}");
    assert!(!has(&cluster, 1, b"large"));
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    // A second of the disk, and some for the meeting.
    let took = cluster.now().saturating_since(begin);
    assert!(took < Duration::from_millis(1500), "{took:?}");
    // But for the note, which was hashed.
    assert_eq!(cluster.machines[0].disk.cold_waits(), 1);
    assert_same(&cluster);
}

#[test]
fn where_reading_ahead_brings_nothing_the_disk_is_waited_for() {
    let mut cluster = cold(1);
    assert!(cluster.drive_until(Duration::from_secs(20), Cluster::in_sync));
    assert!(cluster.machines[0].disk.cold_waits() > 0);
    assert_same(&cluster);
}

#[test]
fn a_file_that_changes_while_it_is_read_ahead_comes_as_it_is_then() {
    let mut cluster = cold(5_000_000);
    let begun = |cluster: &Cluster| here(cluster, 1) > 0;
    assert!(cluster.drive_until(Duration::from_secs(10), begun));
    let newer = random(LARGE / 2);
    write(&cluster, 0, b"large", &newer);
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        cluster.in_sync() && has(cluster, 1, b"large")
    }));
    assert_same(&cluster);
}

/// Two machines in sync over a file of which machine 1 has nothing in memory; machine 0 has just got `new`, too.
fn cold_and_new(path: &[u8], new: &[u8]) -> Cluster {
    let mut cluster = cluster(2, Duration::from_micros(100));
    write(&cluster, 0, b"large", &random(LARGE));
    assert!(cluster.drive_until(Duration::from_secs(30), |cluster| {
        cluster.in_sync() && has(cluster, 1, b"large")
    }));
    cluster.machines[1].disk.be_cold(20_000_000);
    write(&cluster, 0, path, new);
    cluster
}

/// A line comes to machine 1 while it reads a file, for which it does not wait. Of that it reads `least` bytes at least.
fn assert_goes_on(cluster: &mut Cluster, path: &[u8], least: u64) {
    let begin = cluster.now();
    let begun = |cluster: &Cluster| cluster.machines[1].disk.cold_looks() > 20;
    assert!(cluster.drive_until(Duration::from_secs(10), begun));
    write(cluster, 0, b"note", b"a line");
    let written = cluster.now();
    let arrived = |cluster: &Cluster| has(cluster, 1, b"note");
    assert!(cluster.drive_until(Duration::from_secs(10), arrived));
    let late = cluster.now().saturating_since(written);
    assert!(late < Duration::from_millis(200), "{late:?}");
    assert!(!cluster.in_sync(), "over too soon");
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        cluster.in_sync() && has(cluster, 1, path)
    }));
    assert_eq!(cluster.machines[1].disk.cold_waits(), 0);
    assert_same(cluster);
    // As fast as the disk.
    let took = cluster.now().saturating_since(begin);
    assert!(took > Duration::from_micros(least / 20), "{took:?}");
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn a_copy_does_not_wait_for_the_disk() {
    let mut cluster = cold_and_new(b"copy", &random(LARGE));
    assert_goes_on(&mut cluster, b"copy", LARGE);
}

#[test]
fn a_delta_does_not_wait_for_the_disk() {
    let new = [b"in front".as_slice(), &random(LARGE)].concat();
    let mut cluster = cold_and_new(b"large", &new);
    assert_goes_on(&mut cluster, b"large", LARGE - 1_000_000);
}

#[test]
fn verifying_what_came_before_a_crash_does_not_wait_for_the_disk() {
    let mut cluster = cluster(2, Duration::from_micros(100));
    begin_of(&mut cluster, LARGE, LARGE / 4);
    cluster.crash(1, false);
    cluster.machines[1].disk.be_cold(20_000_000);
    assert!(cluster.start(1));
    assert_goes_on(&mut cluster, b"file", LARGE / 4);
}

#[test]
fn what_is_cold_is_served_while_nothing_can_be_looked_at() {
    let mut cluster = cold(20_000_000);
    let begun = |cluster: &Cluster| here(cluster, 1) > 0;
    assert!(cluster.drive_until(Duration::from_secs(10), begun));
    let begin = cluster.now();
    cluster.machines[0].disk.set_share_gone(true);
    let peer = cluster.machines[0].peer.as_mut();
    peer.unwrap().handle_overflow();
    let whole = |cluster: &Cluster| has(cluster, 1, b"large");
    assert!(cluster.drive_until(Duration::from_secs(30), whole));
    let took = cluster.now().saturating_since(begin);
    assert!(took < Duration::from_millis(1300), "{took:?}");
    cluster.machines[0].disk.set_share_gone(false);
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    assert_same(&cluster);
}

#[test]
fn a_second_receiver_hardly_costs_a_cold_source_anything() {
    let mut cluster = cluster(3, Duration::from_millis(1));
    cluster.crash(1, false);
    cluster.crash(2, false);
    write(&cluster, 0, b"large", &random(LARGE));
    let indexed = |cluster: &Cluster| {
        let peer = cluster.machines[0].peer.as_ref();
        peer.is_some_and(|peer| peer.status().files == 1)
    };
    assert!(cluster.drive_until(Duration::from_secs(30), indexed));
    cluster.machines[0].disk.be_cold(2_000_000);
    assert!(cluster.start(1) && cluster.start(2));
    let begin = cluster.now();
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    // Ten seconds of the disk.
    let took = cluster.now().saturating_since(begin);
    assert!(took < Duration::from_millis(11_500), "{took:?}");
    let sent = cluster.network.sent_by(cluster.machines[0].address) * 100 / LARGE;
    assert!(sent < 125, "{sent} %");
    assert_eq!(cluster.machines[0].disk.cold_waits(), 0);
    assert_same(&cluster);
}

#[test]
fn a_warm_source_is_not_held_up_by_a_cold_one() {
    let mut cluster = cluster(3, Duration::from_millis(1));
    cluster.crash(2, false);
    write(&cluster, 0, b"large", &random(LARGE));
    let both = |cluster: &Cluster| has(cluster, 1, b"large");
    assert!(cluster.drive_until(Duration::from_secs(30), both));
    cluster.drive(Duration::from_secs(1));
    cluster.machines[0].disk.be_cold(500_000);
    cluster.network.uplink = 10_000_000;
    let address = cluster.machines[0].address;
    let before = cluster.network.sent_by(address);
    assert!(cluster.start(2));
    let begin = cluster.now();
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| has(cluster, 2, b"large")));
    // Two seconds of what the warm one can send.
    let took = cluster.now().saturating_since(begin);
    assert!(took < Duration::from_millis(2600), "{took:?}");
    let sent = (cluster.network.sent_by(address) - before) * 100 / LARGE;
    assert!(sent < 20, "{sent} %");
}
