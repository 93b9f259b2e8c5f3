//! Machines that have parts of a content, whose source is gone.

use crate::fetching::{SIZE, cluster, errors, has, here, random, write};
use peer_mio::disk::Place;
use peer_mio::jobs::hash::content_of;
use proto_core::time::{Duration, Instant};
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::rng::Rng;

/// Less than 16 MiB: a larger file would be a draft first.
const ALL: u64 = 2 * SIZE;
/// The file is cut into so many parts of the same length.
const PARTS: usize = 1000;

/// All others know of a file of machine 0, which is gone; each has those parts of it that `keep` says, and none runs.
fn parted(machines: u8, keep: impl Fn(usize, usize) -> bool) -> Cluster {
    let bytes = random(ALL);
    let mut cluster = cluster(machines, Duration::from_millis(5));
    let content = content_of(&bytes).0;
    let others = 1..usize::from(machines);
    cluster.network.uplink_of = Some((cluster.machines[0].address, 100_000));
    write(&cluster, 0, b"file", &bytes);
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        others.clone().all(|place| here(cluster, place) > 0)
    }));
    // What is pending is kept with what lands.
    write(&cluster, 0, b"note", b"small");
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        others.clone().all(|place| has(cluster, place, b"note"))
    }));
    cluster.drive(Duration::from_secs(2));
    for place in 0..usize::from(machines) {
        cluster.crash(place, false);
    }
    for place in others {
        let mut part = vec![0; bytes.len()];
        for number in (0..PARTS).filter(|number| keep(place, *number)) {
            let (from, to) = (
                number * bytes.len() / PARTS,
                (number + 1) * bytes.len() / PARTS,
            );
            part[from..to].copy_from_slice(&bytes[from..to]);
        }
        let name = format!("{content}.part");
        let disk = &cluster.machines[place].disk;
        disk.put_download(name.as_bytes(), &part).unwrap();
    }
    cluster
}

fn since(cluster: &Cluster, begin: Instant) -> Duration {
    cluster.now() - begin
}

#[test]
fn what_a_user_copies_while_it_is_fetched_is_told_to_those_who_fetch_it_too() {
    for machines in [3, 5] {
        for early in [30, 900, 3000] {
            let others = 1..usize::from(machines);
            // Nobody has the last of as many stretches as there are machines.
            let count = usize::from(machines);
            let mut cluster = parted(machines, |place, part| part / 40 % count == place - 1);
            for place in others.clone() {
                assert!(cluster.start(place));
            }
            cluster.drive(Duration::from_millis(early));
            write(&cluster, 1, b"copy", &random(ALL));
            let begin = cluster.now();
            assert!(
                cluster.drive_until(Duration::from_secs(5), |cluster| {
                    others.clone().all(|place| has(cluster, place, b"file"))
                }),
                "{machines} machines, copied after {early} ms"
            );
            println!(
                "{machines} machines, {early} ms: {:?}",
                since(&cluster, begin)
            );
        }
    }
}

#[test]
fn who_has_most_of_it_gives_it_though_nobody_has_all() {
    let rate = 500_000;
    for late in [0, 1200, 10_000] {
        let mut cluster = parted(3, |place, part| part < if place == 1 { 900 } else { 100 });
        cluster.network.uplink = rate;
        assert!(cluster.start(1));
        cluster.drive(Duration::from_millis(late));
        assert!(cluster.start(2));
        let begin = cluster.now();
        let wire = Duration::from_millis(ALL * 8 / 10 * 1000 / rate);
        assert!(
            cluster.drive_until(wire + Duration::from_secs(4), |cluster| {
                let all = here(cluster, 1);
                all > 0 && here(cluster, 2) >= all
            }),
            "begun after {late} ms: {} of {}",
            here(&cluster, 2),
            here(&cluster, 1)
        );
        println!("begun after {late} ms: {:?}", since(&cluster, begin));
    }
}

#[test]
fn what_is_stuck_gives_way_to_what_can_be_had() {
    let mut cluster = cluster(3, Duration::from_millis(5));
    let source = cluster.machines[0].address;
    cluster.network.uplink_of = Some((source, 300_000));
    // More than are in transit at once.
    for number in 0..100 {
        let path = format!("lost{number}");
        write(&cluster, 0, path.as_bytes(), &random(200_000 + number));
    }
    cluster.drive(Duration::from_secs(8));
    cluster.crash(0, false);
    cluster.drive(Duration::from_secs(20));
    let said = |cluster: &Cluster, place| {
        let errors = errors(cluster, place);
        errors
            .iter()
            .any(|error| error.contains("no connected peer has it now"))
    };
    assert!(said(&cluster, 1) && said(&cluster, 2));
    for number in 0..5 {
        let path = format!("fresh{number}");
        write(&cluster, 2, path.as_bytes(), &random(300_000 + number));
    }
    let begin = cluster.now();
    assert!(cluster.drive_until(Duration::from_secs(10), |cluster| {
        (0..5).all(|number| has(cluster, 1, format!("fresh{number}").as_bytes()))
    }));
    println!("others come {:?} later", since(&cluster, begin));
    assert!(cluster.start(0));
    assert!(cluster.drive_until(Duration::from_secs(300), Cluster::in_sync));
    assert!(
        !said(&cluster, 1) && !said(&cluster, 2),
        "{:?}",
        errors(&cluster, 1)
    );
}

