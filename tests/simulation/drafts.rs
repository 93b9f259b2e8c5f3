//! Large files are fetched while their source still hashes them (docs/protocol.md, "Drafts").

use crate::bundles::{files, names};
use crate::fetching::{cluster, errors, here, holds, random, write};
use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::network::Weather;
use sim::rng::Rng;

/// Bytes of the file.
const LARGE: u64 = 100_000_000;
const BOUND: Duration = Duration::from_secs(120);

/// Machines on which a slice of work takes so long that the file is hashed in some 200 ms.
fn slow(machines: u8) -> Cluster {
    let mut cluster = cluster(machines, Duration::from_micros(100));
    (cluster.slices, cluster.slice) = (1, Duration::from_millis(1));
    cluster
}

/// Live files in the index of machine 0.
fn indexed(cluster: &Cluster) -> u64 {
    let peer = cluster.machines[0].peer.as_ref().unwrap();
    peer.status().files
}

/// The file is being hashed, and the others have so much of it.
fn begin(machines: u8, part: u64) -> Cluster {
    let mut cluster = slow(machines);
    write(&cluster, 0, b"file", &random(LARGE));
    let places = 1..usize::from(machines);
    assert!(cluster.drive_until(BOUND, |cluster| {
        places.clone().all(|place| here(cluster, place) >= part)
    }));
    assert_eq!(indexed(&cluster), 0, "over too soon");
    cluster
}

/// All have the same, nothing else is left of it, and nothing is wrong.
fn settle(cluster: &mut Cluster) {
    // What was just done is seen.
    cluster.drive(Duration::from_millis(500));
    assert!(cluster.drive_until(BOUND, Cluster::in_sync));
    for place in 0..cluster.machines.len() {
        assert!(files(cluster, place) == files(cluster, 0), "other bytes");
        assert_eq!(errors(cluster, place), Vec::<String>::new());
        assert_eq!(
            names(cluster, place, Place::Download),
            Vec::<Vec<u8>>::new()
        );
    }
}

