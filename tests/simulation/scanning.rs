//! What scans cost, and what they make good.

use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::rng::Rng;

const SOON: Duration = Duration::from_secs(60);

fn two(files: usize) -> Cluster {
    let mut cluster = Cluster::new(2, &mut Rng::new(1));
    cluster.set_clocks();
    for number in 0..files {
        let (folder, file) = (
            format!("{}", number % 50),
            format!("{}/{number}", number % 50),
        );
        let disk = &cluster.machines[0].disk;
        let _there = disk.user_mkdir(folder.as_bytes());
        disk.user_write(file.as_bytes(), file.as_bytes()).unwrap();
    }
    assert!(cluster.start(0) && cluster.start(1));
    assert!(cluster.drive_until(Duration::from_secs(300), Cluster::in_sync));
    cluster
}

fn is_on_both(cluster: &Cluster, path: &[u8], wanted: &[u8]) -> bool {
    cluster.machines.iter().all(|machine| {
        let node = machine.disk.tree(Place::Share).remove(path);
        matches!(node, Some(Node::File(_, _, bytes)) if bytes == wanted)
    })
}

#[test]
fn what_was_indexed_just_now_is_read_again_only_if_the_power_was_off() {
    for power in [false, true] {
        let mut cluster = two(50);
        let read = |cluster: &Cluster| cluster.machines[0].disk.share_read();
        let before = read(&cluster);
        if !power {
            cluster.machines[0].peer.as_mut().unwrap().shut_down();
        }
        cluster.crash(0, power);
        assert!(cluster.start(0));
        assert!(cluster.drive_until(SOON, Cluster::in_sync));
        assert_eq!(read(&cluster) > before, power);
    }
}

#[test]
fn a_start_with_unchanged_files_reads_none_of_them() {
    let mut cluster = two(2_000);
    // Until the index knows that the disk has them all.
    cluster.drive(Duration::from_secs(400));
    for place in 0..2 {
        cluster.machines[place].peer.as_mut().unwrap().shut_down();
        cluster.crash(place, false);
    }
    let read = |cluster: &Cluster| [0, 1].map(|place| cluster.machines[place].disk.share_read());
    let before = read(&cluster);
    assert!(before[0] > 0);
    assert!(cluster.start(0) && cluster.start(1));
    assert!(cluster.drive_until(SOON, Cluster::in_sync));
    // Not by the start's scan, nor by later ones.
    cluster.drive(Duration::from_secs(150));
    assert_eq!(read(&cluster), before);
    // What did change is read, and nothing else.
    cluster.set_clocks();
    cluster.machines[0]
        .disk
        .user_write(b"7/7", b"changed")
        .unwrap();
    assert!(cluster.drive_until(SOON, |cluster| is_on_both(cluster, b"7/7", b"changed")));
    cluster.drive(Duration::from_secs(1));
    let after = read(&cluster);
    assert!(
        (1..=100).contains(&(after[0] - before[0])),
        "{after:?} {before:?}"
    );
}

#[test]
fn each_folder_of_a_tree_that_a_scan_finds_is_listed_once() {
    let mut cluster = two(10);
    let disk = &cluster.machines[0].disk;
    let before = disk.listed();
    disk.user_mkdir(b"new").unwrap();
    for folder in 0..100 {
        disk.user_mkdir(format!("new/{folder}").as_bytes()).unwrap();
        for file in 0..20 {
            let path = format!("new/{folder}/{file}");
            disk.user_write(path.as_bytes(), path.as_bytes()).unwrap();
        }
    }
    // A scan finds it.
    let _unseen = disk.take_events();
    cluster.machines[0].peer.as_mut().unwrap().handle_overflow();
    assert!(cluster.drive_until(SOON, |cluster| is_on_both(
        cluster,
        b"new/99/19",
        b"new/99/19"
    )));
    assert!(cluster.drive_until(SOON, Cluster::in_sync));
    let listed = cluster.machines[0].disk.listed() - before;
    let folders = 1 + 10 + 101;
    assert!((folders..=folders + 2).contains(&listed), "{listed}");
}

