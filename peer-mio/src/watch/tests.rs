//! The watcher against a real kernel. Its events are queued by the calls that cause them, so
//! nothing here waits.

use super::inotify::{WatchEvent, WatchResult, Watcher};
use crate::disk::folders::RealDisk;
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

/// An event that owns its path.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Settled(Vec<u8>),
    Unsettled(Vec<u8>),
    Directory(Vec<u8>),
    Overflow,
    ShareGone,
}

impl From<WatchEvent<'_>> for Seen {
    fn from(event: WatchEvent<'_>) -> Self {
        match event {
            WatchEvent::Changed {
                path,
                settled: true,
                directory: true,
            } => Self::Directory(path.to_vec()),
            WatchEvent::Changed {
                path,
                settled: true,
                directory: false,
            } => Self::Settled(path.to_vec()),
            WatchEvent::Changed {
                path,
                settled: false,
                directory,
            } => {
                assert!(!directory);
                Self::Unsettled(path.to_vec())
            }
            WatchEvent::Overflow => Self::Overflow,
            WatchEvent::ShareGone => Self::ShareGone,
        }
    }
}

fn settled(path: &str) -> Seen {
    Seen::Settled(path.into())
}

fn unsettled(path: &str) -> Seen {
    Seen::Unsettled(path.into())
}

fn directory(path: &str) -> Seen {
    Seen::Directory(path.into())
}

struct Bench {
    temp: TempDir,
    disk: RealDisk,
    watcher: Watcher,
}

impl Bench {
    /// A share with these directories, all watched.
    fn new(directories: &[&str]) -> Self {
        let temp = TempDir::new().unwrap();
        let disk = RealDisk::open(temp.path()).unwrap();
        let mut bench = Self {
            temp,
            disk,
            watcher: Watcher::new().unwrap(),
        };
        assert!(bench.watcher.is_empty());
        bench.watch("");
        for path in directories {
            fs::create_dir(bench.at(path)).unwrap();
            bench.watch(path);
        }
        assert_eq!(bench.watcher.len(), 1 + directories.len());
        bench.events();
        bench
    }

    fn at(&self, path: &str) -> PathBuf {
        self.temp.path().join("share").join(path)
    }

    fn watch(&mut self, path: &str) {
        let result = self.watcher.watch_dir(&self.disk, path.as_bytes()).unwrap();
        assert_eq!(result, WatchResult::Watching);
    }

    fn events(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while !self
            .watcher
            .read(7, &mut |event| seen.push(event.into()))
            .unwrap()
        {}
        seen
    }
}