#[test]
fn what_is_stuck_does_not_keep_out_what_replaces_it() {
    let mut cluster = parted(3, |place, part| part / 40 % 3 == place - 1);
    assert!(cluster.start(1) && cluster.start(2));
    // By now anybody is asked for the rest ever more seldom.
    cluster.drive(Duration::from_secs(40));
    assert!(here(&cluster, 1) > ALL / 2 && here(&cluster, 2) > ALL / 2);
    // It is written anew by one that never had it whole.
    write(&cluster, 2, b"file", &random(SIZE));
    assert!(cluster.drive_until(Duration::from_secs(10), |cluster| {
        has(cluster, 1, b"file") && has(cluster, 2, b"file")
    }));
    assert!(cluster.start(0));
    assert!(cluster.drive_until(Duration::from_secs(300), Cluster::in_sync));
}

#[test]
fn who_tells_of_what_it_refuses_is_asked_ever_more_rarely() {
    for micros in [100, 5000, 50_000] {
        let mut cluster = parted(3, |place, part| part < if place == 1 { 900 } else { 100 });
        cluster.network.weather.delay = Duration::from_micros(micros);
        cluster.network.uplink = 500_000;
        assert!(cluster.start(1) && cluster.start(2));
        assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
            here(cluster, 2) > ALL * 15 / 100
        }));
        cluster.machines[1].disk.fail(1000, Rng::new(5));
        let before = cluster.network.sent();
        cluster.drive(Duration::from_secs(30));
        let sent = cluster.network.sent() - before;
        println!("{micros} us: {sent} datagrams");
        // What was under way, and a heartbeat a second of each.
        assert!(sent < 400, "{micros} us: {sent} datagrams");
        cluster.machines[1].disk.fail(0, Rng::new(5));
        let before = here(&cluster, 2);
        assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
            here(cluster, 2) > before + SIZE / 8
        }));
    }
}

#[test]
fn what_a_user_brings_to_its_path_with_its_time_is_told_too() {
    for early in [900, 40_000] {
        let mut cluster = parted(3, |place, part| part / 40 % 3 == place - 1);
        let there = cluster.machines[0].disk.tree(Place::Share);
        let Some(Node::File(_, mtime, _)) = there.get(&b"file"[..]) else {
            panic!("no file");
        };
        assert!(cluster.start(1) && cluster.start(2));
        cluster.drive(Duration::from_millis(early));
        write(&cluster, 1, b"file", &random(ALL));
        let disk = &cluster.machines[1].disk;
        disk.user_touch(b"file", *mtime).unwrap();
        let all = cluster.drive_until(Duration::from_secs(5), |cluster| {
            has(cluster, 2, b"file") && here(cluster, 1) == 0
        });
        assert!(all && errors(&cluster, 1).is_empty(), "after {early} ms");
    }
}

#[test]
fn what_comes_lands_though_there_is_no_room_to_copy_what_a_user_brings() {
    let mut cluster = cluster(2, Duration::from_millis(5));
    cluster.network.uplink_of = Some((cluster.machines[0].address, 1_000_000));
    write(&cluster, 0, b"file", &random(ALL));
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        here(cluster, 1) >= ALL / 2
    }));
    let disk = &cluster.machines[1].disk;
    disk.set_capacity((disk.used() + ALL) * 8 / 7 + ALL / 4);
    write(&cluster, 1, b"copy", &random(ALL));
    assert!(cluster.drive_until(Duration::from_secs(20), |cluster| {
        has(cluster, 1, b"file")
    }));
}

#[test]
fn what_is_stuck_ends_when_it_is_deleted() {
    let mut cluster = parted(3, |place, part| part / 40 % 3 == place - 1);
    assert!(cluster.start(1) && cluster.start(2));
    cluster.drive(Duration::from_secs(40));
    assert!(here(&cluster, 1) > 0 && here(&cluster, 2) > 0);
    cluster.set_clocks();
    let disk = &cluster.machines[0].disk;
    disk.user_remove_all(b"file").unwrap();
    assert!(cluster.start(0));
    assert!(cluster.drive_until(Duration::from_secs(10), |cluster| {
        cluster.in_sync() && (1..3).all(|place| here(cluster, place) == 0)
    }));
    assert!(errors(&cluster, 1).is_empty() && errors(&cluster, 2).is_empty());
}
