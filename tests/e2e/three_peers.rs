//! Everything that can be in a folder and everything that can happen to it, on three peers.

use crate::harness::folder::{Node, name, random_bytes, set_mode, set_mtime, write_random};
use crate::harness::{Group, Snapshot, seconds};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Paths that are easily got wrong.
const NAMES: [&[u8]; 6] = [
    b"not-utf8-\xff\xfe.txt",
    b"line\nbreak",
    b"escape\x1b[31m",
    b"trailing ",
    b"-rf",
    b"caf\xc3\xa9/e\xcc\x81",
];

fn fill(share: &Path) {
    fs::write(share.join("one line.txt"), b"hello\n").unwrap();
    fs::write(share.join("empty"), b"").unwrap();
    fs::write(share.join(".hidden"), b"hidden").unwrap();
    fs::create_dir_all(share.join("a folder/with/an empty one")).unwrap();
    fs::create_dir_all(share.join(".hidden folder")).unwrap();
    fs::write(share.join(".hidden folder/file"), b"in a hidden folder").unwrap();
    write_random(&share.join("a folder/with/3 MB.bin"), 1, 3_000_000);
    for path in NAMES {
        let path = share.join(name(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.as_os_str().as_encoded_bytes()).unwrap();
    }
    let longest = "n".repeat(255);
    fs::write(share.join(&longest), b"the longest name there is").unwrap();
    for mode in [0o400, 0o600, 0o644, 0o755, 0o777] {
        let path = share.join(format!("mode-{mode:o}"));
        fs::write(&path, b"mode").unwrap();
        set_mode(&path, mode);
    }
    set_mode(&share.join("a folder"), 0o750);
    // Nanoseconds, before 1970 + 1 s, and after the 32-bit end of time.
    for (secs, nanos) in [
        (1_600_000_000, 123_456_789),
        (0, 1),
        (4_400_000_000, 999_999_999),
    ] {
        let path = share.join(format!("mtime-{secs}"));
        fs::write(&path, b"mtime").unwrap();
        set_mtime(&path, secs, nanos);
    }
}

#[test]
fn new_changed_renamed_and_deleted_reach_everyone() {
    let mut group = Group::on_loopback("three-peers", 3);
    // By address alone: the port is then that of --listen.
    for peer in &mut group.peers {
        for other in &mut peer.others {
            *other = other.split(':').next().unwrap().to_owned();
        }
    }
    group.start();

    fill(&group[0].share());
    let new = group.wait_equal_to(0, seconds(20));
    for path in NAMES {
        assert!(
            new.0.contains_key(Path::new(OsStr::new(name(path)))),
            "{path:?} is there"
        );
    }

    // Each kind of change on another peer than the one that made the file.
    group[1].write("one line.txt", b"changed on peer 2\n");
    let path = group[1].path("a folder/with/3 MB.bin");
    let mut bytes = random_bytes(1, 3_000_000);
    bytes.splice(1_000_000..1_000_000, *b"inserted in the middle");
    fs::write(&path, &bytes).unwrap();
    let changed = group.wait_equal_to(1, seconds(20));
    assert_ne!(changed, new, "the change is in the snapshot");
    assert!(
        group[0].has("a folder/with/3 MB.bin", &bytes),
        "inserted bytes reached peer 1"
    );

    fs::rename(
        group[2].path("one line.txt"),
        group[2].path("renamed line.txt"),
    )
    .unwrap();
    fs::rename(group[2].path("a folder"), group[2].path("moved folder")).unwrap();
    let renamed = group.wait_equal_to(2, seconds(20));
    assert!(
        !renamed.0.contains_key(Path::new("one line.txt")),
        "the old name is gone"
    );
    assert!(
        renamed
            .0
            .contains_key(Path::new("moved folder/with/an empty one")),
        "the tree moved"
    );

    set_mode(&group[0].path("mode-600"), 0o640);
    set_mtime(&group[0].path("mtime-0"), 1_000_000_000, 7);
    group.wait_equal_to(0, seconds(20));

    fs::remove_file(group[1].path("renamed line.txt")).unwrap();
    fs::remove_file(group[1].path("empty")).unwrap();
    fs::remove_dir_all(group[1].path("moved folder")).unwrap();
    let deleted = group.wait_equal_to(1, seconds(20));
    assert!(
        !deleted
            .0
            .keys()
            .any(|path| path.starts_with("moved folder")),
        "the tree is gone"
    );
    group.wait_in_sync(seconds(10));
    assert!(
        group
            .peers
            .iter()
            .all(|peer| peer.status_now().conflicts == 0),
        "{}",
        group.report()
    );
}

#[test]
fn a_folder_becomes_a_file_and_a_folder_again() {
    let mut group = Group::on_loopback("swap", 3);
    group.start();
    group[0].write("thing/a", b"a");
    group[0].write("thing/deep/b", b"b");
    group.wait_equal_to(0, seconds(20));

    fs::remove_dir_all(group[1].path("thing")).unwrap();
    group[1].write("thing", b"a file now");
    group.wait_until("the folder is a file everywhere", seconds(20), |group| {
        group
            .peers
            .iter()
            .all(|peer| peer.has("thing", b"a file now"))
    });

    fs::remove_file(group[2].path("thing")).unwrap();
    group[2].write("thing/again/c", b"c");
    group.wait_until("the file is a folder everywhere", seconds(20), |group| {
        group
            .peers
            .iter()
            .all(|peer| peer.has("thing/again/c", b"c"))
    });
    let end = group.wait_equal_to(2, seconds(10));
    assert_eq!(
        end.paths().len(),
        3,
        "nothing else is left: {:?}",
        end.paths()
    );
}

#[test]
fn what_a_user_lost_to_a_remote_change_is_in_the_trash() {
    let mut group = Group::on_loopback("trash", 2);
    group.start();
    group[0].write("keep me", b"the only words of this file");
    group.wait_equal_to(0, seconds(10));
    fs::remove_file(group[0].path("keep me")).unwrap();
    group.wait_until("the deletion reaches peer 2", seconds(10), |group| {
        group[1].read("keep me").is_none()
    });
    let trash = Snapshot::full(&group[1].dir.join(".tinypeer/trash")).expect("the trash");
    let hash = *blake3::hash(b"the only words of this file").as_bytes();
    let kept = trash
        .0
        .values()
        .any(|node| matches!(node, Node::File { hash: Some(found), .. } if *found == hash));
    assert!(kept, "{:?}", trash.paths());
}

#[test]
fn setuid_is_not_taken_from_a_peer() {
    let mut group = Group::on_loopback("setuid", 2);
    group.start();
    group[0].write("program", b"#!/bin/sh\n");
    set_mode(&group[0].path("program"), 0o4755);
    group.wait_until("the file reaches peer 2", seconds(10), |group| {
        group[1].has("program", b"#!/bin/sh\n")
    });
    group.wait_in_sync(seconds(10));
    let found = Snapshot::metadata(&group[1].share()).unwrap();
    let node = found.0.get(Path::new("program"));
    assert!(
        matches!(node, Some(Node::File { mode: 0o755, .. })),
        "{node:?}"
    );
}
