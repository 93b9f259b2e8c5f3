//! Symlinks that come and go while operations run: nothing outside the folder may change, nothing
//! of it may be read.

use super::hostile::attempt_all;
use super::{Bench, on_each_kernel, share, snapshot};
use crate::disk::{Disk, DiskFile, RenameMode};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How often all operations are tried, while the names flip a few hundred thousand times a second.
const ROUNDS: usize = 100;

/// Swaps two names without a pause as long as `work` runs, and says how often.
fn while_swapping(one: &Path, other: &Path, work: impl FnOnce()) -> usize {
    struct StopOnDrop<'a>(&'a AtomicBool);
    impl Drop for StopOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (stop, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let _stop = StopOnDrop(&stop);
        work();
    });
    swaps.into_inner()
}

fn fill_outside(bench: &Bench) -> Vec<String> {
    let outside = bench.outside();
    std::fs::create_dir(outside.join("d")).unwrap();
    std::fs::create_dir(outside.join("deep")).unwrap();
    for name in ["x", "only outside", "deep/x", "deep/only outside"] {
        std::fs::write(outside.join(name), "secret").unwrap();
    }
    std::os::unix::fs::symlink("secret", outside.join("l")).unwrap();
    snapshot(&outside)
}

fn must_not_be_secret(disk: &impl Disk, path: &[u8], follow: bool) {
    if let Ok(file) = disk.open(share(path), follow) {
        let mut buffer = [0; 6];
        let filled = file.read_at(0, &mut buffer).unwrap();
        assert_ne!(&buffer[..filled], b"secret");
    }
}

#[test]
fn a_directory_that_flips_to_a_symlink_leads_nowhere() {
    on_each_kernel(|bench| {
        let outside = fill_outside(bench);
        bench.disk.make_dir(share(b"dir"), 0o755).unwrap();
        bench
            .disk
            .make_symlink(b"../../outside", share(b"flip"))
            .unwrap();
        let inode = |name: &str| {
            use std::os::unix::fs::MetadataExt;
            bench.outside().join(name).symlink_metadata().unwrap().ino()
        };
        let (x, deep_x) = (inode("x"), inode("deep/x"));
        let work = || {
            for round in 0..ROUNDS {
                for path in [&b"dir/x"[..], b"dir/new", b"dir/d", b"dir/l", b"dir/deep/x"] {
                    must_not_be_secret(&bench.disk, path, round % 2 == 0);
                    if let Ok(stat) = bench.disk.stat(share(path)) {
                        assert!(stat.inode != x && stat.inode != deep_x);
                    }
                    if let Ok(target) = bench.disk.read_link(share(path)) {
                        assert_ne!(target, b"secret");
                    }
                    attempt_all(&bench.disk, path);
                }
                for path in [&b"dir"[..], b"dir/deep"] {
                    if let Ok(names) = bench.disk.list(share(path)) {
                        assert!(!names.contains(&b"only outside".to_vec()));
                    }
                }
                let _maybe = bench.disk.make_dir(share(b"dir/deep"), 0o755);
                let _maybe = bench
                    .disk
                    .set_mode(share(b"dir"), 0o700 + u16::try_from(round % 8).unwrap());
            }
        };
        let swaps = while_swapping(
            &bench.share().join("dir"),
            &bench.share().join("flip"),
            work,
        );
        assert!(swaps > 0);
        assert_eq!(snapshot(&bench.outside()), outside);
    });
}

#[test]
fn a_file_that_flips_to_a_symlink_leads_nowhere() {
    on_each_kernel(|bench| {
        let outside = fill_outside(bench);
        bench.write(b"file", b"inside");
        bench
            .disk
            .make_symlink(b"../../outside/x", share(b"flip"))
            .unwrap();
        let work = || {
            // These look first and act then: they are tried most.
            for round in 0..50 * ROUNDS {
                must_not_be_secret(&bench.disk, b"file", false);
                if let Ok(file) = bench.disk.create(share(b"file")) {
                    file.write_all_at(0, b"inside").unwrap();
                }
                let mode = 0o600 + u16::try_from(round % 8).unwrap();
                let _maybe = bench.disk.set_mode(share(b"file"), mode);
            }
            for _ in 0..4 * ROUNDS {
                let _maybe = bench.disk.sync_dir(share(b"file"));
                let _maybe = bench.disk.list(share(b"file"));
                if bench
                    .disk
                    .hard_link(share(b"file"), share(b"second"))
                    .is_ok()
                {
                    bench.disk.remove_file(share(b"second")).unwrap();
                }
                if bench
                    .disk
                    .rename(share(b"file"), share(b"second"), RenameMode::NoReplace)
                    .is_ok()
                {
                    bench
                        .disk
                        .rename(share(b"second"), share(b"file"), RenameMode::Replace)
                        .unwrap();
                }
            }
        };
        let swaps = while_swapping(
            &bench.share().join("file"),
            &bench.share().join("flip"),
            work,
        );
        assert!(swaps > 0);
        assert_eq!(snapshot(&bench.outside()), outside);
    });
}
