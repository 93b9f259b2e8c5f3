//! One index id, one history (docs/architecture.md, section 2): copies, snapshots and echoes.

use peer_mio::clock::Now;
use peer_mio::disk::Place;
use peer_mio::net::cipher::is_fast_at_aegis;
use peer_mio::peer::{Config, Flushing, Peer};
use peer_mio::watch::scan::Symlinks;
use proto_core::boundary::Mark;
use proto_core::engine::Limits;
use proto_core::index::entry::{IndexId, Timestamp};
use proto_core::time::{Duration, Instant};
use sim::cluster::Cluster;
use sim::disk::{Node, SimDisk};
use sim::rng::Rng;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

const SETTLE: Duration = Duration::from_secs(120);

/// Three peers with the files 0 to 9 of the first one, all told to all.
fn three() -> Cluster {
    let mut cluster = Cluster::new(3, &mut Rng::new(5));
    for place in 0..3 {
        assert!(cluster.start(place));
    }
    for number in 0..10 {
        write(&cluster, 0, &format!("f{number}"), "first");
    }
    settle(&mut cluster);
    // With the commit of this one the index notes that all have read the files before it.
    write(&cluster, 0, "g", "first");
    settle(&mut cluster);
    cluster
}

fn write(cluster: &Cluster, place: usize, path: &str, text: &str) {
    cluster.set_clocks();
    let disk = &cluster.machines[place].disk;
    disk.user_write(path.as_bytes(), text.as_bytes()).unwrap();
}

fn settle(cluster: &mut Cluster) {
    // Long enough for what was written to be picked up.
    cluster.drive(Duration::from_secs(3));
    assert!(cluster.drive_until(SETTLE, Cluster::in_sync));
}

fn index_id(cluster: &Cluster, place: usize) -> IndexId {
    cluster.machines[place].peer.as_ref().unwrap().index_id()
}

/// The text of every file, which must be the same on all machines.
fn texts(cluster: &Cluster) -> BTreeSet<(String, String)> {
    let mut all = cluster.machines.iter().map(|machine| {
        let nodes = machine.disk.tree(Place::Share);
        let files = nodes.into_iter().filter_map(|(path, node)| match node {
            Node::File(_, _, bytes) => Some((
                String::from_utf8(path).unwrap(),
                String::from_utf8(bytes).unwrap(),
            )),
            _ => None,
        });
        files.collect::<BTreeSet<_>>()
    });
    let first = all.next().unwrap();
    assert!(all.all(|other| other == first));
    first
}

fn text<'t>(texts: &'t BTreeSet<(String, String)>, path: &str) -> &'t str {
    &texts.iter().find(|(name, _)| name == path).unwrap().1
}

#[test]
fn a_machine_that_goes_back_to_a_snapshot_catches_up_without_a_conflict() {
    let mut cluster = three();
    let before = index_id(&cluster, 0);
    let snapshot = cluster.machines[0].disk.snapshot();
    write(&cluster, 0, "f1", "later");
    write(&cluster, 0, "new", "later");
    cluster.machines[0].disk.user_remove_all(b"f2").unwrap();
    settle(&mut cluster);
    cluster.crash(0, false);
    cluster.machines[0].disk = snapshot;
    assert!(cluster.start(0));
    settle(&mut cluster);
    let texts = texts(&cluster);
    assert_eq!(
        (text(&texts, "f1"), text(&texts, "new")),
        ("later", "later")
    );
    assert_eq!(
        texts.len(),
        11,
        "f2 stays deleted, and there is no copy: {texts:?}"
    );
    assert_ne!(index_id(&cluster, 0), before);
}

/// The first machine goes back to before it wrote a new version of a file, once others know of it and so many bytes came.
fn goes_back_while_others_fetch(until: u64) {
    let mut cluster = three();
    let snapshot = cluster.machines[0].disk.snapshot();
    let source = cluster.machines[0].address;
    cluster.network.uplink_of = Some((source, 100_000));
    let sent = cluster.network.bytes;
    let numbers: Vec<String> = (0..200_000).map(|number| format!("{number:x}")).collect();
    write(&cluster, 0, "f1", &numbers.concat());
    assert!(cluster.drive_until(SETTLE, |cluster| {
        let knows = |place: usize| pending(cluster, place) > 0;
        knows(1) && knows(2) && cluster.network.bytes - sent >= until
    }));
    cluster.crash(0, false);
    cluster.network.uplink_of = None;
    cluster.machines[0].disk = snapshot;
    cluster.drive(Duration::from_secs(100));
    // Nothing is given up while the one who told of it is away.
    assert_eq!((pending(&cluster, 1), pending(&cluster, 2)), (1, 1));
    assert!(cluster.start(0));
    assert!(cluster.drive_until(SETTLE, Cluster::in_sync));
    assert_eq!(text(&texts(&cluster), "f1"), "first");
    // All still hear of one another.
    write(&cluster, 1, "f1", "second");
    settle(&mut cluster);
    assert_eq!(text(&texts(&cluster), "f1"), "second");
}

