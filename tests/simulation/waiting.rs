//! Complete contents that wait in `download/` until they land.

use crate::bundles::{files, modes};
use crate::fetching::{cluster, errors, has, holds, random, write};
use peer_mio::disk::{At, Disk, DiskFile, Place};
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use std::collections::BTreeSet;

/// Whether a file of this size waits on machine 1 to land.
fn waits(cluster: &Cluster, size: usize) -> bool {
    let tree = cluster.machines[1].disk.tree(Place::Download);
    let is_whole = |node| matches!(node, Node::File(_, _, bytes) if bytes.len() == size);
    tree.into_values().any(is_whole) && !has(cluster, 1, b"file")
}

/// What is still to land on machine 1.
fn pending(cluster: &Cluster) -> u64 {
    let peer = cluster.machines[1].peer.as_ref();
    peer.map_or(0, |peer| peer.status().pending)
}

#[test]
fn what_waits_while_the_index_fails_can_be_fetched_from_where_it_lands() {
    // The small one waits for the large one beside it, the other one for its flush.
    for (size, beside) in [(50_000, 20_000_000), (3_000_000, 0)] {
        let mut cluster = cluster(3, Duration::from_millis(50));
        cluster.crash(2, false);
        cluster.slices = 1;
        write(&cluster, 0, b"beside", &random(beside));
        let bytes = random(size);
        write(&cluster, 0, b"file", &bytes);
        let soon = Duration::from_secs(20);
        assert!(cluster.drive_until(soon, |cluster| pending(cluster) > 0));
        // What is pending is durable with the first commit, its recipe with the one that fails.
        write(&cluster, 1, b"first note", b"first");
        assert!(cluster.drive_until(soon, |cluster| waits(cluster, bytes.len())));
        let disk = cluster.machines[1].disk.handle();
        disk.refuse_index(true);
        write(&cluster, 1, b"note", b"note");
        let failed = |cluster: &Cluster| errors(cluster, 1).iter().any(|it| it.contains("index"));
        assert!(cluster.drive_until(Duration::from_millis(90), failed));
        assert!(waits(&cluster, bytes.len()), "{size}: it has landed");
        disk.refuse_index(false);
        let bound = Duration::from_secs(120);
        assert!(cluster.drive_until(bound, |cluster| {
            holds(cluster, 1, b"file", &bytes) && has(cluster, 0, b"note") && pending(cluster) == 0
        }));
        cluster.crash(0, false);
        assert!(cluster.start(2));
        let came = cluster.drive_until(bound, |cluster| holds(cluster, 2, b"file", &bytes));
        assert!(came, "{size}: {:?}", errors(&cluster, 2));
    }
}

/// Machine 0 writes files with this mode, of which one waits on machine 1 with it; its name there.
fn one_waits(cluster: &mut Cluster, mode: u16, size: u64) -> Vec<u8> {
    for number in 0..100 {
        let path = format!("file {number}");
        write(cluster, 0, path.as_bytes(), &random(size + number));
        let disk = &cluster.machines[0].disk;
        disk.user_chmod(path.as_bytes(), mode).unwrap();
    }
    cluster.slices = 1;
    let find = |cluster: &Cluster| {
        let tree = cluster.machines[1].disk.tree(Place::Download);
        let mut files = tree.into_iter();
        files.find(|(_, node)| matches!(node, Node::File(has, ..) if *has == mode))
    };
    let soon = Duration::from_secs(60);
    assert!(cluster.drive_until(soon, |cluster| find(cluster).is_some()));
    find(cluster).unwrap().0
}

#[test]
fn what_somebody_writes_to_a_file_that_waits_is_a_change() {
    for (mode, size) in [(0o666, 3_000), (0o644, 3_000), (0o644, 2_000_000)] {
        let mut cluster = cluster(2, Duration::from_millis(5));
        let disk = cluster.machines[1].disk.handle();
        disk.chmod_download(0o755).unwrap();
        let name = one_waits(&mut cluster, mode, size);
        let at = At {
            place: Place::Download,
            path: &name,
        };
        disk.create(at)
            .unwrap()
            .write_all_at(0, &[b'x'; 100])
            .unwrap();
        assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
        cluster.drive(Duration::from_secs(2));
        assert!(cluster.in_sync());
        assert!(files(&cluster, 0) == files(&cluster, 1), "{mode:o} {size}");
    }
}

#[test]
fn what_waits_when_the_peer_ends_is_left_to_us_alone() {
    let mut cluster = cluster(2, Duration::from_millis(5));
    one_waits(&mut cluster, 0o644, 3_000);
    cluster.machines[1].peer.as_mut().unwrap().shut_down();
    assert_eq!(modes(&cluster, 1, Place::Download), BTreeSet::from([0o600]));
}

#[test]
fn what_could_not_land_lands_later_though_its_source_is_gone() {
    // With the announcement, in a bundle or not, of several chunks.
    for (size, others) in [(100, 0), (5_000, 0), (5_000, 20), (50_000, 20)] {
        let mut cluster = cluster(3, Duration::from_millis(5));
        write(&cluster, 0, b"file", b"old");
        assert!(cluster.drive_until(Duration::from_secs(30), Cluster::in_sync));
        cluster.drive(Duration::from_secs(2));
        cluster.crash(2, false);
        let disk = cluster.machines[1].disk.handle();
        disk.refuse_names_in_downloads(true);
        let bytes = random(size);
        write(&cluster, 0, b"file", &bytes);
        for number in 0..others {
            let path = format!("other {number}");
            write(&cluster, 0, path.as_bytes(), &random(1_000 + number));
        }
        let refused = |cluster: &Cluster| {
            let errors = errors(cluster, 1);
            errors.iter().any(|it| it.contains("cannot be landed"))
        };
        assert!(cluster.drive_until(Duration::from_secs(30), refused));
        cluster.crash(0, false);
        disk.refuse_names_in_downloads(false);
        assert!(cluster.start(2));
        for place in [1, 2] {
            let came = cluster.drive_until(Duration::from_secs(200), |cluster| {
                holds(cluster, place, b"file", &bytes)
            });
            assert!(came, "{size} {others} {place}: {:?}", errors(&cluster, 1));
        }
    }
}
