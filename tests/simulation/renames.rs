//! Directories that take the place of others between two looks.

use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::rng::Rng;

fn two() -> Cluster {
    let mut cluster = Cluster::new(2, &mut Rng::new(9));
    assert!(cluster.start(0) && cluster.start(1));
    cluster.set_clocks();
    let disk = &cluster.machines[0].disk;
    for folder in ["one", "two"] {
        disk.user_mkdir(folder.as_bytes()).unwrap();
        disk.user_mkdir(format!("{folder}/deep").as_bytes())
            .unwrap();
        for number in 0..10 {
            let path = format!("{folder}/deep/{folder}{number}");
            disk.user_write(path.as_bytes(), path.as_bytes()).unwrap();
        }
    }
    assert!(cluster.drive_until(Duration::from_secs(20), |cluster| {
        cluster.in_sync() && cluster.machines[1].disk.tree(Place::Share).len() == 24
    }));
    cluster
}

#[test]
fn what_is_in_a_folder_that_took_the_place_of_another_is_found_without_a_scan_of_all() {
    let mut cluster = two();
    cluster.set_clocks();
    let disk = &cluster.machines[0].disk;
    disk.user_remove_all(b"one").unwrap();
    disk.user_rename(b"two", b"one").unwrap();
    assert!(cluster.drive_until(Duration::from_secs(5), |cluster| {
        let [a, b] = [0, 1].map(|place| cluster.machines[place].disk.tree(Place::Share));
        a == b && cluster.in_sync()
    }));
}

#[test]
fn a_folder_that_landed_is_not_walked_again() {
    let mut cluster = two();
    let reads = |cluster: &Cluster| cluster.machines[1].disk.listed();
    let before = reads(&cluster);
    cluster.set_clocks();
    let disk = &cluster.machines[0].disk;
    for number in 0..50 {
        disk.user_mkdir(format!("new{number}").as_bytes()).unwrap();
    }
    assert!(cluster.drive_until(Duration::from_secs(5), |cluster| {
        cluster.in_sync() && cluster.machines[1].disk.tree(Place::Share).len() == 74
    }));
    assert_eq!(reads(&cluster), before, "directories listed");
}

#[test]
fn a_large_deep_folder_that_is_moved_away_goes_everywhere() {
    let mut cluster = two();
    cluster.set_clocks();
    let disk = &cluster.machines[0].disk;
    let mut path = b"deep".to_vec();
    disk.user_mkdir(&path).unwrap();
    for _ in 0..300 {
        path.extend_from_slice(b"/d");
        disk.user_mkdir(&path).unwrap();
    }
    for folder in [&b"deep/x"[..], b"deep/x/y"] {
        disk.user_mkdir(folder).unwrap();
        for number in 0..400 {
            let file = [folder, format!("/{number}").as_bytes()].concat();
            disk.user_write(&file, &file).unwrap();
        }
    }
    let all = 24 + 301 + 802;
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        cluster.in_sync() && cluster.machines[1].disk.tree(Place::Share).len() == all
    }));
    cluster.set_clocks();
    cluster.machines[0].disk.user_remove_all(b"deep").unwrap();
    let gone = |cluster: &Cluster| {
        cluster.in_sync() && cluster.machines[1].disk.tree(Place::Share).len() == 24
    };
    for _ in 0..60 {
        // So many deletions wait for their user.
        cluster.machines[0].peer.as_mut().unwrap().resume();
        if cluster.drive_until(Duration::from_secs(1), gone) {
            break;
        }
    }
    assert!(gone(&cluster));
    assert_eq!(cluster.machines[0].disk.tree(Place::Share).len(), 24);
}
