//! Folders that are not what they were: removed, copied with their index, put back from a backup.

use crate::harness::{Group, seconds};
use std::fs;
use std::path::Path;
use std::process::Command;

/// `count` peers in sync over twenty files of peer 1.
fn in_sync(case: &str, count: usize) -> Group {
    let mut group = Group::on_loopback(case, count);
    group.start();
    for number in 0..20 {
        group[0].write(&format!("f{number}"), b"first");
    }
    group.wait_equal_to(0, seconds(20));
    group.wait_in_sync(seconds(20));
    group
}

fn copy(from: &Path, to: &Path) {
    let _missing = fs::remove_dir_all(to);
    let copied = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success());
}

#[test]
fn a_share_that_was_removed_is_no_mass_deletion_however_often_it_is_started() {
    let mut group = in_sync("removed", 2);
    group[0].terminate(seconds(10));
    fs::remove_dir_all(group[0].share()).unwrap();
    for _ in 0..2 {
        group[0].start();
        group.wait_until("peer 1 refuses to start", seconds(10), |group| {
            group[0].log().contains("is missing or empty")
        });
        group[0].kill();
        assert!(!group[0].share().exists());
        fs::write(group[0].dir.with_extension("log"), b"").unwrap();
    }
    assert_eq!(group[1].status_now().files, 20);
    // As the message says: without its index it is filled from the others.
    fs::remove_file(group[0].dir.join(".tinypeer/index.redb")).unwrap();
    group[0].start();
    group.wait_equal_to(1, seconds(20));
    assert_eq!(group[1].status_now().files, 20);
}

#[test]
fn a_folder_copied_with_its_index_becomes_a_peer_of_its_own() {
    let mut group = in_sync("copied", 3);
    for place in [0, 2] {
        group[place].terminate(seconds(10));
    }
    let (original, clone) = (group[0].dir.clone(), group[2].dir.clone());
    copy(&original, &clone);
    // Both change the same file before they meet.
    group[0].write("f5", b"of the original");
    group[2].write("f5", b"of the copy");
    group[0].start();
    group[2].start();
    // Its conflict copy may be there before the version that won: the count alone says too little.
    let both = [b"of the copy".to_vec(), b"of the original".to_vec()];
    group.wait_until("the third has both versions", seconds(30), |group| {
        versions_of("f5", &group[1].share()) == both
            && group[1].status().is_ok_and(|status| status.conflicts == 1)
    });
    group.wait_equal_to(1, seconds(20));
    assert_eq!(versions_of("f5", &group[1].share()), both);
}

/// The contents of the files in `share` whose names begin with `name`, sorted.
fn versions_of(name: &str, share: &Path) -> Vec<Vec<u8>> {
    let mut versions: Vec<Vec<u8>> = fs::read_dir(share)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(name))
        .filter_map(|entry| fs::read(entry.path()).ok())
        .collect();
    versions.sort();
    versions
}

#[test]
fn a_folder_put_back_from_a_backup_is_told_and_brought_up_to_date() {
    let mut group = in_sync("put-back", 2);
    group[0].terminate(seconds(10));
    let (dir, backup) = (group[0].dir.clone(), group.scratch.path().join("backup"));
    copy(&dir, &backup);
    group[0].start();
    for number in 0..10 {
        group[0].write(&format!("f{number}"), b"later");
    }
    group.wait_equal_to(0, seconds(20));
    for place in [0, 1] {
        group[place].terminate(seconds(10));
    }
    copy(&backup, &dir);
    group[0].start();
    for number in 0..15 {
        group[0].write(&format!("new{number}"), b"after the backup was put back");
    }
    group.wait_until("peer 1 has indexed the new ones", seconds(10), |group| {
        group[0].status().is_ok_and(|status| status.files == 35)
    });
    group[1].start();
    group.wait_until("both have all", seconds(30), |group| {
        (0..10).all(|number| group[0].has(&format!("f{number}"), b"later"))
            && (0..15).all(|number| {
                group[1].has(&format!("new{number}"), b"after the backup was put back")
            })
    });
    group.wait_in_sync(seconds(20));
    let status = group[1].status_now();
    assert_eq!((status.files, status.conflicts), (35, 0));
}
