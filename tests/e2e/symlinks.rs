//! The three modes of symlinks, and things that are neither file nor folder nor symlink.

use crate::harness::folder::Node;
use crate::harness::{Group, Snapshot, seconds};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

fn group_with(test: &str, mode: &str) -> Group {
    let mut group = Group::on_loopback(test, 2);
    for peer in &mut group.peers {
        peer.options = vec!["--symlinks".to_owned(), mode.to_owned()];
    }
    group.start();
    group
}

#[test]
fn follow_shares_the_content_and_never_writes_through_the_link() {
    let mut group = group_with("follow", "follow");
    let outside = group.scratch.folder("outside");
    fs::write(outside.join("target"), b"outside").unwrap();
    symlink(outside.join("target"), group[0].path("link")).unwrap();
    symlink("nowhere", group[0].path("dangling")).unwrap();
    group.wait_until("the content reaches peer 2", seconds(10), |group| {
        group[1].has("link", b"outside")
    });
    assert!(
        group[1].path("link").symlink_metadata().unwrap().is_file(),
        "peer 2 has a file of its own"
    );

    group[1].write("link", b"changed on peer 2");
    group.wait_until("the change reaches peer 1", seconds(10), |group| {
        group[0].has("link", b"changed on peer 2")
    });
    assert!(
        group[0].path("link").symlink_metadata().unwrap().is_file(),
        "the link was replaced"
    );
    assert_eq!(
        fs::read(outside.join("target")).unwrap(),
        b"outside",
        "the target was not written"
    );
    assert!(
        group[1].path("dangling").symlink_metadata().is_err(),
        "a link to nothing is not shared"
    );
    assert!(group.peers.iter_mut().all(super::harness::Peer::is_running));
}

#[test]
fn keep_shares_the_link_itself() {
    let group = group_with("keep", "keep");
    let outside = group.scratch.folder("outside");
    fs::write(outside.join("secret"), b"outside").unwrap();
    symlink("../some/target", group[0].path("relative")).unwrap();
    symlink(&outside, group[0].path("absolute")).unwrap();
    group[0].write("folder/file", b"inside");
    let kept = group.wait_equal_to(0, seconds(10));
    assert_eq!(
        kept.0.get(Path::new("relative")),
        Some(&Node::Symlink("../some/target".into()))
    );

    // A link where a folder was: what is below it must not reach the link's target.
    group[1].write("folder/second", b"inside");
    group.wait_equal_to(1, seconds(10));
    fs::remove_dir_all(group[0].path("folder")).unwrap();
    symlink(&outside, group[0].path("folder")).unwrap();
    group.wait_equal_to(0, seconds(10));
    let found = Snapshot::full(&outside).unwrap();
    assert_eq!(
        found.paths(),
        [Path::new("secret")],
        "nothing outside was changed"
    );
}

#[test]
fn skip_leaves_links_alone() {
    let group = group_with("skip", "skip");
    let outside = group.scratch.folder("outside");
    fs::write(outside.join("target"), b"outside").unwrap();
    symlink(outside.join("target"), group[0].path("link")).unwrap();
    group[0].write("file", b"file");
    group.wait_until("the file reaches peer 2", seconds(10), |group| {
        group[1].has("file", b"file")
    });
    group.wait_in_sync(seconds(10));
    assert!(
        group[1].path("link").symlink_metadata().is_err(),
        "the link is not shared"
    );
    assert!(
        group[0].path("link").is_symlink(),
        "the link is still there"
    );
}

#[test]
fn a_fifo_and_a_socket_are_named_and_do_not_block() {
    let mut group = Group::on_loopback("fifo", 2);
    let fifo = group[0].path("a-fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0)
        .expect("make a fifo");
    let _socket = UnixListener::bind(group[0].path("a-socket")).expect("make a socket");
    group.start();
    group[0].write("file", b"after the fifo");
    group.wait_until("a file beside them reaches peer 2", seconds(10), |group| {
        group[1].has("file", b"after the fifo")
    });
    group.wait_in_sync(seconds(10));
    let reached = Snapshot::metadata(&group[1].share()).unwrap();
    assert_eq!(reached.paths(), [Path::new("file")]);
    let told = format!("{} {:?}", group[0].log(), group[0].status_now().errors);
    assert!(
        told.contains("a-fifo") && told.contains("a-socket"),
        "both are named: {told}"
    );
}

#[test]
fn a_link_to_a_file_of_proc_is_named_and_the_rest_is_in_sync() {
    let group = group_with("proc-link", "follow");
    symlink("/proc/cpuinfo", group[0].path("cpu")).unwrap();
    group[0].write("file", b"text");
    group.wait_until("a file beside it reaches peer 2", seconds(10), |group| {
        group[1].has("file", b"text")
    });
    group.wait_in_sync(seconds(10));
    let reached = Snapshot::metadata(&group[1].share()).unwrap();
    assert_eq!(reached.paths(), [Path::new("file")]);
    assert!(group[0].log().contains("cpu is a file"), "it is named");
}