fn pending(cluster: &Cluster, place: usize) -> u64 {
    let peer = cluster.machines[place].peer.as_ref();
    peer.map_or(0, |peer| peer.status().pending)
}

#[test]
fn what_nobody_has_any_more_is_not_waited_for() {
    goes_back_while_others_fetch(0);
}

#[test]
fn what_nobody_has_all_of_any_more_is_not_waited_for() {
    goes_back_while_others_fetch(300_000);
}

#[test]
fn what_was_changed_after_going_back_is_told_and_conflicts_with_what_was_lost() {
    let mut cluster = three();
    let snapshot = cluster.machines[0].disk.snapshot();
    for number in 1..6 {
        write(&cluster, 0, &format!("f{number}"), "later");
    }
    settle(&mut cluster);
    for place in 0..3 {
        cluster.crash(place, false);
    }
    cluster.machines[0].disk = snapshot;
    assert!(cluster.start(0));
    write(&cluster, 0, "f1", "after going back");
    write(&cluster, 0, "new", "after going back");
    cluster.drive(Duration::from_secs(3));
    assert!(cluster.start(1) && cluster.start(2));
    settle(&mut cluster);
    let texts = texts(&cluster);
    assert_eq!(text(&texts, "new"), "after going back");
    assert_eq!(text(&texts, "f2"), "later");
    let of_f1: BTreeSet<&str> = texts
        .iter()
        .filter(|(path, _)| path.starts_with("f1"))
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(of_f1, BTreeSet::from(["later", "after going back"]));
}

#[test]
fn what_is_new_after_going_back_comes_to_those_who_had_read_further() {
    for lives in 1..4 {
        let mut cluster = three();
        let snapshot = cluster.machines[0].disk.snapshot();
        write(&cluster, 0, "lost", "later");
        settle(&mut cluster);
        for place in 0..3 {
            cluster.crash(place, false);
        }
        for place in [1, 2] {
            cluster.machines[place]
                .disk
                .user_remove_all(b"lost")
                .unwrap();
        }
        cluster.machines[0].disk = snapshot;
        // Counted as what was lost, and more, before anybody is met.
        for life in 0..lives {
            assert!(cluster.start(0));
            for number in 0..3 {
                write(&cluster, 0, &format!("new {life} {number}"), "new");
            }
            cluster.drive(Duration::from_secs(3));
            cluster.crash(0, false);
        }
        for place in 0..3 {
            assert!(cluster.start(place));
        }
        settle(&mut cluster);
        assert_eq!(texts(&cluster).len(), 11 + 3 * lives, "{lives} lives");
    }
}

#[test]
fn an_index_that_went_back_and_wrote_more_than_it_had_lost_is_found_out() {
    let mut cluster = three();
    let before = index_id(&cluster, 0);
    let snapshot = cluster.machines[0].disk.snapshot();
    write(&cluster, 0, "f1", "later");
    settle(&mut cluster);
    for place in 0..3 {
        cluster.crash(place, false);
    }
    cluster.machines[0].disk = snapshot;
    assert!(cluster.start(0));
    for path in ["new1", "new2", "new3"] {
        write(&cluster, 0, path, "after going back");
    }
    cluster.drive(Duration::from_secs(3));
    assert!(cluster.start(1) && cluster.start(2));
    settle(&mut cluster);
    assert_ne!(index_id(&cluster, 0), before);
    let texts = texts(&cluster);
    assert_eq!(text(&texts, "f1"), "later");
    for path in ["new1", "new2", "new3"] {
        assert_eq!(text(&texts, path), "after going back");
    }
}

#[test]
fn a_folder_copied_with_its_index_counts_under_an_id_of_its_own() {
    let mut cluster = three();
    let id = index_id(&cluster, 0);
    for place in 0..3 {
        cluster.crash(place, false);
    }
    cluster.machines[2].disk = cluster.machines[0].disk.copy();
    assert!(cluster.start(0) && cluster.start(2));
    assert_eq!(index_id(&cluster, 0), id);
    assert_ne!(index_id(&cluster, 2), id);
    assert!(cluster.start(1));
    settle(&mut cluster);
    assert_eq!(texts(&cluster).len(), 11);
}

