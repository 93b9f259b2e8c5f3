//! Transfers that are broken off: what they cost while nobody can serve them, and when they go on.

use crate::fetching::{SIZE, begin, begin_of, cluster, errors, here, random, write};
use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::rng::Rng;

#[test]
fn what_waits_for_its_only_source_costs_no_reading_and_goes_on_where_it_was() {
    let mut cluster = cluster(2, Duration::from_millis(5));
    begin(&mut cluster, SIZE / 2);
    cluster.crash(0, false);
    cluster.drive(Duration::from_secs(60));
    assert_eq!(cluster.machines[1].disk.downloads_read(), 0);
    let sent = cluster.network.bytes;
    assert!(cluster.start(0));
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    // Verified chunks are neither read nor asked for again.
    assert_eq!(cluster.machines[1].disk.downloads_read(), 0);
    let sent = cluster.network.bytes - sent;
    assert!(sent < SIZE * 6 / 10, "{sent} bytes for the second half");
}

#[test]
fn a_partial_file_that_somebody_wrote_to_is_verified_again() {
    let mut cluster = cluster(2, Duration::from_millis(5));
    begin(&mut cluster, SIZE / 2);
    cluster.crash(0, false);
    cluster.drive(Duration::from_secs(10));
    cluster.machines[1].disk.scribble(Place::Download, 1000);
    assert!(cluster.start(0));
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    assert!(cluster.machines[1].disk.downloads_read() > SIZE / 3);
    let tree = cluster.machines[1].disk.tree(Place::Share);
    assert_eq!(tree, cluster.machines[0].disk.tree(Place::Share));
}

#[test]
fn a_file_that_its_user_deletes_while_it_is_fetched_leaves_no_error() {
    let mut cluster = cluster(2, Duration::from_millis(20));
    begin(&mut cluster, SIZE / 4);
    cluster.set_clocks();
    cluster.machines[0].disk.user_remove_all(b"file").unwrap();
    // The requests are refused before the deletion is told of.
    cluster.drive(Duration::from_secs(20));
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    assert_eq!(errors(&cluster, 1), Vec::<String>::new());
}

#[test]
fn what_no_connected_peer_has_is_tried_ever_more_rarely_and_at_once_when_one_connects() {
    let mut cluster = cluster(3, Duration::from_millis(5));
    // So large that the two have not all of it between them.
    begin_of(&mut cluster, 5 * SIZE, SIZE / 2);
    cluster.crash(0, false);
    cluster.drive(Duration::from_secs(10));
    let sentence = "no connected peer has it now";
    for place in [1, 2] {
        let errors = errors(&cluster, place);
        assert!(
            errors.iter().any(|error| error.contains(sentence)),
            "{errors:?}"
        );
    }
    let before = cluster.network.sent();
    cluster.drive(Duration::from_secs(300));
    // A heartbeat a second of each, and an initiation to the one that is away every two seconds.
    let others = cluster.network.sent() - before - 2 * 300 - 2 * 150;
    assert!(others < 200, "{others} datagrams for nothing");
    assert!(cluster.start(0));
    assert!(cluster.drive_until(Duration::from_secs(20), Cluster::in_sync));
    for place in [0, 1, 2] {
        assert_eq!(errors(&cluster, place), Vec::<String>::new());
    }
}

#[test]
fn a_power_cut_costs_the_last_seconds_of_a_long_transfer() {
    // A round trip takes so long that the transfer takes ten seconds.
    let mut cluster = cluster(2, Duration::from_millis(300));
    begin(&mut cluster, SIZE * 3 / 4);
    cluster.crash(1, true);
    let sent = cluster.network.bytes;
    assert!(cluster.start(1));
    assert!(cluster.drive_until(Duration::from_secs(20), |cluster| {
        here(cluster, 1) >= SIZE / 2
    }));
    let sent = cluster.network.bytes - sent;
    assert!(sent < SIZE * 4 / 10, "{sent} bytes for what was flushed");
    assert!(cluster.drive_until(Duration::from_secs(120), Cluster::in_sync));
}