#[test]
fn much_of_a_file_is_here_when_it_has_its_name() {
    // Each machine's slices hold up the others in the simulator, so three get on slowly.
    for (machines, least, most) in [(2, 30, 108), (3, 10, 115)] {
        let mut cluster = slow(machines);
        let source = cluster.machines[0].address;
        write(&cluster, 0, b"file", &random(LARGE));
        assert!(cluster.drive_until(BOUND, |cluster| indexed(cluster) == 1));
        for place in 1..usize::from(machines) {
            let here = here(&cluster, place) * 100 / LARGE;
            println!("{machines} machines: {here} % are here when all is hashed");
            assert!(here >= least, "{here} %");
        }
        settle(&mut cluster);
        assert!(holds(&cluster, 1, b"file", &random(LARGE)));
        let sent = cluster.network.sent_by(source) * 100 / LARGE;
        assert!(sent < most, "the source sends {sent} %");
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_fetched_anew() {
    let mut cluster = begin(3, LARGE / 10);
    let newer = random(LARGE / 2);
    write(&cluster, 0, b"file", &newer);
    assert!(cluster.drive_until(BOUND, |cluster| {
        holds(cluster, 1, b"file", &newer) && holds(cluster, 2, b"file", &newer)
    }));
    settle(&mut cluster);
}

#[test]
fn a_file_that_is_deleted_meanwhile_leaves_nothing() {
    let mut cluster = begin(3, LARGE / 10);
    cluster.machines[0].disk.user_remove_all(b"file").unwrap();
    cluster.drive(Duration::from_secs(1));
    settle(&mut cluster);
    assert_eq!(indexed(&cluster), 0);
}

/// Bytes that are sent until all have the file, after something happened when the other one had a quarter of it.
fn sent_after(happens: impl FnOnce(&mut Cluster)) -> u64 {
    let mut cluster = begin(2, LARGE / 4);
    let sent = cluster.network.bytes;
    happens(&mut cluster);
    let bytes = random(LARGE);
    assert!(cluster.drive_until(BOUND, |cluster| {
        holds(cluster, 0, b"file", &bytes) && holds(cluster, 1, b"file", &bytes)
    }));
    let sent = cluster.network.bytes - sent;
    settle(&mut cluster);
    sent
}

#[test]
fn what_came_is_not_asked_for_again_when_the_source_comes_back() {
    let sent = sent_after(|cluster| {
        cluster.crash(0, false);
        cluster.drive(Duration::from_secs(10));
        assert!(cluster.start(0));
    });
    assert!(sent < LARGE * 8 / 10, "{sent} bytes for the rest");
}

#[test]
fn what_came_is_not_asked_for_again_by_one_that_comes_back() {
    let sent = sent_after(|cluster| {
        cluster.crash(1, false);
        assert!(cluster.start(1));
    });
    assert!(sent < LARGE * 8 / 10, "{sent} bytes for the rest");
}

#[test]
fn one_that_comes_later_fetches_what_the_others_have() {
    let mut cluster = slow(3);
    let source = cluster.machines[0].address;
    cluster.crash(2, false);
    write(&cluster, 0, b"file", &random(LARGE));
    assert!(cluster.drive_until(BOUND, |cluster| here(cluster, 1) >= LARGE / 4));
    assert!(cluster.start(2));
    settle(&mut cluster);
    assert!(holds(&cluster, 2, b"file", &random(LARGE)));
    let sent = cluster.network.sent_by(source) * 100 / LARGE;
    assert!(sent < 190, "the source sends {sent} %");
}

#[test]
fn what_is_here_already_is_not_fetched() {
    let mut cluster = slow(2);
    write(&cluster, 0, b"file", &random(LARGE));
    settle(&mut cluster);
    let sent = |cluster: &mut Cluster| {
        let before = cluster.network.bytes;
        cluster.drive(Duration::from_secs(1));
        settle(cluster);
        cluster.network.bytes - before
    };
    // A copy, and a newer version of the file.
    write(&cluster, 0, b"copy", &random(LARGE));
    assert!(sent(&mut cluster) < LARGE / 100);
    let mut newer = random(LARGE);
    newer[1000] ^= 1;
    newer.push(1);
    write(&cluster, 0, b"file", &newer);
    let sent = sent(&mut cluster);
    assert!(sent < LARGE / 50, "{sent} bytes");
    assert!(holds(&cluster, 1, b"file", &newer));
}

#[test]
fn what_both_have_got_elsewhere_is_not_fetched() {
    let mut cluster = slow(2);
    let before = cluster.network.bytes;
    for place in [0, 1] {
        write(&cluster, place, b"file", &random(LARGE));
    }
    cluster.drive(Duration::from_secs(1));
    settle(&mut cluster);
    let sent = cluster.network.bytes - before;
    assert!(sent < LARGE / 100, "{sent} bytes");
}

#[test]
fn one_that_is_moved_when_it_has_its_name_does_not_wait() {
    for seed in [39, 41, 59] {
        let mut cluster = slow(2);
        cluster.network.weather.loss = [0, 20, 50, 100][seed as usize % 4];
        cluster.network.weather.delay = Duration::from_millis(1 + seed % 23);
        write(&cluster, 0, b"file", &random(18_000_000 + seed * 100_000));
        assert!(cluster.drive_until(BOUND, |cluster| indexed(cluster) == 1));
        let disk = &cluster.machines[0].disk;
        disk.user_rename(b"file", b"other").unwrap();
        cluster.drive(Duration::from_millis(500));
        let synced = cluster.drive_until(Duration::from_secs(20), Cluster::in_sync);
        assert!(synced, "seed {seed}");
    }
}

#[test]
fn a_disk_that_refuses_the_name_costs_time_alone() {
    let mut cluster = begin(2, LARGE / 10);
    cluster.machines[1].disk.refuse_names_in_downloads(true);
    assert!(cluster.drive_until(BOUND, |cluster| indexed(cluster) == 1));
    assert!(cluster.drive_until(BOUND, Cluster::in_sync));
    assert!(holds(&cluster, 1, b"file", &random(LARGE)));
    assert_eq!(errors(&cluster, 1), Vec::<String>::new());
}

#[test]
fn one_that_changes_while_it_is_hashed_is_not_told_of_again_soon() {
    let mut cluster = begin(2, LARGE / 10);
    let mut sent = cluster.network.bytes;
    for round in 1..10 {
        let bytes = random(LARGE + round);
        write(&cluster, 0, b"file", &bytes);
        cluster.drive(Duration::from_millis(150));
        if round == 1 {
            sent = cluster.network.bytes;
        }
    }
    let wasted = cluster.network.bytes - sent;
    assert!(wasted < LARGE / 100, "{wasted} bytes in vain");
    settle(&mut cluster);
    assert!(holds(&cluster, 1, b"file", &random(LARGE + 9)));
}

#[test]
fn another_file_at_its_path_is_in_conflict_with_it() {
    let mut cluster = begin(3, LARGE / 10);
    write(&cluster, 1, b"file", b"another one");
    cluster.drive(Duration::from_secs(1));
    settle(&mut cluster);
    let all = files(&cluster, 2);
    let sizes: Vec<usize> = all.iter().map(|(_, bytes)| bytes.len()).collect();
    assert!(
        sizes.contains(&(LARGE as usize)) && sizes.contains(&11),
        "{sizes:?}"
    );
}

#[test]
fn a_bad_network_costs_little_more() {
    let mut cluster = slow(3);
    cluster.network.weather = Weather {
        loss: 50,
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(2),
        ..Weather::default()
    };
    let before = cluster.network.bytes;
    write(&cluster, 0, b"file", &random(LARGE));
    cluster.drive(Duration::from_millis(100));
    settle(&mut cluster);
    assert!(holds(&cluster, 2, b"file", &random(LARGE)));
    let sent = cluster.network.bytes - before;
    assert!(sent < LARGE * 2 * 12 / 10, "{sent} bytes");
}

/// What happens to a file that is being hashed, by seed: whatever it is, all end with the same.
#[test]
fn whatever_happens_meanwhile_all_end_with_the_same() {
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let mut cluster = slow(3);
        cluster.network.weather.loss = rng.below(3) * 20;
        cluster.network.weather.delay = Duration::from_micros(100 + rng.below(5_000));
        for round in 0..4 {
            let path = [b"a".as_slice(), b"b"][rng.below(2) as usize];
            let size = 20_000_000 + rng.below(20_000_000);
            let at = rng.below(3) as usize;
            write(&cluster, at, path, &random(size));
            cluster.drive(Duration::from_millis(30 + rng.below(150)));
            let other = rng.below(3) as usize;
            match rng.below(6) {
                0 => cluster.crash(other, false),
                1 => cluster.crash(at, rng.chance(500)),
                2 => write(&cluster, at, path, &random(size / 2)),
                3 => write(&cluster, other, path, &random(20_000_000 + round)),
                4 => {
                    // It may have gone to its place in a conflict.
                    let _ = cluster.machines[at].disk.user_remove_all(path);
                }
                _ => {}
            }
            cluster.drive(Duration::from_millis(rng.below(300)));
            for place in 0..3 {
                assert!(cluster.start(place), "seed {seed}");
            }
        }
        assert!(cluster.drive_until(BOUND, Cluster::in_sync), "seed {seed}");
        for place in [1, 2] {
            assert!(files(&cluster, place) == files(&cluster, 0), "seed {seed}");
        }
    }
}
