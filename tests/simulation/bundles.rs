//! Many small files travel in zip files, and come whatever happens to these (docs/protocol.md, "Bundles").

use crate::fetching::{cluster, random, write};
use peer_mio::disk::{At, Disk, DiskFile, Place};
use proto_core::index::entry::Timestamp;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use std::collections::BTreeSet;

const FILES: u64 = 100;

/// Machine 0 has many new files, of which some are of several chunks.
fn write_many(cluster: &Cluster) {
    for number in 0..FILES {
        let size = if number % 10 == 0 { 100_000 } else { 3000 };
        write(
            cluster,
            0,
            format!("file {number}").as_bytes(),
            &random(size + number),
        );
    }
}

pub fn files(cluster: &Cluster, place: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let tree = cluster.machines[place].disk.tree(Place::Share);
    let files = tree.into_iter().filter_map(|(path, node)| match node {
        Node::File(_, _, bytes) => Some((path, bytes.to_vec())),
        _ => None,
    });
    files.collect()
}

/// Names in a folder of a machine.
pub fn names(cluster: &Cluster, place: usize, folder: Place) -> Vec<Vec<u8>> {
    let tree = cluster.machines[place].disk.tree(folder);
    tree.into_keys().collect()
}

/// Modes of the files in a folder of a machine.
pub fn modes(cluster: &Cluster, place: usize, folder: Place) -> BTreeSet<u16> {
    let tree = cluster.machines[place].disk.tree(folder);
    let modes = tree.into_values().filter_map(|node| match node {
        Node::File(mode, ..) => Some(mode),
        _ => None,
    });
    modes.collect()
}

/// Drives until all have all files; whether a bundle was seen meanwhile.
fn sync(cluster: &mut Cluster, bound: Duration) -> bool {
    let mut seen = false;
    assert!(cluster.drive_until(bound, |cluster| {
        seen |= !names(cluster, 0, Place::Zip).is_empty();
        cluster.in_sync() && files(cluster, 1).len() as u64 == FILES
    }));
    assert!(files(cluster, 0) == files(cluster, 1), "other bytes");
    seen
}

#[test]
fn small_files_are_made_with_their_modes_only_where_nobody_else_gets_at_them() {
    for (folder, made_with) in [
        (0o700, 0o644),
        (0o755, 0o600),
        (0o711, 0o600),
        (0o710, 0o600),
    ] {
        let mut cluster = cluster(2, Duration::from_millis(5));
        cluster.crash(1, false);
        let disk = cluster.machines[1].disk.handle();
        disk.chmod_download(folder).unwrap();
        assert!(cluster.start(1));
        write_many(&cluster);
        sync(&mut cluster, Duration::from_secs(60));
        assert_eq!(disk.made_with(), BTreeSet::from([made_with]), "{folder:o}");
    }
}

#[test]
fn small_files_that_others_may_write_to_get_their_modes_when_they_land() {
    for (mode, made_with) in [
        (0o644, 0o644),
        (0o755, 0o755),
        (0o664, 0o600),
        (0o646, 0o600),
    ] {
        let mut cluster = cluster(2, Duration::from_millis(5));
        write_many(&cluster);
        for number in 0..FILES {
            let path = format!("file {number}");
            let disk = &cluster.machines[0].disk;
            disk.user_chmod(path.as_bytes(), mode).unwrap();
        }
        sync(&mut cluster, Duration::from_secs(60));
        let made = cluster.machines[1].disk.made_with();
        assert_eq!(made, BTreeSet::from([made_with]), "{mode:o}");
        assert_eq!(modes(&cluster, 1, Place::Share), BTreeSet::from([mode]));
    }
}

#[test]
fn what_cannot_be_written_is_left_to_us_alone() {
    let mut cluster = cluster(2, Duration::from_millis(5));
    let disk = cluster.machines[1].disk.handle();
    disk.refuse_bytes_in_downloads(Some(3077));
    write_many(&cluster);
    let last = (FILES - 1) as usize;
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        files(cluster, 1).len() == last
    }));
    cluster.drive(Duration::from_secs(1));
    assert!(disk.made_with().contains(&0o644));
    assert_eq!(modes(&cluster, 1, Place::Download), BTreeSet::from([0o600]));
    disk.refuse_bytes_in_downloads(None);
    sync(&mut cluster, Duration::from_secs(120));
}

#[test]
fn modes_that_an_acl_narrows_from_some_file_on_are_not_taken_for_a_users_change() {
    const MANY: u64 = 300;
    for before in (1..MANY).step_by(16) {
        let mut cluster = cluster(2, Duration::from_millis(5));
        // So slow that some are made while others land.
        cluster.slice = Duration::from_millis(5);
        cluster.slices = 1;
        let disk = cluster.machines[1].disk.handle();
        disk.narrow_downloads_after(before);
        for number in 0..MANY {
            let path = format!("file {number}");
            write(&cluster, 0, path.as_bytes(), &random(3000 + number));
            // As exact as only some file systems keep it.
            let nsec = 123_456_789;
            let mtime = Timestamp { sec: 1000, nsec };
            let disk = &cluster.machines[0].disk;
            disk.user_touch(path.as_bytes(), mtime).unwrap();
        }
        assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
            cluster.in_sync() && files(cluster, 1).len() as u64 == MANY
        }));
        cluster.drive(Duration::from_secs(5));
        for place in [0, 1] {
            let modes = modes(&cluster, place, Place::Share);
            assert_eq!(modes, BTreeSet::from([0o644]), "{before} {place}");
        }
    }
}