#[test]
fn two_edits_under_one_cloned_index_are_both_kept() {
    let mut cluster = three();
    for place in 0..3 {
        cluster.crash(place, false);
    }
    // A clone of the whole machine: not even the births differ.
    cluster.machines[2].disk = cluster.machines[0].disk.snapshot();
    let addresses: Vec<_> = cluster
        .machines
        .iter()
        .map(|machine| machine.address)
        .collect();
    cluster.network.cut(addresses[0], addresses[2]);
    cluster.network.cut(addresses[2], addresses[0]);
    assert!(cluster.start(0) && cluster.start(2));
    write(&cluster, 0, "f5", "of the original");
    write(&cluster, 2, "f5", "of the clone");
    cluster.drive(Duration::from_secs(3));
    assert_eq!(index_id(&cluster, 0), index_id(&cluster, 2));
    cluster.network.heal();
    assert!(cluster.start(1));
    settle(&mut cluster);
    assert_ne!(index_id(&cluster, 0), index_id(&cluster, 2));
    let texts = texts(&cluster);
    let of_f5: BTreeSet<&str> = texts
        .iter()
        .filter(|(path, _)| path.starts_with("f5"))
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(of_f5, BTreeSet::from(["of the original", "of the clone"]));
    assert_eq!(texts.len(), 12, "one conflict copy: {texts:?}");
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, number).into(), 22001)
}

fn lone(number: u8, key: u8, is_own_address: fn(SocketAddr) -> bool) -> Peer<SimDisk> {
    let config = Config {
        peers: vec![address(3 - number)],
        key: [key; 32],
        symlinks: Symlinks::Follow,
        scan_interval: Duration::from_secs(60),
        seed: [number; 32],
        receive_buffer: 2 * 1024 * 1024,
        datagram: 1200,
        aegis: is_fast_at_aegis(),
        max_delete: peer_mio::peer::guard::HALF,
        flushing: Flushing::default(),
        limits: Limits::default(),
        is_own_address,
    };
    Peer::start(SimDisk::new(), config, at(0), Box::new(|_| true))
        .unwrap()
        .peer
}

fn at(millis: u64) -> Now {
    Now {
        mono: Instant::from_micros(1_000_000 + millis * 1000),
        wall: Timestamp {
            sec: 1_700_000_000,
            nsec: 0,
        },
    }
}

/// What a peer has to say to its only other one.
fn said(peer: &mut Peer<SimDisk>, now: Now) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 65_507];
    let mut said = Vec::new();
    while peer.work(now) {}
    while let Some((_, transmit)) = peer.poll_transmit(now, &mut buffer) {
        said.extend(
            buffer[..transmit.len]
                .chunks(transmit.segment_size)
                .map(<[u8]>::to_vec),
        );
    }
    said
}

/// A peer whose every datagram comes back to it for some seconds.
fn echoed(is_own_address: fn(SocketAddr) -> bool) -> Peer<SimDisk> {
    let mut peer = lone(1, 7, is_own_address);
    for millis in (0..5000).step_by(50) {
        for mut datagram in said(&mut peer, at(millis)) {
            peer.handle_datagrams(
                at(millis),
                address(2),
                [&mut datagram[..]].into_iter(),
                Mark::None,
            );
        }
    }
    peer
}

#[test]
fn an_echo_without_the_key_is_no_peer() {
    let peer = echoed(|_| false);
    let status = peer.status();
    assert!(!status.peers[0].connected && !status.in_sync);
    assert_eq!(status.errors.len(), 1, "{:?}", status.errors);
    assert!(status.errors[0].contains("only sends back what it gets"));
}

#[test]
fn our_own_address_among_the_peers_does_not_keep_us_from_being_in_sync() {
    let status = echoed(|_| true).status();
    assert!(status.peers[0].connected && status.in_sync);
    assert!(status.errors.is_empty(), "{:?}", status.errors);
}

#[test]
fn two_keys_are_told_of_on_both_sides() {
    let (mut one, mut two) = (lone(1, 7, |_| false), lone(2, 8, |_| false));
    for millis in (0..5000).step_by(50) {
        for mut datagram in said(&mut one, at(millis)) {
            two.handle_datagrams(
                at(millis),
                address(1),
                [&mut datagram[..]].into_iter(),
                Mark::None,
            );
        }
        for mut datagram in said(&mut two, at(millis)) {
            one.handle_datagrams(
                at(millis),
                address(2),
                [&mut datagram[..]].into_iter(),
                Mark::None,
            );
        }
    }
    for peer in [one, two] {
        let status = peer.status();
        assert!(!status.peers[0].connected);
        assert_eq!(status.errors.len(), 1);
        assert!(status.errors[0].contains("does not use our key"));
    }
}
