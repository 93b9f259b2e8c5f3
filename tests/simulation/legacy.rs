//! The bridge to ancestors, with a model of one.

mod hazards;

use crate::fetching::{errors, random};
use peer_mio::clock::Now;
use peer_mio::disk::Place;
use proto_core::engine::Limits;
use proto_core::index::entry::Timestamp;
use proto_core::legacy::{
    BLOCK_PORT, INFORMATION_PORT, MAX_INFORMATION_REPLY, MAX_SERVED, Request,
};
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::original::Original;
use sim::rng::Rng;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const SOON: Duration = Duration::from_secs(120);

fn ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

/// So many tinypeers, and ancestors up to three in all.
fn group(tinypeers: u8, seed: u64) -> Cluster {
    limited_group(tinypeers, seed, Limits::default())
}

fn limited_group(tinypeers: u8, seed: u64, limits: Limits) -> Cluster {
    let mut cluster = Cluster::new(tinypeers, &mut Rng::new(seed));
    cluster.limits = limits;
    let now = cluster.now();
    for number in tinypeers + 1..=3 {
        let others: Vec<Ipv4Addr> = (1..=3).filter(|other| *other != number).map(ip).collect();
        let original = Original::new(now, ip(number), [others[0], others[1]]);
        cluster.originals.push(original);
    }
    for place in 0..usize::from(tinypeers) {
        cluster.machines[place].ancestors = (tinypeers + 1..=3).map(ip).collect();
        assert!(cluster.start(place));
    }
    cluster
}

fn has(cluster: &Cluster, place: usize, path: &str, bytes: &[u8]) -> bool {
    let tree = cluster.machines[place].disk.tree(Place::Share);
    matches!(tree.get(path.as_bytes()), Some(Node::File(_, _, found)) if found == bytes)
}

/// All have just this.
fn all_have(cluster: &Cluster, files: &[(&str, Vec<u8>)]) -> bool {
    let machines = 0..cluster.machines.len();
    files.iter().all(|(path, bytes)| {
        machines
            .clone()
            .all(|place| has(cluster, place, path, bytes))
            && cluster
                .originals
                .iter()
                .all(|original| original.read(path) == Some(bytes))
    })
}

fn conflicts(cluster: &Cluster) -> usize {
    let trees = cluster
        .machines
        .iter()
        .map(|machine| machine.disk.tree(Place::Share));
    trees
        .flat_map(BTreeMap::into_keys)
        .filter(|path| String::from_utf8_lossy(path).contains(".conflict-"))
        .count()
}

#[track_caller]
fn wait(cluster: &mut Cluster, files: &[(&str, Vec<u8>)]) {
    let came = cluster.drive_until(SOON, |cluster| all_have(cluster, files));
    let left: Vec<_> = cluster
        .originals
        .iter()
        .map(|original| {
            (
                original.add_times,
                original.share.keys().collect::<Vec<_>>(),
            )
        })
        .collect();
    assert!(came, "{left:?} {:?}", errors(cluster, 0));
}

#[test]
fn what_each_side_writes_gets_everywhere() {
    for tinypeers in [1, 2] {
        let mut cluster = group(tinypeers, u64::from(tinypeers));
        let mut files = vec![("ours", random(300_000))];
        cluster.machines[0]
            .disk
            .user_write(b"ours", &files[0].1)
            .unwrap();
        wait(&mut cluster, &files);
        files.push(("folder/theirs", random(200_000)));
        let now = cluster.now();
        let last = cluster.originals.last_mut().unwrap();
        last.write(now, "folder/theirs", &files[1].1);
        wait(&mut cluster, &files);
        assert_eq!(conflicts(&cluster), 0);
    }
}

#[test]
fn a_file_that_an_ancestor_changes_soon_is_a_change_and_no_conflict() {
    for seed in 0..150 {
        let mut cluster = group(2, seed);
        let mut rng = Rng::new(seed);
        cluster.drive(Duration::from_secs(3));
        for version in 0..4_u8 {
            let now = cluster.now();
            cluster.originals[0].write(now, "note", &[version; 9]);
            cluster.drive(Duration::from_millis(rng.below(8000)));
        }
        wait(&mut cluster, &[("note", vec![3; 9])]);
        assert_eq!(conflicts(&cluster), 0, "seed {seed}");
    }
}

#[test]
fn two_bridges_fetch_once() {
    let mut cluster = group(2, 5);
    // Not at a whole second: a time like that tells nothing.
    cluster.drive(Duration::from_millis(3_210));
    let bytes = random(3_000_000);
    let now = cluster.now();
    cluster.originals[0].write(now, "large", &bytes);
    wait(&mut cluster, &[("large", bytes)]);
    cluster.drive(Duration::from_secs(30));
    assert!(
        cluster.originals[0].served < 3_500_000,
        "{}",
        cluster.originals[0].served
    );
    // Who led goes; the other goes on, and knows what the ancestor has.
    for place in 0..2 {
        cluster.crash(place, false);
        let bytes = [7 + place as u8; 100];
        let now = cluster.now();
        cluster.originals[0].write(now, "small", &bytes);
        let came = cluster.drive_until(SOON, |cluster| has(cluster, 1 - place, "small", &bytes));
        assert!(came, "{place}");
        assert!(cluster.start(place));
        wait(&mut cluster, &[("small", bytes.to_vec())]);
    }
    assert!(
        cluster.originals[0].served < 4_000_000,
        "{}",
        cluster.originals[0].served
    );
    assert_eq!(conflicts(&cluster), 0);
}

