//! What a user does to a path while something lands there.

use peer_mio::disk::Place;
use peer_mio::peer::report::Status;
use proto_core::index::entry::Timestamp;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::rng::Rng;

const SOON: Duration = Duration::from_secs(30);

/// Two machines that are in sync, with these files from the first one.
fn two(files: &[(&[u8], &[u8])]) -> Cluster {
    let mut cluster = Cluster::new(2, &mut Rng::new(1));
    assert!(cluster.start(0) && cluster.start(1));
    for (path, bytes) in files {
        cluster.machines[0].disk.user_write(path, bytes).unwrap();
    }
    cluster.drive(Duration::from_secs(1));
    settle(&mut cluster);
    cluster
}

#[track_caller]
fn settle(cluster: &mut Cluster) {
    let settled = cluster.drive_until(SOON, Cluster::in_sync);
    assert!(settled, "not in sync: {:#?}", status(cluster, 0));
}

#[test]
fn what_a_user_writes_while_a_file_lands_is_shared() {
    let mut met = 0;
    for seed in 0..40 {
        let files: &[(&[u8], &[u8])] = if seed % 2 == 0 {
            &[]
        } else {
            &[(b"f", b"the first text")]
        };
        let mut cluster = two(files);
        let (here, there) = (&cluster.machines[0].disk, &cluster.machines[1].disk);
        there.user_meddles(400, Rng::new(seed));
        here.user_write(b"f", b"the second, longer text").unwrap();
        cluster.drive(Duration::from_secs(2));
        cluster.machines[1].disk.user_meddles(0, Rng::new(seed));
        cluster.drive(Duration::from_secs(1));
        settle(&mut cluster);
        let meddled = cluster.machines[1].disk.take_meddled();
        let Some(last) = meddled.last() else { continue };
        met += 1;
        for machine in &cluster.machines {
            let tree = machine.disk.tree(Place::Share);
            let is_it =
                |node: &Node| matches!(node, Node::File(_, _, bytes) if *bytes == last.after);
            assert!(tree.values().any(is_it), "seed {seed}: {tree:?}");
        }
    }
    assert!(met > 10, "only {met}");
}

#[test]
fn what_a_user_writes_while_a_file_lands_on_a_failing_disk_is_kept() {
    let mut met = 0;
    for seed in 0..400 {
        let mut cluster = two(&[(b"f", b"the first text")]);
        let (here, there) = (&cluster.machines[0].disk, &cluster.machines[1].disk);
        there.user_meddles(700, Rng::new(seed));
        there.fail(120, Rng::new(seed));
        here.user_write(b"f", b"the second, longer text").unwrap();
        cluster.drive(Duration::from_secs(4));
        let there = &cluster.machines[1].disk;
        there.user_meddles(0, Rng::new(seed));
        there.fail(0, Rng::new(seed));
        cluster.drive(Duration::from_secs(1));
        // What could not even be moved to the trash is found by the next start.
        cluster.crash(1, false);
        assert!(cluster.start(1));
        settle(&mut cluster);
        let meddled = cluster.machines[1].disk.take_meddled();
        let Some(last) = meddled.last() else { continue };
        met += 1;
        let is_it = |node: &Node| matches!(node, Node::File(_, _, bytes) if *bytes == last.after);
        let disk = &cluster.machines[1].disk;
        let kept = [Place::Share, Place::Trash]
            .map(|place| disk.tree(place))
            .iter()
            .any(|tree| tree.values().any(is_it));
        assert!(kept, "seed {seed}: {meddled:?}");
    }
    assert!(met > 20, "only {met}");
}

/// What the peer of a machine says of itself.
fn status(cluster: &Cluster, place: usize) -> Status {
    cluster.machines[place].peer.as_ref().unwrap().status()
}

fn file(cluster: &Cluster, place: usize, path: &[u8]) -> Option<Vec<u8>> {
    let node = cluster.machines[place].disk.tree(Place::Share).remove(path);
    match node? {
        Node::File(_, _, bytes) => Some(bytes),
        _ => None,
    }
}

#[test]
fn a_link_to_nothing_makes_way_for_a_file_and_a_folder_and_is_in_the_trash() {
    let mut cluster = two(&[]);
    let (here, there) = (&cluster.machines[0].disk, &cluster.machines[1].disk);
    there.user_symlink(b"nothing", b"file").unwrap();
    there.user_symlink(b"nothing", b"folder").unwrap();
    here.user_write(b"file", b"text").unwrap();
    here.user_mkdir(b"folder").unwrap();
    here.user_write(b"folder/x", b"below").unwrap();
    cluster.drive(Duration::from_secs(2));
    settle(&mut cluster);
    assert_eq!(file(&cluster, 1, b"file").unwrap(), b"text");
    assert_eq!(file(&cluster, 1, b"folder/x").unwrap(), b"below");
    let trash = cluster.machines[1].disk.tree(Place::Trash);
    let links = trash
        .values()
        .filter(|node| matches!(node, Node::Symlink(_)));
    assert_eq!(links.count(), 2);
}

