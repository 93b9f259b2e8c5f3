//! Much: one file beyond 32 bits, and many files.

use crate::harness::folder::{same_bytes, write_random};
use crate::harness::{Group, seconds, skip};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

const GIB: u64 = 1 << 30;

#[test]
fn a_file_beyond_four_gib() {
    let size = 5 * GIB + 12_345;
    let mut group = Group::on_loopback("beyond-4-gib", 2);
    let space = rustix::fs::statvfs(group.scratch.path()).expect("statvfs");
    // The other peer may write out the holes, once in download/ and never twice; and room to spare.
    if space.f_bavail * space.f_frsize < 12 * GIB {
        skip("beyond-4-gib", "less than 12 GiB free on the disk");
        return;
    }
    group.start();
    let source = group.scratch.path().join("sparse");
    let file = File::create(&source).expect("create a file");
    file.set_len(size).expect("make it long");
    for (place, bytes) in [
        (0, b"begin"),
        (4 * GIB - 2, b"4-GiB"),
        (4 * GIB + 777_777, b"above"),
        (size - 5, b"end!!"),
    ] {
        file.write_all_at(bytes, place).expect("write into it");
    }
    drop(file);
    fs::rename(&source, group[0].path("sparse")).unwrap();
    group.wait_until("5 GiB arrive", seconds(240), |group| {
        group[1]
            .path("sparse")
            .metadata()
            .is_ok_and(|metadata| metadata.len() == size)
    });
    assert!(
        same_bytes(&group[0].path("sparse"), &group[1].path("sparse")).unwrap(),
        "byte for byte"
    );
    group.wait_in_sync(seconds(20));
    let status = group[1].status_now();
    assert_eq!(status.bytes, size);
    assert!(
        status.received() < size * 11 / 10,
        "nothing comes twice: {} bytes",
        status.received()
    );
}

#[test]
fn three_thousand_small_files() {
    let mut group = Group::on_loopback("three-thousand", 3);
    group.start();
    let tree = group.scratch.path().join("tree");
    for number in 0..3000_u64 {
        let path = tree.join(format!("{}/{}/{number}.dat", number % 10, number % 37));
        write_random(&path, number, number * 7 % 5_000);
    }
    fs::rename(&tree, group[0].path("tree")).unwrap();
    group.wait_equal_to(0, seconds(60));
    group.wait_in_sync(seconds(20));
    assert!(
        group
            .peers
            .iter()
            .all(|peer| peer.status_now().files == 3000),
        "{}",
        group.report()
    );

    fs::remove_dir_all(group[2].path("tree/3")).unwrap();
    fs::rename(group[2].path("tree/4"), group[2].path("tree/3")).unwrap();
    group.wait_equal_to(2, seconds(60));
}