#[test]
fn a_file_that_a_power_cut_damaged_does_not_replace_the_good_one_elsewhere() {
    let bytes: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut damaged = 0;
    for seed in 0..20 {
        let mut cluster = Cluster::new(2, &mut Rng::new(seed));
        assert!(cluster.start(0) && cluster.start(1));
        cluster.set_clocks();
        cluster.machines[0].disk.user_write(b"f", &bytes).unwrap();
        assert!(cluster.drive_until(Duration::from_secs(20), |cluster| {
            cluster.in_sync() && !cluster.machines[1].disk.tree(Place::Share).is_empty()
        }));
        cluster.crash(0, true);
        cluster.drive(Duration::from_secs(5));
        let after = cluster.machines[0]
            .disk
            .tree(Place::Share)
            .remove(&b"f"[..]);
        let Some(Node::File(_, _, after)) = after else {
            continue;
        };
        damaged += u32::from(after != bytes);
        // Also if the other one hears of it only after its attributes were changed.
        let away = seed % 2 == 1;
        if away {
            cluster.crash(1, false);
        }
        assert!(cluster.start(0));
        cluster.drive(Duration::from_secs(5));
        if away {
            cluster.machines[0].disk.user_chmod(b"f", 0o600).unwrap();
            cluster.drive(Duration::from_secs(1));
            assert!(cluster.start(1));
        }
        assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
        let trees = [0, 1].map(|place| cluster.machines[place].disk.tree(Place::Share));
        assert_eq!(trees[0], trees[1], "seed {seed}");
        let is_good = |node: &Node| matches!(node, Node::File(_, _, found) if *found == bytes);
        assert!(trees[0].values().any(is_good), "seed {seed}");
    }
    assert!(damaged > 3, "only {damaged}");
}

#[test]
fn what_comes_for_a_file_in_doubt_lands_though_another_is_written_all_the_time() {
    let mut cluster = Cluster::new(2, &mut Rng::new(4));
    assert!(cluster.start(0) && cluster.start(1));
    cluster.set_clocks();
    for name in [&b"f"[..], b"log"] {
        let disk = &cluster.machines[0].disk;
        disk.user_write(name, b"as it was").unwrap();
    }
    assert!(cluster.drive_until(Duration::from_secs(20), |cluster| {
        cluster.in_sync() && cluster.machines[1].disk.tree(Place::Share).len() == 2
    }));
    cluster.crash(0, false);
    let disk = &cluster.machines[1].disk;
    disk.user_write(b"f", b"changed meanwhile").unwrap();
    cluster.drive(Duration::from_secs(1));
    assert!(cluster.start(0));
    let landed = (0..40_u32).any(|line| {
        let disk = &cluster.machines[0].disk;
        disk.user_write(b"log", &line.to_le_bytes()).unwrap();
        cluster.drive(Duration::from_millis(15));
        let node = cluster.machines[0]
            .disk
            .tree(Place::Share)
            .remove(&b"f"[..]);
        matches!(node, Some(Node::File(_, _, bytes)) if bytes == b"changed meanwhile")
    });
    assert!(landed);
}

#[test]
fn what_had_landed_when_its_peer_was_killed_is_no_change_of_its_own() {
    let paths = (0..300_u64).map(|number| (number, format!("{}/{number}", number % 3)));
    let mut met = 0;
    for stop in 0..20 {
        let mut cluster = cluster(2, Duration::from_millis(5));
        for folder in [&b"0"[..], b"1", b"2"] {
            cluster.machines[0].disk.user_mkdir(folder).unwrap();
        }
        for (number, path) in paths.clone() {
            // Some of more than one chunk.
            write(&cluster, 0, path.as_bytes(), &random(100 + 100 * number));
        }
        cluster.machines[1].disk.stop_after(950 + 15 * stop);
        cluster.drive_until(Duration::from_secs(5), |cluster| {
            cluster.machines[1].disk.is_stopped()
        });
        cluster.crash(1, false);
        let landed = cluster.machines[1].disk.tree(Place::Share).len();
        met += u32::from((20..303).contains(&landed));
        // Now it has an older version of each, and nobody tells of that any more.
        for (number, path) in paths.clone() {
            write(&cluster, 0, path.as_bytes(), &random(50 + 100 * number));
        }
        cluster.drive(Duration::from_secs(1));
        let wanted = cluster.machines[0].disk.tree(Place::Share);
        assert!(cluster.start(1));
        // It knows so before anybody can tell it of the newer ones.
        let status = cluster.machines[1].peer.as_ref().unwrap().status();
        assert!(
            status.pending as usize + landed <= 303,
            "{} pending, {landed} had landed",
            status.pending
        );
        assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
        for machine in &cluster.machines {
            let tree = machine.disk.tree(Place::Share);
            let more = tree.keys().filter(|path| !wanted.contains_key(*path));
            assert_eq!(more.count(), 0, "conflict copies, {landed} had landed");
            assert!(tree == wanted, "an older version won, {landed} had landed");
        }
    }
    assert!(met > 10, "only {met}");
}