#[test]
fn a_file_that_became_a_link_to_nothing_is_deleted() {
    let mut cluster = two(&[(b"f", b"text")]);
    let disk = &cluster.machines[0].disk;
    disk.user_remove_all(b"f").unwrap();
    disk.user_symlink(b"nothing", b"f").unwrap();
    cluster.drive(Duration::from_secs(2));
    settle(&mut cluster);
    assert_eq!(cluster.machines[1].disk.tree(Place::Share).len(), 0);
    assert_eq!(cluster.machines[0].disk.tree(Place::Share).len(), 1);
}

#[test]
fn directories_that_are_closed_even_to_their_owner_are_filled_and_emptied() {
    let mut cluster = two(&[]);
    cluster.machines[1].disk.enforce_modes(true);
    let disk = &cluster.machines[0].disk;
    for directory in [&b"m"[..], b"m/v", b"m/v/w"] {
        disk.user_mkdir(directory).unwrap();
    }
    disk.user_write(b"m/v/file", b"one").unwrap();
    disk.user_write(b"m/v/w/file", b"two").unwrap();
    for directory in [&b"m/v/w"[..], b"m/v", b"m"] {
        disk.user_chmod(directory, 0o555).unwrap();
    }
    cluster.drive(Duration::from_secs(2));
    settle(&mut cluster);
    let same = |cluster: &Cluster| {
        let trees = [0, 1].map(|place| cluster.machines[place].disk.tree(Place::Share));
        assert_eq!(trees[0], trees[1]);
        assert_eq!(trees[0].get(&b"m"[..]), Some(&Node::Directory(0o555)));
        assert!(
            cluster.machines[1].disk.tree(Place::Download).is_empty(),
            "no note is left"
        );
    };
    same(&cluster);
    let disk = &cluster.machines[0].disk;
    disk.user_write(b"m/v/w/more", b"three").unwrap();
    disk.user_remove_all(b"m/v/file").unwrap();
    disk.user_write(b"m/v/w/file", b"changed").unwrap();
    disk.user_chmod(b"m/v", 0o755).unwrap();
    cluster.drive(Duration::from_secs(2));
    settle(&mut cluster);
    same(&cluster);
    cluster.machines[0].disk.user_remove_all(b"m/v").unwrap();
    cluster.drive(Duration::from_secs(2));
    settle(&mut cluster);
    same(&cluster);
}

#[test]
fn a_directory_that_a_crash_left_open_is_closed_at_the_start() {
    for stop in 0..30 {
        let mut cluster = two(&[]);
        cluster.machines[0].disk.user_mkdir(b"m").unwrap();
        cluster.machines[0].disk.user_chmod(b"m", 0o555).unwrap();
        cluster.machines[1].disk.enforce_modes(true);
        cluster.drive(Duration::from_secs(2));
        settle(&mut cluster);
        cluster.machines[0]
            .disk
            .user_write(b"m/f", b"text")
            .unwrap();
        cluster.machines[1].disk.stop_after(stop);
        cluster.drive(Duration::from_secs(1));
        cluster.crash(1, false);
        cluster.start(1);
        cluster.drive(Duration::from_secs(2));
        settle(&mut cluster);
        for machine in &cluster.machines {
            let tree = machine.disk.tree(Place::Share);
            assert_eq!(tree.get(&b"m"[..]), Some(&Node::Directory(0o555)), "{stop}");
            assert_eq!(tree.len(), 2, "{stop}");
        }
    }
}

#[test]
fn a_file_that_its_owner_may_not_read_stays_as_it_came() {
    let mut cluster = two(&[(b"f", b"text")]);
    cluster.machines[1].disk.enforce_modes(true);
    cluster.machines[0].disk.user_chmod(b"f", 0o200).unwrap();
    cluster.drive(Duration::from_secs(2));
    settle(&mut cluster);
    // Its times change, and after a start within two minutes it would be hashed again.
    let mtime = Timestamp {
        sec: 1_000_000_000,
        nsec: 5,
    };
    cluster.machines[0].disk.user_touch(b"f", mtime).unwrap();
    cluster.drive(Duration::from_secs(2));
    settle(&mut cluster);
    cluster.crash(1, false);
    cluster.start(1);
    cluster.drive(Duration::from_secs(2));
    settle(&mut cluster);
    let told = status(&cluster, 1);
    assert_eq!(told.errors, [""; 0]);
    let tree = cluster.machines[1].disk.tree(Place::Share);
    assert_eq!(
        tree.get(&b"f"[..]),
        Some(&Node::File(0o200, mtime, b"text".to_vec()))
    );
}

