//! Paths and things that a hostile peer or user could put in the way.

use super::{download, on_each_kernel, share, snapshot};
use crate::disk::{At, Disk, DiskFile, RenameMode};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixListener;

/// Every operation on a path; `Ok` names those that succeeded.
pub(super) fn attempt_all(disk: &impl Disk, path: &[u8]) -> Vec<(&'static str, io::Result<()>)> {
    let at = share(path);
    let spare = download(b"spare");
    let clear = |path| {
        let _absent = disk
            .remove_file(download(path))
            .or_else(|_| empty(disk, path));
    };
    let renew = || {
        clear(b"spare");
        drop(disk.create(spare).unwrap());
    };
    renew();
    let mut results = vec![
        ("stat", disk.stat(at).map(drop)),
        ("open", disk.open(at, false).map(drop)),
        ("open and follow", disk.open(at, true).map(drop)),
        (
            "create",
            disk.create(at).and_then(|file| file.write_all_at(0, b"in")),
        ),
        ("open_seen", disk.open_seen(at).map(drop)),
        ("list", disk.list(at).map(drop)),
        ("read_link", disk.read_link(at).map(drop)),
        ("set_mode", disk.set_mode(at, 0o711)),
        ("sync_dir", disk.sync_dir(at)),
        ("hard_link from", disk.hard_link(at, download(b"linked"))),
        (
            "rename from",
            disk.rename(at, download(b"moved"), RenameMode::Replace),
        ),
        ("remove_dir", disk.remove_dir(at)),
        ("remove_file", disk.remove_file(at)),
        ("make_dir", disk.make_dir(at, 0o700)),
        ("remove_dir", disk.remove_dir(at)),
        ("make_symlink", disk.make_symlink(b"x", at)),
        ("remove_file", disk.remove_file(at)),
        ("hard_link to", disk.hard_link(spare, at)),
    ];
    for mode in [
        RenameMode::NoReplace,
        RenameMode::Replace,
        RenameMode::Exchange,
    ] {
        renew();
        results.push(("rename to", disk.rename(spare, at, mode)));
        results.push(("rename exchanging", disk.rename(at, spare, mode)));
    }
    for left in [&b"linked"[..], b"moved", b"spare"] {
        clear(left);
    }
    results
}

/// Removes a directory in `download/` that may hold files and empty directories.
fn empty(disk: &impl Disk, path: &[u8]) -> io::Result<()> {
    for name in disk.list(download(path))? {
        let inner = [path, b"/", &name].concat();
        disk.remove_file(download(&inner))
            .or_else(|_| empty(disk, &inner))?;
    }
    disk.remove_dir(download(path))
}

fn all_fail(disk: &impl Disk, path: &[u8]) {
    for (operation, result) in attempt_all(disk, path) {
        assert!(result.is_err(), "{operation} of {path:?}");
    }
}

#[test]
fn a_path_that_is_not_plain_is_refused_by_every_operation() {
    on_each_kernel(|bench| {
        std::fs::write(bench.outside().join("x"), b"out").unwrap();
        bench.disk.make_dir(share(b"a"), 0o755).unwrap();
        let outside = snapshot(&bench.outside());
        let paths: [&[u8]; 17] = [
            b"..",
            b".",
            b"/",
            b"a/",
            b"/a",
            b"a//x",
            b"a/.",
            b"./a",
            b"a/..",
            b"../x",
            b"../../outside/x",
            b"a/../../../outside/x",
            b"a/../a",
            b"a\0b",
            b"\0",
            b"a/\0",
            b"/etc/passwd",
        ];
        for path in paths {
            for (operation, result) in attempt_all(&bench.disk, path) {
                assert_eq!(
                    result.unwrap_err().kind(),
                    ErrorKind::InvalidInput,
                    "{operation} of {path:?}"
                );
            }
        }
        assert_eq!(snapshot(&bench.outside()), outside);
        assert_eq!(bench.disk.list(share(b"")).unwrap(), [b"a"]);
    });
}

