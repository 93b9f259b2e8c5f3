//! What is here already does not come over the network.

use crate::harness::folder::write_random;
use crate::harness::{Group, seconds};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

#[test]
fn a_change_in_the_middle_of_a_large_file_moves_little() {
    let mut group = Group::on_loopback("delta", 2);
    group.start();
    let size = 20_000_000;
    write_random(&group.scratch.path().join("large"), 1, size);
    fs::rename(group.scratch.path().join("large"), group[0].path("large")).unwrap();
    group.wait_equal_to(0, seconds(60));
    group.wait_in_sync(seconds(20));
    let before = group[1].status_now().received();
    assert!(before > size);

    let file = File::options()
        .write(true)
        .open(group[0].path("large"))
        .unwrap();
    file.write_all_at(b"something else", size / 2).unwrap();
    drop(file);
    group.wait_equal_to(0, seconds(60));
    group.wait_in_sync(seconds(20));
    let moved = group[1].status_now().received() - before;
    assert!(moved < 400_000, "{moved} bytes");
}

#[test]
fn a_moved_folder_moves_no_content() {
    let mut group = Group::on_loopback("moved-folder", 2);
    group.start();
    let files = 500;
    let tree = group.scratch.path().join("tree");
    for number in 0..files {
        write_random(&tree.join(number.to_string()), number, 8_000);
    }
    fs::rename(&tree, group[0].path("tree")).unwrap();
    group.wait_equal_to(0, seconds(60));
    group.wait_in_sync(seconds(20));
    let before = group[1].status_now().received();
    assert!(before > files * 8_000);

    fs::rename(group[0].path("tree"), group[0].path("other")).unwrap();
    group.wait_equal_to(0, seconds(60));
    group.wait_in_sync(seconds(20));
    let moved = group[1].status_now().received() - before;
    // An entry that comes and one that goes, for each.
    assert!(moved < files * 400, "{moved} bytes");
}