#[test]
fn what_cannot_be_read_is_said_until_it_can_and_is_not_in_sync() {
    let mut cluster = two(&[]);
    let disk = &cluster.machines[1].disk;
    disk.enforce_modes(true);
    disk.user_mkdir(b"closed").unwrap();
    disk.user_write(b"closed/f", b"text").unwrap();
    disk.user_chmod(b"closed", 0).unwrap();
    cluster.drive(Duration::from_secs(70));
    let told = status(&cluster, 1);
    assert!(
        !told.in_sync && told.errors[0].contains("closed"),
        "{told:?}"
    );
    cluster.machines[1]
        .disk
        .user_chmod(b"closed", 0o700)
        .unwrap();
    cluster.drive(Duration::from_secs(5));
    settle(&mut cluster);
    assert_eq!(status(&cluster, 1).errors, [""; 0]);
    assert_eq!(file(&cluster, 0, b"closed/f").unwrap(), b"text");

    // Also if it just goes away, and nobody tells.
    let disk = &cluster.machines[1].disk;
    disk.user_write(b"g", b"text").unwrap();
    disk.user_chmod(b"g", 0).unwrap();
    cluster.drive(Duration::from_secs(2));
    assert!(!status(&cluster, 1).in_sync);
    cluster.machines[1].missed_events = 1000;
    cluster.machines[1].disk.user_remove_all(b"g").unwrap();
    cluster.drive(Duration::from_secs(70));
    settle(&mut cluster);
    assert_eq!(status(&cluster, 1).errors, [""; 0]);
}

#[test]
fn a_loser_that_was_swapped_out_when_its_peer_was_killed_is_a_conflict_copy() {
    for (loser, stop) in (0..2).flat_map(|loser| (0..40).map(move |stop| (loser, stop))) {
        let mut cluster = two(&[(b"f", b"base")]);
        let addresses = [0, 1].map(|place| cluster.machines[place].address);
        cluster.network.cut(addresses[0], addresses[1]);
        cluster.network.cut(addresses[1], addresses[0]);
        for (place, text) in [(0, &b"from the first"[..]), (1, b"from the second")] {
            cluster.machines[place].disk.user_write(b"f", text).unwrap();
        }
        cluster.drive(Duration::from_secs(2));
        cluster.machines[loser].disk.stop_after(stop);
        cluster.network.heal();
        cluster.drive_until(Duration::from_secs(10), |cluster| {
            cluster.machines[loser].disk.is_stopped()
        });
        cluster.crash(loser, false);
        cluster.start(loser);
        cluster.drive(Duration::from_secs(2));
        settle(&mut cluster);
        for machine in &cluster.machines {
            let tree = machine.disk.tree(Place::Share);
            assert_eq!(tree.len(), 2, "killed after {stop}: {tree:?}");
        }
    }
}

#[test]
fn a_file_that_took_the_place_of_a_folder_in_use_elsewhere_is_kept_beside_it() {
    let mut cluster = two(&[]);
    for (path, bytes) in [(&b"d/1"[..], b"one"), (b"d/2", b"two")] {
        if path == b"d/1" {
            cluster.machines[0].disk.user_mkdir(b"d").unwrap();
        }
        cluster.machines[0].disk.user_write(path, bytes).unwrap();
    }
    cluster.drive(Duration::from_secs(1));
    settle(&mut cluster);
    let (here, there) = (&cluster.machines[0].disk, &cluster.machines[1].disk);
    here.user_remove_all(b"d").unwrap();
    here.user_write(b"d", b"a file of the same name").unwrap();
    there.user_write(b"d/2", b"changed").unwrap();
    cluster.drive(Duration::from_secs(5));
    settle(&mut cluster);
    for place in 0..2 {
        let tree = cluster.machines[place].disk.tree(Place::Share);
        assert_eq!(file(&cluster, place, b"d/2"), Some(b"changed".to_vec()));
        let kept = tree.keys().find(|path| path.starts_with(b"d.conflict-"));
        let kept = kept.unwrap_or_else(|| panic!("no conflict copy: {tree:?}"));
        let bytes = file(&cluster, place, kept);
        assert_eq!(bytes, Some(b"a file of the same name".to_vec()));
        assert_eq!(tree.len(), 3, "{tree:?}");
    }
}
