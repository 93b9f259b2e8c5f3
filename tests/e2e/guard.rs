//! The guard against mass deletion, with the command that lifts it.

use crate::harness::program::run;
use crate::harness::{Group, seconds};
use std::fs;
use std::path::Path;

/// Two peers with a hundred files.
fn hundred(test: &str) -> Group {
    let mut group = Group::on_loopback(test, 2);
    for number in 0..100 {
        let name = format!("folder/{}/{number}", number % 4);
        group[0].write(&name, name.as_bytes());
    }
    group.start();
    group.wait_equal_to(0, seconds(20));
    group
}

fn files(path: &Path) -> u64 {
    let children = fs::read_dir(path).unwrap().flatten();
    children
        .map(|child| match child.file_type().unwrap().is_dir() {
            true => files(&child.path()),
            false => 1,
        })
        .sum()
}

#[test]
fn emptying_a_folder_waits_for_resume() {
    let mut group = hundred("emptied");
    for child in fs::read_dir(group[0].share()).unwrap().flatten() {
        fs::remove_dir_all(child.path()).unwrap();
    }
    group.wait_until("the deletion is stopped", seconds(20), |group| {
        let status = group[0].status_now();
        status
            .errors
            .iter()
            .any(|error| error.contains("100 of 100") && error.contains("tinypeer resume"))
    });
    assert_eq!(group[0].ask(&["--wait", "1"]).status.code(), Some(1));
    assert_eq!(files(&group[1].share()), 100, "{}", group.report());
    // A restart decides nothing either.
    group[0].terminate(seconds(5));
    group[0].start_and_wait(seconds(10));
    group.wait_until("it is still stopped", seconds(20), |group| {
        !group[0].status_now().errors.is_empty()
    });
    assert_eq!(files(&group[1].share()), 100, "{}", group.report());

    let dir = group[0].dir.to_str().unwrap().to_owned();
    let output = run(group.scratch.path(), &["resume", "--dir", &dir]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("100 files"),
        "{said}"
    );
    group.wait_until("all is deleted everywhere", seconds(20), |group| {
        group.peers.iter().all(|peer| files(&peer.share()) == 0)
    });
    group.wait_in_sync(seconds(10));
    let again = run(group.scratch.path(), &["resume", "--dir", &dir]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("no deletion"));
    group[0].terminate(seconds(5));
    let nobody = run(group.scratch.path(), &["resume", "--dir", &dir]);
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn renaming_the_only_folder_is_no_deletion() {
    let group = hundred("renamed-all");
    fs::rename(group[0].path("folder"), group[0].path("new")).unwrap();
    group.wait_equal_to(0, seconds(20));
    group.wait_in_sync(seconds(10));
    assert!(group[1].path("new").is_dir() && !group[1].path("folder").exists());
    assert!(!group[0].log().contains("are gone from share/"));
}

#[test]
fn max_delete_100_guards_nothing() {
    let mut group = hundred("unguarded");
    group[0].terminate(seconds(5));
    group[0].options = vec!["--max-delete".to_owned(), "100".to_owned()];
    group[0].start_and_wait(seconds(10));
    group.wait_in_sync(seconds(20));
    fs::remove_dir_all(group[0].path("folder")).unwrap();
    group.wait_until("all is deleted everywhere", seconds(20), |group| {
        group.peers.iter().all(|peer| files(&peer.share()) == 0)
    });
    group.wait_in_sync(seconds(10));
}
