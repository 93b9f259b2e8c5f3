//! What is here already is not asked for: parts of a file that changed, what was moved, copied or deleted before.

use crate::fetching::{cluster, errors, holds, random, write};
use crate::liar::{Lie, Meeting};
use peer_mio::disk::Place;
use peer_mio::jobs::hash::content_of;
use proto_core::content::ContentId;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::rng::Rng;

const SIZE: u64 = 4_000_000;
const SOON: Duration = Duration::from_secs(60);

/// Machines with the file.
fn with_file(machines: u8) -> (Cluster, Vec<u8>) {
    let mut cluster = cluster(machines, Duration::from_micros(100));
    let bytes = random(SIZE);
    write(&cluster, 0, b"file", &bytes);
    wait(&mut cluster, b"file", &bytes);
    (cluster, bytes)
}

#[track_caller]
fn wait(cluster: &mut Cluster, path: &[u8], bytes: &[u8]) {
    let came = cluster.drive_until(SOON, |cluster| {
        let mut places = 0..cluster.machines.len();
        cluster.in_sync() && places.all(|place| holds(cluster, place, path, bytes))
    });
    assert!(came, "{:?}", errors(cluster, 1));
}

/// Bytes in the middle are others.
fn changed(bytes: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[2_000_000..2_001_000].fill(7);
    changed
}

#[test]
fn a_change_in_a_large_file_moves_what_changed() {
    let (mut cluster, bytes) = with_file(2);
    let inserted = [b"!", bytes.as_slice()].concat();
    let mut appended = inserted.clone();
    appended.extend(random(300_000));
    let versions = [
        (changed(&bytes), 300_000),
        (inserted, 400_000),
        (appended, 700_000),
    ];
    for (version, most) in versions {
        let before = cluster.network.bytes;
        write(&cluster, 0, b"file", &version);
        wait(&mut cluster, b"file", &version);
        let sent = cluster.network.bytes - before;
        assert!(sent < most, "{sent} bytes");
    }
}

#[test]
fn a_file_that_was_deleted_first_comes_from_the_trash() {
    for size in [3_000, SIZE] {
        let mut cluster = cluster(2, Duration::from_micros(100));
        let bytes = random(size);
        write(&cluster, 0, b"file", &bytes);
        wait(&mut cluster, b"file", &bytes);
        cluster.max_delete = 100;
        cluster.set_clocks();
        cluster.machines[0].disk.user_remove_all(b"file").unwrap();
        assert!(cluster.drive_until(SOON, |cluster| {
            cluster.in_sync() && cluster.machines[1].disk.tree(Place::Share).is_empty()
        }));
        let before = cluster.network.bytes;
        write(&cluster, 0, b"moved", &bytes);
        wait(&mut cluster, b"moved", &bytes);
        let sent = cluster.network.bytes - before;
        assert!(sent < 2_900, "{sent} bytes of {size}");
        // Nothing was taken out of the trash.
        let trash = cluster.machines[1].disk.tree(Place::Trash);
        assert!(trash.keys().any(|path| path.ends_with(b"/file")));
    }
}

#[test]
fn a_moved_folder_moves_no_content() {
    let mut cluster = cluster(2, Duration::from_micros(100));
    let files = 200;
    cluster.machines[0].disk.user_mkdir(b"one").unwrap();
    for number in 0..files {
        let path = format!("one/{number}");
        write(&cluster, 0, path.as_bytes(), &random(10_000 + number));
    }
    let all = |cluster: &Cluster, folder: &[u8]| {
        let tree = cluster.machines[1].disk.tree(Place::Share);
        tree.contains_key(folder) && tree.len() == files as usize + 1
    };
    assert!(cluster.drive_until(SOON, |cluster| cluster.in_sync() && all(cluster, b"one")));
    cluster.set_clocks();
    let before = cluster.network.bytes;
    cluster.machines[0]
        .disk
        .user_rename(b"one", b"two")
        .unwrap();
    assert!(cluster.drive_until(SOON, |cluster| cluster.in_sync() && all(cluster, b"two")));
    let [a, b] = [0, 1].map(|place| cluster.machines[place].disk.tree(Place::Share));
    assert!(a == b);
    let sent = cluster.network.bytes - before;
    // An entry that comes, one that goes, and the same from the other side.
    assert!(sent < 2 * files * 400, "{sent} bytes");
}