#[test]
fn through_loss_all_of_an_ancestor_comes_and_nothing_of_ours_goes() {
    for seed in 0..10 {
        let mut cluster = group(1, seed);
        cluster.network.weather.loss = 50;
        cluster.network.weather.duplication = 10;
        let ours = random(200_000);
        cluster.machines[0].disk.user_write(b"ours", &ours).unwrap();
        cluster.drive(Duration::from_secs(5));
        for (place, name) in ["second", "third"].into_iter().enumerate() {
            let now = cluster.now();
            cluster.originals[place].write(now, name, &random(500_000 + place as u64));
        }
        let came = cluster.drive_until(SOON, |cluster| {
            has(cluster, 0, "second", &random(500_000))
                && has(cluster, 0, "third", &random(500_001))
        });
        assert!(came, "seed {seed}: {:?}", errors(&cluster, 0));
        // They begin anew with nothing.
        for place in 0..2 {
            let now = cluster.now();
            let original = &mut cluster.originals[place];
            let others = [ip(1), ip(if original.ip == ip(2) { 3 } else { 2 })];
            *original = Original::new(now, original.ip, others);
        }
        cluster.drive(Duration::from_secs(60));
        assert!(has(&cluster, 0, "ours", &ours), "seed {seed}");
        assert!(has(&cluster, 0, "second", &random(500_000)), "seed {seed}");
        assert!(has(&cluster, 0, "third", &random(500_001)), "seed {seed}");
        assert_eq!(conflicts(&cluster), 0, "seed {seed}");
    }
}

#[test]
fn limits_hold_for_what_goes_over_the_bridge() {
    const RATE: u64 = 200_000;
    let limits = Limits {
        up: Some(RATE),
        down: Some(RATE),
    };
    let mut cluster = limited_group(1, 1, limits);
    let ours = random(1_000_000);
    cluster.machines[0].disk.user_write(b"ours", &ours).unwrap();
    let begin = cluster.now();
    let address = cluster.machines[0].address;
    wait(&mut cluster, &[("ours", ours)]);
    // Both have fetched it.
    let took = cluster.now().saturating_since(begin);
    let sent = cluster.network.sent_by(address);
    assert!(sent > 2_000_000, "{sent}");
    assert!(took > Duration::from_secs(9), "{took:?}");
    let theirs = random(1_100_000);
    let now = cluster.now();
    cluster.originals[0].write(now, "theirs", &theirs);
    let came = cluster.drive_until(SOON, |cluster| has(cluster, 0, "theirs", &theirs));
    let took = cluster.now().saturating_since(now);
    assert!(came && took > Duration::from_secs(5), "{took:?}");
}

/// A bridge, and what is sent to it by hand.
struct Bridged {
    cluster: Cluster,
}

impl Bridged {
    /// A bridge to two ancestors of which nothing is heard.
    fn new() -> Self {
        let mut cluster = group(1, 1);
        cluster.originals.clear();
        cluster.drive(Duration::from_secs(2));
        Self { cluster }
    }

    /// A datagram comes to the information port, or to that for blocks.
    fn send(&mut self, to: u16, from: (Ipv4Addr, u16), datagram: &[u8]) {
        let now = Now {
            mono: self.cluster.now(),
            wall: Timestamp::default(),
        };
        let bridge = self.cluster.machines[0].bridge.as_mut().unwrap();
        match to {
            INFORMATION_PORT => bridge.handle_information(now, from.into(), datagram),
            _ => bridge.handle_blocks(now, from.into(), datagram),
        }
    }

    /// Both answers of a round say this.
    fn answer(&mut self, text: &str) {
        let reply = [&[0, 0, 0, 1, 0, 0, 0, 1], text.as_bytes()].concat();
        // Until it asks.
        self.cluster.drive(Duration::from_millis(1100));
        for _ in 0..2 {
            self.send(INFORMATION_PORT, (ip(2), INFORMATION_PORT), &reply);
            self.cluster.drive(Duration::from_millis(10));
        }
    }

    /// What was dropped, and what was rejected of the first ancestor.
    fn counts(&mut self) -> (u64, u64) {
        self.cluster.drive(Duration::from_millis(500));
        let status = self.cluster.machines[0].peer.as_ref().unwrap().status();
        let bridge = status.bridge.unwrap();
        (bridge.dropped, bridge.ancestors[0].rejected)
    }
}

