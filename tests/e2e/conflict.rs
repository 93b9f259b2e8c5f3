//! The same path changed on two peers that did not know of each other.

use crate::harness::{Group, Snapshot, seconds};
use std::fs;
use std::path::PathBuf;

/// Stops peer 2, lets `here` and `there` happen on peers 1 and 2, starts it again and returns what
/// all three then have.
fn apart(test: &str, here: impl Fn(&Group), there: impl Fn(&Group)) -> (Group, Snapshot) {
    let mut group = Group::on_loopback(test, 3);
    group.start();
    group[0].write("notes.txt", b"common\n");
    group.wait_equal_to(0, seconds(10));
    group[1].terminate(seconds(10));
    here(&group);
    group.wait_until("peer 3 has what peer 1 has", seconds(10), |group| {
        Snapshot::full(&group[0].share()).ok() == Snapshot::full(&group[2].share()).ok()
    });
    there(&group);
    group[1].start();
    group.wait_until("all three agree", seconds(20), |group| {
        let all: Vec<_> = group
            .peers
            .iter()
            .map(|peer| Snapshot::full(&peer.share()).ok())
            .collect();
        all[0].is_some()
            && all[0] == all[1]
            && all[0] == all[2]
            && group.peers.iter().all(|peer| {
                peer.status().is_ok_and(|status| {
                    status.pending == 0 && status.peers.iter().all(|peer| peer.connected)
                })
            })
    });
    group.wait_in_sync(seconds(10));
    let end = group.wait_equal_to(0, seconds(10));
    (group, end)
}

fn copies(snapshot: &Snapshot) -> Vec<PathBuf> {
    let is_copy = |path: &&PathBuf| path.to_string_lossy().contains(".conflict-");
    snapshot.0.keys().filter(is_copy).cloned().collect()
}

#[test]
fn both_versions_are_on_every_peer_under_the_same_names() {
    let (group, end) = apart(
        "conflict",
        |group| group[0].write("notes.txt", b"common\nfrom peer 1\n"),
        |group| group[1].write("notes.txt", b"common\nfrom peer 2\n"),
    );
    let copies = copies(&end);
    assert_eq!(copies.len(), 1, "one copy: {:?}", end.paths());
    let copy = copies[0].to_str().unwrap();
    assert!(
        copy.starts_with("notes.conflict-") && copy.ends_with(".txt"),
        "{copy}"
    );
    for peer in &group.peers {
        let mut versions = [peer.read("notes.txt").unwrap(), peer.read(copy).unwrap()];
        versions.sort();
        assert_eq!(
            versions,
            [
                b"common\nfrom peer 1\n".to_vec(),
                b"common\nfrom peer 2\n".to_vec()
            ]
        );
        assert_eq!(peer.status_now().conflicts, 1, "{}", peer.report());
    }

    // Deleting the copy settles it, everywhere.
    fs::remove_file(group[2].path(copy)).unwrap();
    group.wait_until("the copy is gone everywhere", seconds(10), |group| {
        group
            .peers
            .iter()
            .all(|peer| peer.read(copy).is_none() && peer.status_now().conflicts == 0)
    });
}

#[test]
fn the_same_change_on_both_is_no_conflict() {
    let change = |place: usize| move |group: &Group| group[place].write("notes.txt", b"the same\n");
    let (group, end) = apart("same-change", change(0), change(1));
    assert!(copies(&end).is_empty(), "{:?}", end.paths());
    assert!(group[2].has("notes.txt", b"the same\n"));
}

#[test]
fn a_change_beats_a_deletion() {
    let (group, end) = apart(
        "change-deletion",
        |group| fs::remove_file(group[0].path("notes.txt")).unwrap(),
        |group| group[1].write("notes.txt", b"still needed\n"),
    );
    assert!(copies(&end).is_empty(), "{:?}", end.paths());
    assert!(
        group
            .peers
            .iter()
            .all(|peer| peer.has("notes.txt", b"still needed\n"))
    );
}

#[test]
fn the_same_new_file_on_both_is_no_conflict() {
    let add = |place: usize| move |group: &Group| group[place].write("new.txt", b"came by mail\n");
    let (group, end) = apart("same-new", add(0), add(1));
    assert!(copies(&end).is_empty(), "{:?}", end.paths());
    assert!(
        group
            .peers
            .iter()
            .all(|peer| peer.has("new.txt", b"came by mail\n"))
    );
}

#[test]
fn a_folder_and_a_file_of_one_name_are_both_kept() {
    let (group, end) = apart(
        "folder-file",
        |group| group[0].write("thing/inside", b"in the folder"),
        |group| group[1].write("thing", b"the file"),
    );
    assert_eq!(copies(&end).len(), 1, "{:?}", end.paths());
    let copy = copies(&end)[0].clone();
    for peer in &group.peers {
        assert!(
            peer.has("thing/inside", b"in the folder"),
            "{}",
            peer.report()
        );
        assert!(
            peer.has(copy.to_str().unwrap(), b"the file"),
            "{}",
            peer.report()
        );
    }
}