#[test]
fn a_damaged_old_file_gives_only_what_is_right_in_it() {
    let (mut cluster, bytes) = with_file(2);
    for at in [100_000, 3_000_000] {
        cluster.machines[1].disk.rot(b"file", at);
    }
    let before = cluster.network.bytes;
    let version = changed(&bytes);
    write(&cluster, 0, b"file", &version);
    wait(&mut cluster, b"file", &version);
    let sent = cluster.network.bytes - before;
    assert!(sent < 3 * 300_000, "{sent} bytes");
}

#[test]
fn a_killed_peer_goes_on_with_what_it_copied() {
    let version = changed(&random(SIZE));
    let mut stopped = 0;
    for count in 0..30 {
        let (mut cluster, _) = with_file(2);
        cluster.machines[1].disk.stop_after(count);
        write(&cluster, 0, b"file", &version);
        let struck = cluster.drive_until(Duration::from_secs(3), |cluster| {
            cluster.machines[1].disk.is_stopped()
        });
        stopped += u32::from(struck);
        // Half of them by a power cut.
        cluster.crash(1, count % 2 == 0);
        let before = cluster.network.bytes;
        assert!(cluster.start(1));
        wait(&mut cluster, b"file", &version);
        let sent = cluster.network.bytes - before;
        assert!(sent < 500_000, "{sent} bytes after {count} steps");
    }
    assert!(stopped > 20, "only {stopped}");
}

#[test]
fn an_old_file_that_changes_while_it_is_copied_harms_nothing() {
    let mut conflicts = 0;
    for seed in 0..12 {
        let (mut cluster, bytes) = with_file(2);
        let theirs = changed(&bytes);
        write(&cluster, 0, b"file", &theirs);
        let mut rng = Rng::new(seed);
        cluster.drive(Duration::from_micros(20_000 + rng.below(30_000)));
        let mut ours = bytes.clone();
        ours[1_000_000..1_500_000].fill(9);
        write(&cluster, 1, b"file", &ours);
        assert!(cluster.drive_until(SOON, |cluster| {
            let [a, b] = [0, 1].map(|place| cluster.machines[place].disk.tree(Place::Share));
            cluster.in_sync() && a == b
        }));
        let tree = cluster.machines[0].disk.tree(Place::Share);
        let is = |wanted: &[u8]| {
            let mut nodes = tree.values();
            nodes.any(|node| matches!(node, Node::File(_, _, found) if found == wanted))
        };
        assert!(is(&ours), "seed {seed}");
        conflicts += u32::from(tree.len() == 2 && is(&theirs));
    }
    assert!(conflicts > 0);
}

fn id(bytes: &[u8]) -> ContentId {
    content_of(bytes).0
}

#[test]
fn what_a_liar_would_send_wrong_comes_from_here() {
    let right = random(crate::liar::SIZE);
    // Which of the two wins is settled by their ids: ours is to lose.
    let mut old = right.clone();
    let lost = (0..=u8::MAX).any(|fill| {
        old[..1000].fill(fill);
        id(&old) < id(&right)
    });
    assert!(lost);
    let mut meeting = Meeting::new(&[Lie::Chunk]);
    meeting.set_on(0, false);
    meeting.disk.user_write(b"file", &old).unwrap();
    meeting.drive(Duration::from_secs(2));
    meeting.set_on(0, true);
    meeting.drive(Duration::from_secs(10));
    let tree = meeting.disk.tree(Place::Share);
    let is =
        |node: &Node, wanted: &[u8]| matches!(node, Node::File(_, _, bytes) if bytes == wanted);
    assert!(
        tree.get(b"file".as_slice())
            .is_some_and(|node| is(node, &right))
    );
    assert!(tree.values().any(|node| is(node, &old)));
}