#[test]
fn nothing_goes_through_a_symlink_in_the_directory_part() {
    on_each_kernel(|bench| {
        std::fs::create_dir(bench.outside().join("d")).unwrap();
        std::fs::write(bench.outside().join("x"), b"out").unwrap();
        std::fs::write(bench.outside().join("d/x"), b"out").unwrap();
        std::os::unix::fs::symlink("x", bench.outside().join("l")).unwrap();
        let outside = snapshot(&bench.outside());
        bench.disk.make_dir(share(b"real"), 0o755).unwrap();
        bench.write(b"real/x", b"in");
        for target in [
            "../../outside",
            "/",
            "real",
            "../share",
            ".",
            "/proc/self/cwd",
            "/proc/self/fd/0",
        ] {
            bench
                .disk
                .make_symlink(target.as_bytes(), share(b"link"))
                .unwrap();
            for path in [
                &b"link/x"[..],
                b"link/d",
                b"link/d/x",
                b"link/l",
                b"link/new",
                b"link/new/x",
            ] {
                all_fail(&bench.disk, path);
            }
            assert_eq!(
                bench.disk.read_link(share(b"link")).unwrap(),
                target.as_bytes()
            );
            bench.disk.remove_file(share(b"link")).unwrap();
        }
        assert_eq!(snapshot(&bench.outside()), outside);
        assert_eq!(bench.read(b"real/x"), b"in");
    });
}

#[test]
fn our_own_folders_are_not_operated_on_as_things() {
    on_each_kernel(|bench| {
        let empty = share(b"");
        assert!(bench.disk.stat(empty).is_ok() && bench.disk.list(empty).is_ok());
        assert!(bench.disk.open(empty, true).is_err() && bench.disk.create(empty).is_err());
        assert!(bench.disk.remove_dir(empty).is_err() && bench.disk.remove_file(empty).is_err());
        assert!(
            bench.disk.make_dir(empty, 0o755).is_err()
                && bench.disk.make_symlink(b"x", empty).is_err()
        );
        assert!(bench.disk.hard_link(empty, share(b"x")).is_err());
        assert!(
            bench
                .disk
                .rename(empty, share(b"x"), RenameMode::Replace)
                .is_err()
        );
        assert!(
            bench
                .disk
                .rename(empty, download(b""), RenameMode::Exchange)
                .is_err()
        );
        bench.disk.check_share().unwrap();
    });
}

#[test]
fn fifos_sockets_and_devices_are_never_opened() {
    on_each_kernel(|bench| {
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
        let mode = Mode::from_raw_mode(0o666);
        mknodat(CWD, bench.share().join("fifo"), FileType::Fifo, mode, 0).unwrap();
        let _listener = UnixListener::bind(bench.share().join("socket")).unwrap();
        let mut names = vec![&b"fifo"[..], b"socket", b"to-fifo"];
        bench.disk.make_symlink(b"fifo", share(b"to-fifo")).unwrap();
        let zero = makedev(1, 5);
        match mknodat(
            CWD,
            bench.share().join("device"),
            FileType::CharacterDevice,
            mode,
            zero,
        ) {
            Ok(()) => names.push(b"device"),
            Err(errno) => println!("no device tested: {errno}"),
        }
        for name in names {
            let kind = bench.disk.stat(share(name)).unwrap().kind;
            assert!(name == b"to-fifo" || kind == crate::disk::FileKind::Other);
            for result in [
                bench.disk.open(share(name), false).map(drop),
                bench.disk.open(share(name), true).map(drop),
                bench.disk.create(share(name)).map(drop),
                bench.disk.set_mode(share(name), 0o777),
            ] {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
            }
            assert_eq!(
                bench.disk.list(share(name)).unwrap_err().kind(),
                ErrorKind::NotADirectory
            );
            // It came in place of a file that was seen.
            bench.disk.open_seen(share(name)).unwrap_err();
        }
    });
}

#[test]
fn a_path_of_full_length_works_and_a_longer_one_fails_cleanly() {
    on_each_kernel(|bench| {
        let component = [b'd'; 255];
        let mut path = component.to_vec();
        while path.len() < 4095 {
            bench.disk.make_dir(share(&path), 0o755).unwrap();
            path.push(b'/');
            path.extend_from_slice(&component);
        }
        assert_eq!(path.len(), 4095);
        bench.write(&path, b"deep");
        assert_eq!(bench.read(&path), b"deep");
        bench.disk.remove_file(share(&path)).unwrap();
        bench.disk.make_dir(share(&path), 0o755).unwrap();

        // Deeper than the limit, as a move of the topmost directory makes it.
        bench.disk.make_dir(share(b"top"), 0o755).unwrap();
        bench
            .disk
            .rename(
                share(&component),
                share(&[b"top/", &component[..]].concat()),
                RenameMode::NoReplace,
            )
            .unwrap();
        let deeper = [b"top/", path.as_slice()].concat();
        for path in [&deeper, &vec![b'a'; 4096], &b"a/".repeat(100_000)] {
            for at in [share(path), download(path)] {
                let At { path, .. } = at;
                assert_eq!(
                    bench.disk.stat(at).unwrap_err().raw_os_error(),
                    Some(libc::ENAMETOOLONG)
                );
                all_fail(&bench.disk, path);
            }
        }
    });
}