#[test]
fn small_files_come_in_bundles_of_which_nothing_stays() {
    for loss in [0, 100] {
        let mut cluster = cluster(2, Duration::from_millis(5));
        cluster.network.weather.loss = loss;
        write_many(&cluster);
        assert!(sync(&mut cluster, Duration::from_secs(60)), "loss {loss}");
        cluster.drive(Duration::from_secs(2));
        for place in [0, 1] {
            assert_eq!(names(&cluster, place, Place::Zip), Vec::<Vec<u8>>::new());
            let left = names(&cluster, place, Place::Download);
            assert_eq!(left, Vec::<Vec<u8>>::new());
        }
    }
}

#[test]
fn whoever_is_killed_while_a_bundle_comes_gets_it_again() {
    for killed in [0, 1] {
        let mut cluster = cluster(2, Duration::from_millis(20));
        write_many(&cluster);
        assert!(cluster.drive_until(Duration::from_secs(20), |cluster| {
            let coming = names(cluster, 1, Place::Download);
            coming.iter().any(|name| name.starts_with(b"bundle-"))
        }));
        cluster.crash(killed, killed == 1);
        assert!(cluster.start(killed));
        sync(&mut cluster, Duration::from_secs(60));
    }
}

#[test]
fn a_server_that_is_short_of_room_still_gives_all_its_files() {
    let mut cluster = cluster(2, Duration::from_millis(5));
    write_many(&cluster);
    // Too little for a zip file with all of them.
    let disk = &cluster.machines[0].disk;
    disk.set_capacity(disk.used() + 1_000_000);
    sync(&mut cluster, Duration::from_secs(60));
}

#[test]
fn who_has_room_for_the_files_but_not_for_a_bundle_gets_them() {
    let mut cluster = cluster(2, Duration::from_millis(5));
    let disk = &cluster.machines[1].disk;
    // An eighth stays free; the files take 1.3 MB, and their bundle twice as much until it is unpacked.
    disk.set_capacity((disk.used() + 2_300_000) / 7 * 8);
    write_many(&cluster);
    sync(&mut cluster, Duration::from_secs(60));
}

#[test]
fn a_file_that_changes_while_it_is_wanted_comes_as_it_is_now() {
    let mut cluster = cluster(2, Duration::from_millis(20));
    write_many(&cluster);
    assert!(cluster.drive_until(Duration::from_secs(20), |cluster| {
        let peer = cluster.machines[1].peer.as_ref();
        peer.is_some_and(|peer| peer.status().pending > 10)
    }));
    for number in (0..FILES).step_by(7) {
        write(
            &cluster,
            0,
            format!("file {number}").as_bytes(),
            &random(5000 + number),
        );
    }
    sync(&mut cluster, Duration::from_secs(60));
}

/// What is made of a head in the directory of a zip file.
pub type Lie = fn(&mut [u8]);

/// A server whose zip files lie.
fn lies() -> [(&'static str, Lie); 8] {
    [
        ("names beside share/", |head| {
            head[46..49].copy_from_slice(b"../");
        }),
        ("absolute names", |head| head[46] = b'/'),
        ("NUL in names", |head| head[47] = 0),
        ("one name for all", |head| {
            head[46..52].copy_from_slice(b"file 1");
        }),
        ("checksums", |head| head[16] ^= 1),
        ("sizes", |head| head[20..28].copy_from_slice(&[0xff; 8])),
        ("places", |head| head[42..46].copy_from_slice(&[0; 4])),
        ("encryption", |head| head[8] |= 1),
    ]
}

/// Makes a lie of all zip files of a machine; whether there was one.
pub fn tell(cluster: &Cluster, place: usize, lie: Lie) -> bool {
    let disk = &cluster.machines[place].disk;
    let mut told = false;
    for (name, node) in disk.tree(Place::Zip) {
        let Node::File(_, _, mut bytes) = node else {
            continue;
        };
        if !name.ends_with(b".zip") {
            continue;
        }
        let heads: Vec<usize> = (0..bytes.len())
            .filter(|at| bytes[*at..].starts_with(b"PK\x01\x02"))
            .collect();
        for at in heads {
            lie(&mut bytes[at..]);
        }
        let at = At {
            place: Place::Zip,
            path: &name,
        };
        let file = disk.create(at).unwrap();
        file.write_all_at(0, &bytes).unwrap();
        told = true;
    }
    told
}

#[test]
fn a_server_whose_bundles_lie_gives_its_files_one_by_one() {
    for (what, lie) in lies() {
        let mut cluster = cluster(2, Duration::from_millis(5));
        write_many(&cluster);
        let mut told = Vec::new();
        assert!(
            cluster.drive_until(Duration::from_secs(60), |cluster| {
                let zips = names(cluster, 0, Place::Zip);
                if zips
                    .iter()
                    .any(|zip| !told.contains(zip) && zip.ends_with(b".zip"))
                {
                    tell(cluster, 0, lie);
                    told = zips;
                }
                cluster.in_sync() && files(cluster, 1).len() as u64 == FILES
            }),
            "{what}"
        );
        assert!(!told.is_empty(), "{what}");
        assert!(files(&cluster, 0) == files(&cluster, 1), "{what}");
        let names = |place| names(&cluster, 1, place);
        assert_eq!(names(Place::Share).len() as u64, FILES, "{what}");
        assert_eq!(names(Place::Zip), Vec::<Vec<u8>>::new(), "{what}");
        assert_eq!(names(Place::Trash), Vec::<Vec<u8>>::new(), "{what}");
    }
}