/// Kind and bytes of each recorded datagram, as far as they were recorded.
fn vectors() -> Vec<(String, Vec<u8>)> {
    let text = include_str!("../../proto-core/tests/legacy_vectors.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let digits = fields[3].as_bytes().chunks(2);
            let byte = |two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
            let mut bytes: Vec<u8> = digits.map(byte).collect();
            bytes.resize(fields[2].parse().unwrap(), 0);
            (fields[1].to_owned(), bytes)
        })
        .collect()
}

#[test]
fn hostile_variants_of_every_datagram_are_rejected_and_counted() {
    let mut bridged = Bridged::new();
    let mut expected = bridged.counts();
    for (kind, bytes) in vectors() {
        let (to, port) = match kind.as_str() {
            "info_request" => continue,
            "notice" => (INFORMATION_PORT, 40_000),
            "info_reply" => (INFORMATION_PORT, INFORMATION_PORT),
            kind if kind.ends_with("request") => (BLOCK_PORT, 40_000),
            _ => (BLOCK_PORT, BLOCK_PORT),
        };
        let mut hostile = vec![[&bytes[..], &[0xff]].concat()];
        if to == BLOCK_PORT {
            // Bytes behind a request are ignored.
            hostile.clear();
            hostile.push(bytes[..7].to_vec());
            hostile.push([&[0xff; 4], &bytes[4..]].concat());
            hostile.push([&[0, 0, 0, 3], &bytes[4..]].concat());
        } else if port == INFORMATION_PORT {
            hostile.push(bytes[..7].to_vec());
        } else {
            hostile.push(vec![b'x'; 70_000]);
        }
        for datagram in hostile {
            bridged.send(to, (ip(2), port), &datagram);
            expected.1 += 1;
            assert_eq!(bridged.counts(), expected, "{kind}: {datagram:?}");
            // The same, and the good one, of a stranger.
            for datagram in [&datagram, &bytes] {
                bridged.send(to, (ip(9), port), datagram);
                expected.0 += 1;
            }
            assert_eq!(bridged.counts(), expected, "{kind}");
        }
    }
}

#[test]
fn hostile_dicts_are_rejected_and_counted() {
    let mut bridged = Bridged::new();
    let (dropped, mut rejected) = bridged.counts();
    let million = (0..1_000_000).map(|number| format!("'./share/{number}': 1.0, "));
    let million = format!("{{{}'./share/a': 1.0}}", million.collect::<String>());
    for text in [
        "__import__('os').system('touch evil')",
        "{'./share/a': __import__('os').system('touch evil')}",
        "{**{'./share/a': 1.0}}",
        "{'./share/a': 1.0",
        "{'./share/../../a': 1.0}",
        "{'/etc/passwd': 1.0}",
        &"{".repeat(60_000),
        &million,
    ] {
        bridged.answer(text);
        rejected += 1;
        assert_eq!(bridged.counts(), (dropped, rejected), "{text:.60}");
    }
    bridged.answer("{}");
    assert_eq!(bridged.counts(), (dropped, rejected));
    let share = bridged.cluster.machines[0].disk.tree(Place::Share);
    assert!(share.is_empty());
}

#[test]
fn only_named_addresses_are_answered_and_with_no_more_than_a_block() {
    let mut bridged = Bridged::new();
    for number in 0..1000 {
        let path = format!("{number:04}-{}", "x".repeat(100));
        let disk = &bridged.cluster.machines[0].disk;
        disk.user_write(path.as_bytes(), b"x").unwrap();
    }
    let large = random(100_000);
    let disk = &bridged.cluster.machines[0].disk;
    disk.user_write(b"large", &large).unwrap();
    bridged.cluster.drive(Duration::from_secs(5));
    // An ancestor has nothing and tells 1, so batch 2 is made for it.
    for _ in 0..8 {
        bridged.answer("{}");
    }
    let mut request = [0; 100];
    let name = "zip2.zip";
    let mut most = 0;
    for index in 0..10 {
        let wanted = match index {
            0 => Request::FileInformation { name },
            _ => Request::Block {
                index: index - 1,
                name,
            },
        };
        let len = wanted.emit(&mut request).unwrap();
        bridged.cluster.network.sent_to.clear();
        for from in [ip(2), ip(9)] {
            bridged.send(INFORMATION_PORT, (from, 40_000), b"");
            bridged.send(BLOCK_PORT, (from, 40_001), &request[..len]);
        }
        // With all that is sent later because nothing more is asked for, but for the first block.
        let patience = if index == 0 { 50 } else { 20_000 };
        bridged.cluster.drive(Duration::from_millis(patience));
        let sent_to = &bridged.cluster.network.sent_to;
        assert!(
            sent_to
                .keys()
                .all(|to| to.ip() == ip(2) || to.ip() == ip(3))
        );
        let told = sent_to[&(ip(2), 40_000).into()];
        assert!((15_000..=MAX_INFORMATION_REPLY).contains(&told), "{told}");
        let drawn = sent_to.get(&(ip(2), 40_001).into());
        most = most.max(drawn.copied().unwrap_or(0));
    }
    assert_eq!(most, MAX_SERVED);
}
