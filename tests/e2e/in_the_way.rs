//! What is in the way of a landing, or keeps us out: it is said, and the sentence goes with its cause.

use crate::harness::folder::{set_mode, set_mtime};
use crate::harness::{Group, Snapshot, seconds};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
        .expect("make a fifo");
}

#[test]
fn links_make_way_and_a_fifo_is_named_until_it_is_gone() {
    let mut group = Group::on_loopback("in-the-way", 2);
    let outside = group.scratch.folder("outside");
    symlink("nowhere", group[0].path("dangling")).unwrap();
    symlink(&outside, group[0].path("to-a-folder")).unwrap();
    make_fifo(&group[0].path("a-fifo"));
    group.start();
    for name in ["dangling", "to-a-folder", "a-fifo"] {
        group[1].write(name, b"a file");
    }
    group.wait_until(
        "the links are replaced, the fifo is named",
        seconds(10),
        |group| {
            let errors = group[0].status_now().errors;
            group[0].has("dangling", b"a file")
                && group[0].has("to-a-folder", b"a file")
                && errors.len() == 1
                && errors[0].contains("a-fifo")
        },
    );
    assert_eq!(
        fs::read_dir(&outside).unwrap().count(),
        0,
        "nothing was written there"
    );
    assert_eq!(
        group[0].ask(&["--wait", "1"]).status.code(),
        Some(1),
        "not in sync"
    );
    fs::remove_file(group[0].path("a-fifo")).unwrap();
    group.wait_until("the file is there and all is well", seconds(10), |group| {
        group[0].has("a-fifo", b"a file") && group[0].status_now().errors.is_empty()
    });
    group.wait_in_sync(seconds(10));
    let times = group[0].log().matches("a-fifo cannot be landed").count();
    assert_eq!(times, 1, "said once");
}

#[test]
fn what_became_a_link_that_is_not_shared_is_deleted() {
    for (mode, target) in [("follow", "nowhere"), ("skip", "other")] {
        let mut group = Group::on_loopback("became-a-link", 2);
        for peer in &mut group.peers {
            peer.options = vec!["--symlinks".to_owned(), mode.to_owned()];
        }
        group.start();
        group[0].write("file", b"a file");
        group[0].write("other", b"another one");
        group.wait_equal_to(0, seconds(10));
        fs::remove_file(group[0].path("file")).unwrap();
        symlink(target, group[0].path("file")).unwrap();
        group.wait_until("it is gone on peer 2", seconds(10), |group| {
            !group[1].path("file").exists() && group[1].has("other", b"another one")
        });
        group.wait_in_sync(seconds(10));
        assert!(group[0].path("file").is_symlink(), "the link stays");
    }
}

#[test]
fn a_followed_link_that_leads_nowhere_is_said_and_not_deleted() {
    let mut group = Group::on_loopback("followed", 2);
    group.start();
    let target = group.scratch.path().join("target");
    fs::write(&target, b"outside").unwrap();
    symlink(&target, group[0].path("link")).unwrap();
    group.wait_until("it is shared", seconds(10), |group| {
        group[1].has("link", b"outside")
    });
    fs::remove_file(&target).unwrap();
    // Nothing tells of what happens outside: the next look is that of a start.
    group[0].terminate(seconds(10));
    group[0].start_and_wait(seconds(10));
    group.wait_until("it is said", seconds(10), |group| {
        let errors = group[0].status_now().errors;
        errors.len() == 1 && errors[0].contains("link")
    });
    assert!(group[1].has("link", b"outside"), "the others keep it");
    fs::remove_file(group[0].path("link")).unwrap();
    group.wait_in_sync(seconds(10));
    assert!(!group[1].path("link").exists() && group[0].status_now().errors.is_empty());
}

#[test]
fn a_peer_that_is_not_root_fills_closed_folders_and_keeps_files_it_may_not_read() {
    let mut group = Group::on_loopback("not-root", 2);
    group[1].run_as_nobody();
    group.start();
    fs::create_dir_all(group[0].path("module/sub")).unwrap();
    group[0].write("module/sub/file", b"deep");
    group[0].write("module/file", b"text");
    group[0].write("secret", b"not to be read");
    for (name, mode) in [
        ("secret", 0o200),
        ("module/file", 0o444),
        ("module/sub", 0o555),
        ("module", 0o555),
    ] {
        set_mode(&group[0].path(name), mode);
    }
    group.wait_in_sync(seconds(20));
    let metadata = |group: &Group| {
        let [one, two] = [0, 1].map(|peer| Snapshot::metadata(&group[peer].share()).unwrap());
        one.difference(&two)
    };
    group.wait_until("the folders are there", seconds(20), |group| {
        metadata(group).is_empty()
    });
    // Changes below, and what would be hashed again after a start.
    fs::remove_file(group[0].path("module/sub/file")).unwrap();
    group[0].write("module/sub/new", b"new");
    set_mtime(&group[0].path("secret"), 1_000_000_000, 7);
    group.wait_until("the changes are there", seconds(20), |group| {
        metadata(group).is_empty()
    });
    group[1].terminate(seconds(10));
    group[1].start_and_wait(seconds(10));
    group.wait_in_sync(seconds(20));
    assert_eq!(metadata(&group), "");
    assert_eq!(group[1].status_now().errors, [""; 0]);
}

#[test]
fn a_folder_that_cannot_be_read_is_not_in_sync_until_it_can() {
    let mut group = Group::on_loopback("unreadable", 2);
    group[1].run_as_nobody();
    group[1].write("closed/file", b"text");
    group[1].give_to_nobody();
    set_mode(&group[1].path("closed"), 0);
    for peer in &mut group.peers {
        peer.start_and_wait(seconds(10));
    }
    group.wait_until("it is said", seconds(10), |group| {
        let errors = group[1].status_now().errors;
        errors.len() == 1 && errors[0].contains("closed")
    });
    assert_eq!(
        group[1].ask(&["--wait", "1"]).status.code(),
        Some(1),
        "not in sync"
    );
    set_mode(&group[1].path("closed"), 0o755);
    group.wait_until("the file comes", seconds(10), |group| {
        group[0].has("closed/file", b"text")
    });
    group.wait_in_sync(seconds(10));
    assert_eq!(group[1].status_now().errors, [""; 0]);
}

#[test]
fn a_name_that_is_too_long_is_said() {
    let mut group = Group::on_loopback("too-long", 2);
    group.start();
    let part = "x".repeat(250);
    let share = rustix::fs::open(
        group[0].share(),
        rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    // Deeper than a path can say in one piece: folder by folder.
    let mut folder = share;
    for _ in 0..17 {
        rustix::fs::mkdirat(&folder, &part, rustix::fs::Mode::RWXU).unwrap();
        folder = rustix::fs::openat(
            &folder,
            &part,
            rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
    }
    group.wait_until("it is said", seconds(20), |group| {
        let errors = group[0].status_now().errors;
        errors.len() == 1 && errors[0].contains("too long") | errors[0].contains("bytes long")
    });
    assert_eq!(
        group[0].ask(&["--wait", "1"]).status.code(),
        Some(1),
        "not in sync"
    );
}
