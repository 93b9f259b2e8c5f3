//! Small files travel as zip files that any tool can open.

use crate::harness::folder::{same_bytes, write_random};
use crate::harness::program::tool;
use crate::harness::{Group, seconds, skip};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The zip files that a peer keeps.
fn zips(share: &Path) -> Vec<PathBuf> {
    let folder = share.with_file_name("zip");
    let entries = fs::read_dir(folder).expect("zip/");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

#[test]
fn other_tools_open_what_is_sent_and_nothing_of_it_stays() {
    let mut group = Group::on_loopback("bundles", 3);
    // As long as one that is configured is away, bundles are kept for it.
    for place in [0, 1] {
        group.peers[place].start_and_wait(seconds(10));
    }
    let tree = group.scratch.path().join("tree");
    for number in 0..300_u64 {
        let size = [1, 4096, 40_000][number as usize % 3];
        write_random(
            &tree.join(format!("{}/ä {number}", number % 7)),
            number,
            size,
        );
    }
    fs::rename(&tree, group[0].path("tree")).unwrap();
    let name = |number: u64| format!("tree/{}/ä {number}", number % 7);
    group.wait_until("300 files arrive", seconds(60), |group| {
        (0..300).all(|number| group[1].path(&name(number)).exists())
    });
    for number in 0..300 {
        let name = name(number);
        assert!(same_bytes(&group[0].path(&name), &group[1].path(&name)).unwrap());
    }
    let kept = zips(&group[0].share());
    assert!(!kept.is_empty(), "{}", group.report());
    let code = "import sys, zipfile\n\
                with zipfile.ZipFile(sys.argv[1]) as file:\n\
                \x20   assert file.testzip() is None\n\
                \x20   print(len(file.namelist()))\n\
                \x20   assert all(name.startswith('tree/') for name in file.namelist())\n";
    if tool("python3 --version").is_ok() {
        let mut members = 0;
        for zip in &kept {
            let run = Command::new("python3").args(["-c", code]).arg(zip).output();
            let run = run.expect("python3");
            assert!(run.status.success(), "{zip:?}: {run:?}");
            let count = String::from_utf8_lossy(&run.stdout);
            members += count.trim().parse::<usize>().expect("a number");
        }
        // Some may have come by themselves, when they were told of before the others.
        assert!((150..=300).contains(&members), "{members} members");
    } else {
        skip("bundles", "there is no python3");
    }
    if tool("unzip -v").is_ok() {
        for zip in &kept {
            let run = Command::new("unzip").arg("-tq").arg(zip).output();
            let run = run.expect("unzip");
            assert!(run.status.success(), "{zip:?}: {run:?}");
        }
    }
    group.peers[2].start_and_wait(seconds(10));
    group.wait_equal_to(0, seconds(60));
    group.wait_in_sync(seconds(20));
    group.wait_until("bundles go", seconds(20), |group| {
        group
            .peers
            .iter()
            .all(|peer| zips(&peer.share()).is_empty())
    });
}
