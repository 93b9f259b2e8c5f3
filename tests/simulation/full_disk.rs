//! What has no room waits, what has gets on, and the trash goes only where that helps.

use crate::fetching::{SIZE, begin, cluster, errors, random, write};
use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;

/// Machines 0 and 1 with two old files of machine 0 in the trash of machine 1.
fn with_trash(sizes: [u64; 2]) -> Cluster {
    let mut cluster = cluster(2, Duration::from_millis(5));
    for size in sizes {
        write(&cluster, 0, b"old", &random(size));
        assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
        cluster.drive(Duration::from_secs(2));
        assert!(cluster.in_sync());
        cluster.set_clocks();
        cluster.machines[0].disk.user_remove_all(b"old").unwrap();
        cluster.drive(Duration::from_secs(2));
        assert!(cluster.in_sync());
    }
    assert_eq!(trash(&cluster), sizes);
    cluster
}

/// Sizes of the files in the trash of machine 1, the oldest first.
fn trash(cluster: &Cluster) -> Vec<u64> {
    let tree = cluster.machines[1].disk.tree(Place::Trash);
    let sizes = tree.values().filter_map(|node| match node {
        sim::disk::Node::File(_, _, bytes) => Some(bytes.len() as u64),
        _ => None,
    });
    sizes.collect()
}

/// Lets machine 1 have so much room beyond what it has used.
fn leave(cluster: &Cluster, free: u64) {
    let disk = &cluster.machines[1].disk;
    disk.set_capacity(disk.used() + free);
}

#[test]
fn what_is_reserved_for_a_file_is_not_asked_for_again() {
    let mut cluster = with_trash([1000, 2000]);
    // Once, with an eighth of the disk left.
    leave(&cluster, SIZE * 3 / 2);
    begin(&mut cluster, SIZE / 2);
    cluster.crash(1, false);
    assert!(cluster.start(1));
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    assert_eq!(trash(&cluster), [1000, 2000]);
    assert_eq!(errors(&cluster, 1), Vec::<String>::new());
}

#[test]
fn what_can_never_fit_leaves_the_trash_alone_and_no_error_when_it_is_over() {
    let mut cluster = with_trash([1_000_000, 2_000_000]);
    leave(&cluster, SIZE / 2);
    write(&cluster, 0, b"file", &random(SIZE));
    cluster.drive(Duration::from_secs(100));
    assert_eq!(trash(&cluster), [1_000_000, 2_000_000]);
    let sentences = errors(&cluster, 1);
    assert!(sentences.len() == 1 && sentences[0].contains("nearly full"));
    cluster.set_clocks();
    cluster.machines[0].disk.user_remove_all(b"file").unwrap();
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    assert_eq!(errors(&cluster, 1), Vec::<String>::new());
}

#[test]
fn the_oldest_trash_makes_room_and_no_more_of_it_than_is_needed() {
    let mut cluster = with_trash([4_000_000, 2_000_000]);
    // An eighth stays free, so a third of the older one is missing.
    leave(&cluster, SIZE);
    write(&cluster, 0, b"file", &random(SIZE));
    cluster.drive(Duration::from_secs(2));
    assert!(cluster.drive_until(Duration::from_secs(60), Cluster::in_sync));
    let file = cluster.machines[1].disk.tree(Place::Share);
    assert!(file.contains_key(b"file".as_slice()));
    assert_eq!(trash(&cluster), [2_000_000]);
}