#[test]
fn a_file_is_settled_when_it_is_closed() {
    let mut bench = Bench::new(&["d"]);
    let mut file = fs::File::create(bench.at("d/f")).unwrap();
    file.write_all(b"1").unwrap();
    assert_eq!(bench.events(), [unsettled("d/f"), unsettled("d/f")]);
    drop(file);
    assert_eq!(bench.events(), [settled("d/f")]);
    fs::set_permissions(bench.at("d/f"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(bench.events(), [unsettled("d/f")]);
    fs::read(bench.at("d/f")).unwrap();
    assert_eq!(bench.events(), []);
    fs::rename(bench.at("d/f"), bench.at("g")).unwrap();
    assert_eq!(bench.events(), [settled("d/f"), settled("g")]);
    fs::remove_file(bench.at("g")).unwrap();
    assert_eq!(bench.events(), [settled("g")]);
    symlink("nowhere", bench.at("l")).unwrap();
    assert_eq!(bench.events(), [unsettled("l")]);
}

#[test]
fn a_file_that_is_moved_in_and_closed_is_told_once() {
    let mut bench = Bench::new(&[]);
    let outside = bench.temp.path().join("download/f");
    let file = fs::File::create(&outside).unwrap();
    fs::rename(&outside, bench.at("f")).unwrap();
    drop(file);
    assert_eq!(bench.events(), [settled("f")]);
    // What is read by itself is told by itself.
    let file = fs::File::create(&outside).unwrap();
    fs::rename(&outside, bench.at("f")).unwrap();
    assert_eq!(bench.events(), [settled("f")]);
    drop(file);
    assert_eq!(bench.events(), [settled("f")]);
}

#[test]
fn what_comes_from_or_goes_to_another_folder_is_settled() {
    let mut bench = Bench::new(&[]);
    let outside = bench.temp.path().join("download/f");
    fs::write(&outside, b"").unwrap();
    fs::rename(&outside, bench.at("f")).unwrap();
    assert_eq!(bench.events(), [settled("f")]);
    fs::rename(bench.at("f"), &outside).unwrap();
    assert_eq!(bench.events(), [settled("f")]);
}

#[test]
fn names_of_any_bytes_are_told_as_they_are() {
    let mut bench = Bench::new(&[]);
    let names: [&[u8]; 5] = [b".hidden", b"\xff\xfe", b"new\nline", &[b'n'; 255], b"x"];
    for name in names {
        let path = bench.at("").join(OsStr::from_bytes(name));
        fs::write(&path, b"").unwrap();
        assert_eq!(
            bench.events(),
            [Seen::Unsettled(name.into()), Seen::Settled(name.into())]
        );
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(
            bench.events(),
            [Seen::Settled(name.into()), Seen::Directory(name.into())]
        );
        bench.watcher.watch_dir(&bench.disk, name).unwrap();
        fs::create_dir(path.join("d")).unwrap();
        assert_eq!(bench.events(), [Seen::Directory([name, b"/d"].concat())]);
    }
}

#[test]
fn a_directory_is_told_when_it_comes_and_goes() {
    let mut bench = Bench::new(&[]);
    fs::create_dir(bench.at("d")).unwrap();
    assert_eq!(bench.events(), [directory("d")]);
    // Not watched yet: nothing of what is in it.
    fs::write(bench.at("d/early"), b"").unwrap();
    assert_eq!(bench.events(), []);
    bench.watch("d");
    bench.watch("d");
    assert_eq!(bench.watcher.len(), 2);
    // Its attributes changed, no more: nothing to be walked. Told by its parent, once.
    fs::set_permissions(bench.at("d"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(bench.events(), [settled("d")]);
    fs::remove_file(bench.at("d/early")).unwrap();
    fs::remove_dir(bench.at("d")).unwrap();
    assert_eq!(bench.events(), [settled("d/early"), directory("d")]);
    assert_eq!(bench.watcher.len(), 1);
}

#[test]
fn a_directory_moved_within_the_share_is_told_under_its_new_path_once_it_is_watched() {
    let mut bench = Bench::new(&["a", "a/b", "a/b/c", "ab"]);
    fs::rename(bench.at("a"), bench.at("z")).unwrap();
    assert_eq!(bench.events(), [directory("a"), directory("z")]);
    assert_eq!(bench.watcher.len(), 2, "share and ab");
    fs::write(bench.at("z/b/c/f"), b"").unwrap();
    assert_eq!(bench.events(), [], "nothing is told under the old path");
    for path in ["z", "z/b", "z/b/c"] {
        bench.watch(path);
    }
    fs::write(bench.at("z/b/c/f"), b"2").unwrap();
    // Truncated, written, closed.
    assert_eq!(bench.events().last(), Some(&settled("z/b/c/f")));
}

#[test]
fn a_watch_renewed_before_the_move_was_read_is_kept() {
    let mut bench = Bench::new(&["a", "a/b"]);
    fs::rename(bench.at("a"), bench.at("z")).unwrap();
    // A scan comes along first.
    bench.watch("z");
    bench.watch("z/b");
    assert_eq!(bench.events(), [directory("a"), directory("z")]);
    assert_eq!(bench.watcher.len(), 3);
    fs::create_dir(bench.at("z/b/new")).unwrap();
    assert_eq!(bench.events(), [directory("z/b/new")]);
}

#[test]
fn a_directory_moved_out_of_the_share_is_no_longer_told() {
    let mut bench = Bench::new(&["a", "a/b"]);
    let outside = bench.temp.path().join("outside");
    fs::rename(bench.at("a"), &outside).unwrap();
    assert_eq!(bench.events(), [directory("a")]);
    fs::write(outside.join("b/f"), b"").unwrap();
    assert_eq!(bench.events(), []);
    assert_eq!(bench.watcher.len(), 1);
    // Another one in its place.
    fs::create_dir(bench.at("a")).unwrap();
    bench.watch("a");
    fs::create_dir(bench.at("a/new")).unwrap();
    assert_eq!(bench.events(), [directory("a"), directory("a/new")]);
}

#[test]
fn two_directories_that_change_places_do_not_keep_each_others_watches() {
    let mut bench = Bench::new(&["a", "b", "a/of a", "b/of b"]);
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    let cwd = rustix::fs::CWD;
    rustix::fs::renameat_with(cwd, bench.at("a"), cwd, bench.at("b"), flags).unwrap();
    let told = bench.events();
    assert!(told.contains(&directory("a")) && told.contains(&directory("b")));
    for path in ["a", "b", "a/of b", "b/of a"] {
        bench.watch(path);
    }
    bench.events();
    fs::create_dir(bench.at("a/of b/x")).unwrap();
    fs::create_dir(bench.at("b/of a/x")).unwrap();
    assert_eq!(
        bench.events(),
        [directory("a/of b/x"), directory("b/of a/x")]
    );
    assert_eq!(bench.watcher.len(), 5);
}

#[test]
fn a_whole_tree_deleted_leaves_no_watch() {
    let mut bench = Bench::new(&["a", "a/b", "a/b/c", "a/d"]);
    fs::write(bench.at("a/b/c/f"), b"").unwrap();
    fs::remove_dir_all(bench.at("a")).unwrap();
    let told = bench.events();
    assert_eq!(told.last(), Some(&directory("a")));
    assert_eq!(bench.watcher.len(), 1);
}

#[test]
fn the_share_itself_is_told_when_it_is_moved() {
    let mut bench = Bench::new(&["d"]);
    fs::rename(bench.at(""), bench.temp.path().join("away")).unwrap();
    assert_eq!(bench.events(), [Seen::ShareGone]);
}

#[test]
fn the_share_itself_is_told_when_it_is_deleted() {
    let mut bench = Bench::new(&["d"]);
    fs::write(bench.temp.path().join("other"), b"").unwrap();
    fs::remove_file(bench.temp.path().join("other")).unwrap();
    assert_eq!(
        bench.events(),
        [],
        "what else happens beside it is not told"
    );
    fs::remove_dir_all(bench.at("")).unwrap();
    assert_eq!(bench.events(), [directory("d"), Seen::ShareGone]);
}

#[test]
fn only_real_directories_beneath_the_share_are_watched() {
    let mut bench = Bench::new(&["d"]);
    symlink(bench.temp.path().join("download"), bench.at("link")).unwrap();
    fs::create_dir(bench.temp.path().join("download/inner")).unwrap();
    fs::write(bench.at("file"), b"").unwrap();
    for path in [
        "link",
        "link/inner",
        "file",
        "missing",
        "..",
        "../download",
        "/",
    ] {
        assert!(
            bench
                .watcher
                .watch_dir(&bench.disk, path.as_bytes())
                .is_err(),
            "{path}"
        );
    }
    let missing = bench
        .watcher
        .watch_dir(&bench.disk, b"missing")
        .unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(bench.watcher.len(), 2);
}

#[test]
fn no_more_events_are_told_than_asked_for() {
    let mut bench = Bench::new(&[]);
    for name in 0..1000 {
        fs::create_dir(bench.at(&name.to_string())).unwrap();
    }
    let mut told = 0;
    assert!(!bench.watcher.read(10, &mut |_| told += 1).unwrap());
    assert_eq!(told, 10);
    assert!(!bench.watcher.read(0, &mut |_| told += 1).unwrap());
    assert_eq!(bench.events().len(), 990);
    assert!(bench.watcher.read(1, &mut |_| told += 1).unwrap());
    assert_eq!(told, 10);
}

#[test]
fn a_full_queue_is_told_as_such_and_watching_goes_on() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 100_000 {
        println!("not tested: a queue of {limit} events takes too long to fill");
        return;
    }
    let mut bench = Bench::new(&[]);
    let (one, other) = (bench.at("one"), bench.at("other"));
    fs::write(&one, b"").unwrap();
    for _ in 0..=limit / 4 {
        // Two events each; never equal to the one before, or they would be one.
        fs::rename(&one, &other).unwrap();
        fs::rename(&other, &one).unwrap();
    }
    let told = bench.events();
    assert_eq!(
        told.iter()
            .filter(|&event| *event == Seen::Overflow)
            .count(),
        1
    );
    assert!(told.len() > limit / 2);
    fs::remove_file(&one).unwrap();
    assert_eq!(bench.events(), [settled("one")]);
}
