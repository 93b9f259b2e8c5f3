//! Opening the folders, their guards, and the lock.

use super::{Bench, on_each_kernel, share};
use crate::disk::folders::RealDisk;
use crate::disk::instance_lock::InstanceLock;
use crate::disk::root::Resolver;
use crate::disk::{Disk, Place};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use tempfile::TempDir;

#[test]
fn missing_folders_are_made_and_found_again() {
    let temp = TempDir::new().unwrap();
    let first = RealDisk::open(temp.path()).unwrap();
    assert!(first.made_share());
    for name in ["share", "zip", "download", ".tinypeer", ".tinypeer/trash"] {
        assert!(temp.path().join(name).is_dir(), "{name}");
    }
    let private = temp
        .path()
        .join(".tinypeer")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(private & 0o077, 0);
    let second = RealDisk::open(temp.path()).unwrap();
    assert!(!second.made_share());
    assert_eq!(
        first.share_identity().unwrap(),
        second.share_identity().unwrap()
    );
    let there = temp.path().join("share").metadata().unwrap();
    assert_eq!(first.share_identity().unwrap(), (there.dev(), there.ino()));
}

#[test]
fn a_missing_directory_is_not_made() {
    let temp = TempDir::new().unwrap();
    let error = RealDisk::open(&temp.path().join("nowhere")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn a_folder_that_is_a_file_or_a_symlink_is_refused() {
    for name in ["share", "zip", "download", ".tinypeer"] {
        let temp = TempDir::new().unwrap();
        std::fs::write(temp.path().join(name), b"").unwrap();
        let error = RealDisk::open(temp.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        assert!(error.to_string().contains(name), "{error}");

        let temp = TempDir::new().unwrap();
        let other = TempDir::new().unwrap();
        symlink(other.path(), temp.path().join(name)).unwrap();
        let error = RealDisk::open(temp.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_share_that_is_not_what_it_was_is_noticed() {
    on_each_kernel(|bench| {
        bench.disk.check_share().unwrap();
        let away = bench.temp.path().join("peer/away");
        std::fs::rename(bench.share(), &away).unwrap();
        assert_eq!(
            bench.disk.check_share().unwrap_err().kind(),
            ErrorKind::NotFound
        );
        std::fs::create_dir(bench.share()).unwrap();
        assert!(
            bench
                .disk
                .check_share()
                .unwrap_err()
                .to_string()
                .contains("share")
        );
        std::fs::remove_dir(bench.share()).unwrap();
        symlink(&away, bench.share()).unwrap();
        bench.disk.check_share().unwrap_err();
        std::fs::remove_file(bench.share()).unwrap();
        std::fs::rename(&away, bench.share()).unwrap();
        bench.disk.check_share().unwrap();

        std::fs::remove_dir(bench.share()).unwrap();
        assert!(
            bench
                .disk
                .check_share()
                .unwrap_err()
                .to_string()
                .contains("was deleted")
        );
        // A new one often gets the inode number of the old one; what is held is still the old one.
        std::fs::create_dir(bench.share()).unwrap();
        bench.disk.check_share().unwrap_err();
        assert_eq!(
            bench
                .disk
                .make_dir(share(b"lost"), 0o755)
                .unwrap_err()
                .kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn every_place_is_its_own_folder() {
    let bench = Bench::new(Resolver::Walk, true);
    let folders = [
        (Place::Share, "share"),
        (Place::Download, "download"),
        (Place::Zip, "zip"),
        (Place::State, ".tinypeer"),
        (Place::Trash, ".tinypeer/trash"),
    ];
    for (place, name) in folders {
        drop(
            bench
                .disk
                .create(crate::disk::At {
                    place,
                    path: b"mark",
                })
                .unwrap(),
        );
        let path = bench.temp.path().join("peer").join(name).join("mark");
        assert!(path.is_file(), "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_lock_keeps_a_second_instance_out_until_it_is_dropped() {
    let bench = Bench::new(Resolver::Walk, true);
    let second = RealDisk::open(&bench.temp.path().join("peer")).unwrap();
    let lock = InstanceLock::acquire(&bench.disk).unwrap();
    assert!(lock.is_some());
    assert!(InstanceLock::acquire(&second).unwrap().is_none());
    drop(lock);
    assert!(InstanceLock::acquire(&second).unwrap().is_some());
}