#[test]
fn a_folder_that_nobody_watches_is_looked_into_when_it_is_another_one_than_was_listed() {
    let mut cluster = two(10);
    cluster.crash(0, false);
    let machine = &mut cluster.machines[0];
    (machine.max_watches, machine.missed_events) = (5, 1000);
    assert!(cluster.start(0));
    assert!(cluster.drive_until(SOON, Cluster::in_sync));
    let disk = cluster.machines[0].disk.handle();
    let ours = |cluster: &Cluster| is_on_both(cluster, b"new/b", b"b");
    disk.user_mkdir(b"new").unwrap();
    disk.user_write(b"new/a", b"a").unwrap();
    let listed = disk.listed();
    cluster.slices = 1;
    cluster.machines[0].peer.as_mut().unwrap().handle_overflow();
    // share/, ten folders, and this one.
    while disk.listed() < listed + 12 {
        cluster.step(cluster.now() + Duration::from_micros(50));
    }
    disk.user_remove_all(b"new").unwrap();
    disk.user_mkdir(b"new").unwrap();
    disk.user_write(b"new/b", b"b").unwrap();
    // The next scan would come after five seconds.
    assert!(cluster.drive_until(Duration::from_secs(3), ours));
}

#[test]
fn a_lost_event_costs_a_scan() {
    let mut cluster = two(100);
    cluster.machines[0].missed_events = 1000;
    cluster.set_clocks();
    cluster.machines[0]
        .disk
        .user_write(b"7/7", b"changed")
        .unwrap();
    cluster.machines[0].disk.user_remove_all(b"8/8").unwrap();
    // The kernel says no more than that some were lost.
    let begin = cluster.now();
    cluster.step(begin + Duration::from_millis(1));
    cluster.machines[0].peer.as_mut().unwrap().handle_overflow();
    let arrived = cluster.drive_until(Duration::from_secs(5), |cluster| {
        let tree = cluster.machines[1].disk.tree(Place::Share);
        is_on_both(cluster, b"7/7", b"changed") && !tree.contains_key(b"8/8".as_slice())
    });
    assert!(arrived, "it waited for the next regular scan");
}

#[test]
fn where_the_kernel_watches_too_little_scans_come_sooner_and_that_is_said() {
    for limit in [usize::MAX, 10] {
        let mut cluster = Cluster::new(2, &mut Rng::new(1));
        cluster.machines[0].max_watches = limit;
        for number in 0..20 {
            let folder = format!("{number}");
            cluster.machines[0]
                .disk
                .user_mkdir(folder.as_bytes())
                .unwrap();
        }
        assert!(cluster.start(0) && cluster.start(1));
        assert!(cluster.drive_until(SOON, Cluster::in_sync));
        cluster.machines[0].missed_events = 1000;
        cluster.set_clocks();
        cluster.machines[0]
            .disk
            .user_write(b"19/f", b"text")
            .unwrap();
        let arrived = cluster.drive_until(Duration::from_secs(12), |cluster| {
            is_on_both(cluster, b"19/f", b"text")
        });
        assert_eq!(arrived, limit == 10);
        let errors = cluster.machines[0].peer.as_ref().unwrap().status().errors;
        let said = errors
            .iter()
            .any(|error| error.contains("fs.inotify.max_user_watches"));
        assert_eq!(said, limit == 10, "{errors:?}");
        // Once there is room, all is as usual.
        cluster.crash(0, false);
        cluster.machines[0].max_watches = usize::MAX;
        assert!(cluster.start(0));
        assert!(cluster.drive_until(SOON, Cluster::in_sync));
        let errors = cluster.machines[0].peer.as_ref().unwrap().status().errors;
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn where_the_kernel_does_not_watch_what_lands_scans_come_sooner_too() {
    for limit in [usize::MAX, 3] {
        let mut cluster = Cluster::new(2, &mut Rng::new(1));
        cluster.machines[0].max_watches = limit;
        assert!(cluster.start(0) && cluster.start(1));
        assert!(cluster.drive_until(SOON, Cluster::in_sync));
        for number in 0..5 {
            let folder = format!("{number}");
            let disk = &cluster.machines[1].disk;
            disk.user_mkdir(folder.as_bytes()).unwrap();
        }
        assert!(cluster.drive_until(SOON, |cluster| {
            let tree = cluster.machines[0].disk.tree(Place::Share);
            tree.len() == 5 && cluster.in_sync()
        }));
        let errors = cluster.machines[0].peer.as_ref().unwrap().status().errors;
        assert_eq!(errors.len(), usize::from(limit == 3), "{errors:?}");
        cluster.machines[0].missed_events = 1000;
        for number in 0..5 {
            let path = format!("{number}/f");
            let disk = &cluster.machines[0].disk;
            disk.user_write(path.as_bytes(), b"text").unwrap();
        }
        let arrived = cluster.drive_until(Duration::from_secs(12), |cluster| {
            (0..5).all(|number| is_on_both(cluster, format!("{number}/f").as_bytes(), b"text"))
        });
        assert_eq!(arrived, limit == 3);
    }
}
