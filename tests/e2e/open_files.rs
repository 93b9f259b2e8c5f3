//! A system that lets few files be open at once.

use crate::harness::folder::write_random;
use crate::harness::{Group, seconds};
use std::fs;

const FILES: u64 = 3000;
const SIZE: u64 = 2000;

#[test]
fn with_few_open_files_many_small_ones_come_once() {
    let mut group = Group::on_loopback("open-files", 2);
    for peer in &mut group.peers {
        peer.open_files = Some(128);
    }
    group.start();
    let tree = group.scratch.path().join("tree");
    for number in 0..FILES {
        write_random(&tree.join(number.to_string()), number, SIZE);
    }
    let before = group[1].status_now().received();
    fs::rename(&tree, group[0].path("tree")).unwrap();
    group.wait_equal_to(0, seconds(60));
    group.wait_in_sync(seconds(20));
    let received = group[1].status_now().received() - before;
    assert!(received < FILES * SIZE * 3 / 2, "{received} bytes");
    for peer in &group.peers {
        assert!(
            !peer.log().contains("Too many open files"),
            "{}",
            group.report()
        );
    }
}
