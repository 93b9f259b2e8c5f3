//! Every operation does what its name says.

use super::{Bench, download, on_each_kernel, share};
use crate::disk::root::Resolver;
use crate::disk::{Disk, DiskFile, FileKind};
use proto_core::index::entry::Timestamp;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

#[test]
fn files_are_written_read_and_described() {
    on_each_kernel(|bench| {
        bench.disk.make_dir(share(b"a"), 0o755).unwrap();
        let file = bench.disk.create(share(b"a/f")).unwrap();
        file.reserve(1 << 20).unwrap();
        file.reserve(0).unwrap();
        file.write_all_at(10, b"hello").unwrap();
        file.write_all_at(0, b"").unwrap();
        file.start_writeback(0, 15);
        file.start_writeback(u64::MAX, u64::MAX);
        file.sync_data().unwrap();
        let copy = bench.disk.create(download(b"copy")).unwrap();
        assert_eq!(copy.copy_from(&file, 10, 3, 100).unwrap(), 5);
        assert_eq!(copy.copy_from(&file, 15, 0, 1).unwrap(), 0);
        let mut copied = [1; 20];
        assert_eq!(copy.read_at(0, &mut copied).unwrap(), 8);
        assert_eq!(&copied[..8], b"\0\0\0hello");
        assert!(file.copy_from(&copy, 0, u64::MAX, 8).is_err());
        assert_eq!(file.stat().unwrap().size, 15);
        file.set_len(12).unwrap();
        let again = bench.disk.open(share(b"a/f"), false).unwrap();
        let mut buffer = [1; 20];
        assert_eq!(again.read_at(8, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"\0\0he");
        assert_eq!(again.read_at(12, &mut buffer).unwrap(), 0);
        assert!(again.write_all_at(0, b"x").is_err());
        assert!(file.write_all_at(u64::MAX, b"x").is_err());
        let stat = bench.disk.stat(share(b"a/f")).unwrap();
        assert_eq!(stat, file.stat().unwrap());
        assert_eq!(
            (stat.kind, stat.size, stat.mode, stat.links),
            (FileKind::File, 12, 0o600, 1)
        );
        bench.disk.sync_dir(share(b"a")).unwrap();
        bench.disk.sync_dir(share(b"")).unwrap();
        // What is there is opened as it is.
        file.set_mode(0o640).unwrap();
        let same = bench.disk.create(share(b"a/f")).unwrap();
        assert_eq!(same.stat().unwrap(), file.stat().unwrap());
        bench.disk.remove_file(share(b"a/f")).unwrap();
        assert_eq!(
            bench.disk.stat(share(b"a/f")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(
            bench.disk.open(share(b"a/f"), false).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let space = bench.disk.space().unwrap();
        assert!(space.free > 0 && space.free <= space.total);
    });
}

#[test]
fn a_time_is_set_by_name_without_opening_and_never_through_a_link() {
    on_each_kernel(|bench| {
        let file = bench.disk.create(share(b"f")).unwrap();
        bench.disk.make_symlink(b"f", share(b"l")).unwrap();
        bench.disk.set_mode(share(b"f"), 0).unwrap();
        let mtime = Timestamp {
            sec: -5,
            nsec: 999_999_999,
        };
        bench.disk.set_mtime(share(b"f"), mtime).unwrap();
        assert_eq!(file.stat().unwrap().mtime, mtime);
        let other = Timestamp { sec: 7, nsec: 1 };
        bench.disk.set_mtime(share(b"l"), other).unwrap();
        assert_eq!(file.stat().unwrap().mtime, mtime, "the link got it");
        assert_eq!(bench.disk.stat(share(b"l")).unwrap().mtime, other);
        let wrong = Timestamp {
            sec: 0,
            nsec: 1_000_000_000,
        };
        let refused = bench.disk.set_mtime(share(b"f"), wrong).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn directories_are_made_listed_and_removed() {
    on_each_kernel(|bench| {
        assert!(bench.disk.list(share(b"")).unwrap().is_empty());
        bench.disk.make_dir(share(b"d"), 0o750).unwrap();
        assert_eq!(
            bench.disk.stat(share(b"d")).unwrap().kind,
            FileKind::Directory
        );
        assert_eq!(
            bench.disk.make_dir(share(b"d"), 0o750).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        let mut names: Vec<Vec<u8>> = (0..700)
            .map(|n| format!("d/{n:0>100}").into_bytes())
            .collect();
        for name in &names {
            drop(bench.disk.create(share(name)).unwrap());
        }
        names.iter_mut().for_each(|name| drop(name.drain(..2)));
        let mut listed = bench.disk.list(share(b"d")).unwrap();
        listed.sort();
        assert_eq!(listed, names);
        assert_eq!(
            bench.disk.remove_dir(share(b"d")).unwrap_err().kind(),
            ErrorKind::DirectoryNotEmpty
        );
        assert!(bench.disk.remove_file(share(b"d")).is_err());
        for name in &names {
            bench
                .disk
                .remove_file(share(&[b"d/", name.as_slice()].concat()))
                .unwrap();
        }
        bench.disk.remove_dir(share(b"d")).unwrap();
        assert_eq!(
            bench.disk.list(share(b"d")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        bench.write(b"f", b"");
        assert_eq!(
            bench.disk.list(share(b"f")).unwrap_err().kind(),
            ErrorKind::NotADirectory
        );
    });
}

#[test]
fn symlinks_are_made_read_and_followed_only_on_demand() {
    on_each_kernel(|bench| {
        std::fs::write(bench.outside().join("x"), b"elsewhere").unwrap();
        let target = bench.outside().join("x");
        let target = target.as_os_str().as_bytes();
        bench.disk.make_symlink(target, share(b"l")).unwrap();
        assert_eq!(bench.disk.read_link(share(b"l")).unwrap(), target);
        assert_eq!(
            bench.disk.stat(share(b"l")).unwrap().kind,
            FileKind::Symlink
        );
        assert_eq!(
            bench.disk.open(share(b"l"), false).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let mut buffer = [0; 9];
        let followed = bench.disk.open(share(b"l"), true).unwrap();
        assert_eq!(followed.read_at(0, &mut buffer).unwrap(), 9);
        assert_eq!(&buffer, b"elsewhere");
        assert_eq!(
            bench.disk.create(share(b"l")).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        bench
            .disk
            .make_symlink(&[b'x'; 4095], share(b"long"))
            .unwrap();
        assert_eq!(bench.disk.read_link(share(b"long")).unwrap(), [b'x'; 4095]);
        bench
            .disk
            .make_symlink(b"nowhere", share(b"dangling"))
            .unwrap();
        assert_eq!(
            bench
                .disk
                .open(share(b"dangling"), true)
                .unwrap_err()
                .kind(),
            ErrorKind::NotFound
        );
        bench.disk.make_symlink(b".", share(b"to-dir")).unwrap();
        assert_eq!(
            bench.disk.open(share(b"to-dir"), true).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            bench.disk.read_link(share(b"")).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn hard_links_link_the_symlink_itself() {
    on_each_kernel(|bench| {
        bench.write(b"f", b"1");
        bench.disk.hard_link(share(b"f"), download(b"f2")).unwrap();
        assert_eq!(
            bench.disk.stat(share(b"f")).unwrap(),
            bench.disk.stat(download(b"f2")).unwrap()
        );
        assert_eq!(bench.disk.stat(share(b"f")).unwrap().links, 2);
        bench.disk.make_symlink(b"f", share(b"l")).unwrap();
        bench.disk.hard_link(share(b"l"), share(b"l2")).unwrap();
        assert_eq!(
            bench.disk.stat(share(b"l2")).unwrap().kind,
            FileKind::Symlink
        );
        let taken = bench.disk.hard_link(share(b"f"), share(b"l")).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn permissions_are_exact_and_never_more_than_permissions() {
    // Not reset: other tests must be right under it, too.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    on_each_kernel(|bench| {
        let mode = |path: &[u8]| bench.disk.stat(share(path)).unwrap().mode;
        bench.disk.make_dir(share(b"d"), 0o6777).unwrap();
        assert_eq!(mode(b"d"), 0o777);
        bench.disk.make_dir(share(b"closed"), 0).unwrap();
        assert_eq!(mode(b"closed"), 0);
        bench.disk.set_mode(share(b"closed"), 0o700).unwrap();
        assert_eq!(mode(b"closed"), 0o700);

        bench.write(b"f", b"");
        assert_eq!(mode(b"f"), 0o600);
        // Only this may lack what the umask takes, and never what we need ourselves.
        drop(bench.disk.create_new(share(b"new"), 0o6755).unwrap());
        assert_eq!(mode(b"new"), 0o700);
        for wanted in [0o000, 0o644, 0o4755, 0o2755, 0o1777, 0o7777, 0o000, 0xffff] {
            bench.disk.set_mode(share(b"f"), wanted).unwrap();
            assert_eq!(mode(b"f"), wanted & 0o777);
            bench
                .disk
                .open(share(b"f"), false)
                .unwrap()
                .set_mode(wanted ^ 0o7777)
                .unwrap();
            assert_eq!(mode(b"f"), (wanted ^ 0o7777) & 0o777);
        }
        // What a user set on a file goes with a change, on a directory it stays.
        let set = |path: &str, mode| {
            std::fs::set_permissions(
                bench.share().join(path),
                std::fs::Permissions::from_mode(mode),
            )
            .unwrap();
        };
        set("f", 0o6755);
        bench.disk.set_mode(share(b"f"), 0o755).unwrap();
        assert_eq!(mode(b"f"), 0o755);
        set("d", 0o3775);
        bench.disk.set_mode(share(b"d"), 0o700).unwrap();
        assert_eq!(mode(b"d"), 0o3700);

        let before = bench.disk.stat(share(b"f")).unwrap();
        bench.disk.set_mode(share(b"f"), before.mode).unwrap();
        assert_eq!(bench.disk.stat(share(b"f")).unwrap(), before);

        bench.disk.make_symlink(b"f", share(b"l")).unwrap();
        assert_eq!(
            bench.disk.set_mode(share(b"l"), 0o600).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(bench.disk.stat(share(b"f")).unwrap(), before);
    });
}

#[test]
fn times_outside_the_usual_range_are_kept_to_the_nanosecond() {
    on_each_kernel(|bench| {
        let file = bench.disk.create(share(b"f")).unwrap();
        let kept = [
            (0, 0),
            (-1, 999_999_999),
            (-2_000_000_000, 1),
            (1_700_000_000, 123_456_789),
            (i64::from(i32::MAX) + 1, 5),
            (i64::from(u32::MAX) + 1, 999_999_999),
        ];
        for (sec, nsec) in kept {
            file.set_mtime(Timestamp { sec, nsec }).unwrap();
            assert_eq!(file.stat().unwrap().mtime, Timestamp { sec, nsec });
        }
        let before = file.stat().unwrap().mtime;
        // UTIME_NOW, UTIME_OMIT, and what is just too much.
        for nsec in [1_000_000_000, 0x3fff_ffff, 0x3fff_fffe, u32::MAX] {
            let error = file.set_mtime(Timestamp { sec: 1, nsec }).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(file.stat().unwrap().mtime, before);
        for sec in [i64::MIN, i64::MAX] {
            // Clamped or refused, as the file system likes.
            let _either = file.set_mtime(Timestamp { sec, nsec: 0 });
        }
    });
}

#[test]
fn names_of_any_bytes_and_of_full_length_are_kept() {
    on_each_kernel(|bench| {
        let names: [&[u8]; 6] = [
            b"\xff\xfe",
            b"new\nline",
            b"\x1b[2J",
            b" ",
            b"...",
            &[b'n'; 255],
        ];
        for name in names {
            let below = [name, b"/", name].concat();
            bench.disk.make_dir(share(name), 0o755).unwrap();
            bench.write(&below, name);
            assert_eq!(bench.read(&below), &name[..name.len().min(100)]);
            assert_eq!(bench.disk.list(share(name)).unwrap(), [name]);
            assert!(bench.share().join(OsStr::from_bytes(&below)).is_file());
        }
        assert_eq!(bench.disk.list(share(b"")).unwrap().len(), names.len());
        let error = bench.disk.create(share(&[b'n'; 256])).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    });
}

#[test]
fn what_must_not_be_changed_says_permission_denied() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let work = || {
        let mut sets = capabilities(None).unwrap();
        let overriding = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        sets.effective.remove(overriding);
        set_capabilities(None, sets).unwrap(); // of this thread alone
        for resolver in [Resolver::Walk, Resolver::Openat2] {
            let bench = Bench::new(resolver, true);
            bench.disk.make_dir(share(b"d"), 0o755).unwrap();
            bench.write(b"d/f", b"");
            bench.disk.set_mode(share(b"d/f"), 0).unwrap();
            assert_eq!(
                bench.disk.open(share(b"d/f"), false).unwrap_err().kind(),
                ErrorKind::PermissionDenied
            );
            // Its owner may change it though nobody may read it.
            bench.disk.set_mode(share(b"d/f"), 0o400).unwrap();
            bench.disk.set_mode(share(b"d"), 0o500).unwrap();
            let denied = [
                bench.disk.create(share(b"d/new")).map(drop),
                bench.disk.make_dir(share(b"d/new"), 0o755),
                bench.disk.remove_file(share(b"d/f")),
                bench.disk.rename(
                    share(b"d/f"),
                    share(b"g"),
                    crate::disk::RenameMode::NoReplace,
                ),
            ];
            for result in denied {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
            }
            bench.disk.set_mode(share(b"d"), 0).unwrap();
            assert_eq!(
                bench.disk.list(share(b"d")).unwrap_err().kind(),
                ErrorKind::PermissionDenied
            );
            assert_eq!(
                bench.disk.stat(share(b"d/f")).unwrap_err().kind(),
                ErrorKind::PermissionDenied
            );
            bench.disk.set_mode(share(b"d"), 0o700).unwrap();
        }
    };
    std::thread::spawn(work).join().unwrap();
}
