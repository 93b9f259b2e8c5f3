//! The three modes of rename, with renameat2 and without.

use super::{Bench, download, on_each_kernel, share};
use crate::disk::root::Resolver;
use crate::disk::{Disk, FileKind, RenameMode};
use std::io::ErrorKind;

#[test]
fn replace_replaces() {
    on_each_kernel(|bench| {
        bench.write(b"a", b"1");
        bench.write(b"b", b"2");
        bench
            .disk
            .rename(share(b"a"), share(b"b"), RenameMode::Replace)
            .unwrap();
        assert_eq!(bench.read(b"b"), b"1");
        assert_eq!(bench.disk.list(share(b"")).unwrap(), [b"b"]);
        let missing = bench
            .disk
            .rename(share(b"a"), share(b"b"), RenameMode::Replace)
            .unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn no_replace_moves_everything_and_replaces_nothing() {
    on_each_kernel(|bench| {
        bench.write(b"file", b"1");
        bench.disk.make_dir(share(b"directory"), 0o755).unwrap();
        bench.write(b"directory/inner", b"2");
        bench
            .disk
            .make_symlink(b"nowhere", share(b"symlink"))
            .unwrap();
        let things: [&[u8]; 3] = [b"file", b"directory", b"symlink"];
        for from in things {
            for to in things {
                let error = bench
                    .disk
                    .rename(share(from), share(to), RenameMode::NoReplace)
                    .unwrap_err();
                assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{from:?} {to:?}");
            }
        }
        for from in things {
            let before = bench.disk.stat(share(from)).unwrap();
            bench
                .disk
                .rename(share(from), download(from), RenameMode::NoReplace)
                .unwrap();
            let after = bench.disk.stat(download(from)).unwrap();
            assert_eq!(
                (before.kind, before.inode, before.links),
                (after.kind, after.inode, after.links)
            );
            assert_eq!(
                bench.disk.stat(share(from)).unwrap_err().kind(),
                ErrorKind::NotFound
            );
        }
        assert_eq!(
            bench.disk.stat(download(b"directory/inner")).unwrap().size,
            1
        );
        let missing = bench
            .disk
            .rename(share(b"file"), share(b"x"), RenameMode::NoReplace)
            .unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let nested = bench.disk.rename(
            download(b"directory"),
            download(b"directory/d"),
            RenameMode::NoReplace,
        );
        assert_eq!(nested.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn exchange_swaps_whatever_the_two_are() {
    let bench = Bench::new(Resolver::Walk, true);
    bench.write(b"file", b"1");
    bench.disk.make_dir(share(b"directory"), 0o755).unwrap();
    bench.write(b"directory/inner", b"2");
    bench
        .disk
        .rename(share(b"file"), share(b"directory"), RenameMode::Exchange)
        .unwrap();
    assert_eq!(
        bench.disk.stat(share(b"file")).unwrap().kind,
        FileKind::Directory
    );
    assert_eq!(bench.read(b"directory"), b"1");
    assert_eq!(bench.read(b"file/inner"), b"2");
    let missing = bench
        .disk
        .rename(share(b"file"), share(b"none"), RenameMode::Exchange)
        .unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    for (from, to) in [(&b"file"[..], &b"file/inner"[..]), (b"file/inner", b"file")] {
        let error = bench
            .disk
            .rename(share(from), share(to), RenameMode::Exchange)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn exchange_is_unsupported_where_the_kernel_lacks_it() {
    let bench = Bench::new(Resolver::Walk, false);
    bench.write(b"a", b"1");
    bench.write(b"b", b"2");
    let error = bench
        .disk
        .rename(share(b"a"), share(b"b"), RenameMode::Exchange)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        (bench.read(b"a"), bench.read(b"b")),
        (b"1".to_vec(), b"2".to_vec())
    );
}

#[test]
fn of_many_no_replace_renames_to_one_name_one_succeeds() {
    for rename_flags in [true, false] {
        let bench = Bench::new(Resolver::Walk, rename_flags);
        let names: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        for name in &names {
            bench.write(name.as_bytes(), name.as_bytes());
        }
        let won = std::thread::scope(|scope| {
            let race = |name: &String| {
                let (disk, name) = (&bench.disk, name.clone());
                let to = share(b"goal");
                scope.spawn(move || {
                    disk.rename(share(name.as_bytes()), to, RenameMode::NoReplace)
                        .is_ok()
                })
            };
            let racers: Vec<_> = names.iter().map(race).collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(won.iter().filter(|&&won| won).count(), 1);
        let winner = won.iter().position(|&won| won).unwrap();
        assert_eq!(bench.read(b"goal"), names[winner].as_bytes());
        assert_eq!(bench.disk.list(share(b"")).unwrap().len(), 8);
    }
}
