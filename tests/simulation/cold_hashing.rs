//! A disk that has to be waited for: files that are hashed while it reads ahead (docs/architecture.md, "The loop").

use crate::fetching::{cluster, random, write};
use peer_mio::clock::Now;
use peer_mio::disk::Place;
use peer_mio::peer::Peer;
use peer_mio::peer::report::Status;
use proto_core::index::entry::Timestamp;
use proto_core::time::{Duration, Instant};
use sim::cluster::Cluster;
use sim::disk::SimDisk;
use sim::rng::Rng;

const LARGE: u64 = 50_000_000;
/// Bytes that the disk reads in a second.
const RATE: u64 = 100_000_000;

/// A machine alone, so that nothing but its own work wakes it.
fn alone() -> Cluster {
    let mut cluster = Cluster::new(1, &mut Rng::new(1));
    assert!(cluster.start(0));
    assert!(cluster.drive_until(Duration::from_secs(10), Cluster::in_sync));
    cluster.drive(Duration::from_secs(2));
    cluster.machines[0].disk.be_cold(RATE);
    cluster
}

fn status(cluster: &Cluster) -> Status {
    cluster.machines[0].peer.as_ref().unwrap().status()
}

/// Files in the index.
fn indexed(cluster: &Cluster) -> u64 {
    status(cluster).files
}

fn begun(cluster: &Cluster) -> bool {
    cluster.machines[0].disk.cold_looks() > 20
}

#[test]
fn what_waits_for_a_large_file_goes_on_when_that_is_deleted() {
    // The kernel wakes it for what a user does, the simulator does not: each time a moment passes, also of lengths that are none
    // of its own pauses.
    for moment in [100, 300, 700, 1_100, 1_300].map(Duration::from_micros) {
        let mut cluster = alone();
        write(&cluster, 0, b"first", &random(LARGE));
        cluster.drive(moment);
        assert!(cluster.drive_until(Duration::from_secs(10), begun));
        write(&cluster, 0, b"second", &random(LARGE / 2));
        cluster.drive(moment);
        cluster.drive(Duration::from_millis(50));
        assert_eq!(indexed(&cluster), 0, "over too soon");
        cluster.machines[0].disk.user_remove_all(b"first").unwrap();
        cluster.drive(moment);
        let second = |cluster: &Cluster| indexed(cluster) == 1;
        let from = cluster.now();
        assert!(cluster.drive_until(Duration::from_secs(600), second));
        let took = cluster.now().saturating_since(from);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

/// The turns of a machine alone, as its loop makes them, until all is hashed: how many, and in how many of these nothing was looked
/// for on the disk, once it had begun.
fn turns(disk: &SimDisk, peer: &mut Peer<SimDisk>, mut mono: Instant) -> (u64, u64) {
    let (mut turns, mut idle, mut more) = (0, 0, true);
    let end = mono + Duration::from_secs(60);
    let mut buffer = vec![0; 65_507];
    while peer.status().files == 0 {
        assert!(mono < end, "it is not hashed");
        let wake = if more { mono } else { peer.next_wake() };
        mono = wake.max(mono + Duration::from_micros(50)).min(end);
        let wall = Timestamp {
            sec: 1_700_000_000 + i64::try_from(mono.as_micros() / 1_000_000).unwrap(),
            nsec: u32::try_from(mono.as_micros() % 1_000_000).unwrap() * 1000,
        };
        disk.set_now(wall);
        let now = Now { mono, wall };
        for event in disk.take_events() {
            peer.handle_change(now, &event.path, event.settled);
        }
        let before = disk.cold_looks();
        more = peer.work(now);
        while peer.poll_transmit(now, &mut buffer).is_some() {}
        turns += u64::from(before > 0);
        idle += u64::from(before > 0 && disk.cold_looks() == before);
    }
    (turns, idle)
}

#[test]
fn no_turn_is_idle_while_a_file_waits_for_the_disk() {
    for size in [LARGE, 10_000_000] {
        let mut cluster = alone();
        write(&cluster, 0, b"file", &random(size));
        let now = cluster.now();
        let machine = &mut cluster.machines[0];
        let mut peer = machine.peer.take().unwrap();
        let (turns, idle) = turns(&machine.disk, &mut peer, now);
        assert!(machine.disk.cold_looks() >= size / (256 * 1024));
        assert_eq!(machine.disk.cold_waits(), 0);
        assert!(idle <= 4, "{idle} of {turns} turns are idle");
    }
}

/// Files that both machines got elsewhere, the second of them on a cold disk.
#[test]
fn what_both_have_is_not_fetched_while_one_still_hashes_it() {
    let mut cluster = cluster(2, Duration::from_micros(100));
    (cluster.slices, cluster.slice) = (1, Duration::from_millis(1));
    cluster.machines[1].disk.be_cold(RATE);
    let before = cluster.network.bytes;
    for number in 0..4 {
        let (path, bytes) = (format!("file {number}"), random(LARGE / 2 + number));
        for place in [0, 1] {
            write(&cluster, place, path.as_bytes(), &bytes);
        }
    }
    cluster.drive(Duration::from_secs(1));
    assert!(cluster.drive_until(Duration::from_secs(120), Cluster::in_sync));
    let sent = cluster.network.bytes - before;
    assert!(sent < LARGE / 100, "{sent} bytes");
}

/// What happens to files while the disk is waited for, by seed: whatever it is, all end with the same.
#[test]
fn whatever_happens_to_cold_files_all_end_with_the_same() {
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let mut cluster = cluster(2, Duration::from_micros(100 + rng.below(5_000)));
        cluster.machines[0].disk.be_cold(RATE);
        if rng.chance(500) {
            cluster.machines[1].disk.be_cold(RATE);
        }
        let edges = [
            0,
            256 << 10,
            2 << 20,
            (2 << 20) + 1,
            16 << 20,
            (16 << 20) + 1,
        ];
        for _ in 0..6 {
            let path = [b"a".as_slice(), b"b", b"c", b"d"][rng.below(4) as usize];
            let size = match rng.pick(&edges) {
                Some(edge) if rng.chance(400) => *edge,
                _ => rng.below(25_000_000),
            };
            let at = rng.below(2) as usize;
            write(&cluster, at, path, &random(size));
            cluster.drive(Duration::from_millis(rng.below(150)));
            match rng.below(7) {
                0 => cluster.crash(at, false),
                1 => cluster.crash(at, rng.chance(500)),
                2 => write(&cluster, at, path, &random(size / 2)),
                3 => write(&cluster, at, path, &random(size + 1 + rng.below(300_000))),
                // It may have gone to its place in a conflict.
                4 => drop(cluster.machines[at].disk.user_remove_all(path)),
                5 => drop(cluster.machines[at].disk.user_rename(path, b"e")),
                _ => {}
            }
            cluster.drive(Duration::from_millis(rng.below(300)));
            for place in 0..2 {
                assert!(cluster.start(place), "seed {seed}");
            }
        }
        // What was just done is seen.
        cluster.drive(Duration::from_secs(3));
        let synced = cluster.drive_until(Duration::from_secs(120), Cluster::in_sync);
        assert!(synced, "seed {seed}: {:?}", status(&cluster));
        let trees = [0, 1].map(|place| cluster.machines[place].disk.tree(Place::Share));
        assert!(trees[0] == trees[1], "seed {seed}");
    }
}
