//! Folders that are not what they were: removed, copied with their index, put back from a backup.

use crate::harness::program::tool;
use crate::harness::{Group, seconds, skip};
use std::fs;
use std::path::{Path, PathBuf};
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

/// A disk in a file, mounted at a folder: put back, not even the births of its files differ.
struct Disk {
    image: PathBuf,
    folder: PathBuf,
}

impl Disk {
    /// An error says why this machine cannot.
    fn new(image: PathBuf, folder: PathBuf) -> Result<Self, String> {
        let file = fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(64 << 20).map_err(|error| error.to_string())?;
        tool(&format!("mkfs.ext4 -q -F {}", image.display()))?;
        let disk = Self { image, folder };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        let (image, folder) = (self.image.display(), self.folder.display());
        tool(&format!("mount -o loop {image} {folder}")).map(drop)
    }

    fn unmount(&self) -> Result<(), String> {
        tool(&format!("umount {}", self.folder.display())).map(drop)
    }

    fn snapshot(&self) -> PathBuf {
        let snapshot = self.image.with_extension("snapshot");
        self.unmount().unwrap();
        fs::copy(&self.image, &snapshot).unwrap();
        self.mount().unwrap();
        snapshot
    }

    fn go_back(&self, snapshot: &Path) {
        self.unmount().unwrap();
        fs::copy(snapshot, &self.image).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A peer that still runs after a failure holds it.
        let _ = tool(&format!("umount -l {}", self.folder.display()));
    }
}

#[test]
fn what_a_machine_that_went_back_writes_then_comes_to_those_who_had_read_further() {
    let mut group = Group::on_loopback("went-back", 3);
    let image = group.scratch.path().join("disk");
    let disk = match Disk::new(image, group[0].dir.clone()) {
        Ok(disk) => disk,
        Err(why) => return skip("went-back", &why),
    };
    fs::create_dir(group[0].share()).unwrap();
    group.start();
    group[0].write("first", b"first");
    group.wait_equal_to(0, seconds(20));
    group.wait_in_sync(seconds(20));
    group[0].terminate(seconds(10));
    let snapshot = disk.snapshot();
    group[0].start();
    group[0].write("lost", b"lost");
    group.wait_equal_to(0, seconds(20));
    for place in 0..3 {
        group[place].terminate(seconds(10));
    }
    disk.go_back(&snapshot);
    // More than was lost, in two lives that meet nobody.
    for life in 0..2 {
        group[0].start();
        for number in 0..5 {
            group[0].write(&format!("new {life} {number}"), b"new");
        }
        group.wait_until("they are indexed", seconds(10), |group| {
            group[0]
                .status()
                .is_ok_and(|status| status.files == 1 + 5 * (life + 1))
        });
        group[0].terminate(seconds(10));
    }
    for place in 0..3 {
        group[place].start();
    }
    group.wait_until("all have all", seconds(30), |group| {
        (0..3).all(|place| {
            group[place]
                .status()
                .is_ok_and(|status| status.files == 12 && status.pending == 0)
        })
    });
    group.wait_in_sync(seconds(20));
    group.wait_equal_to(0, seconds(20));
    assert_eq!(group[0].read("lost"), Some(b"lost".to_vec()));
    assert_eq!(group[0].status_now().conflicts, 0);
}
