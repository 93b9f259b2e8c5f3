//! The disk on a real file system, each test with the system calls of new kernels and without.

mod hostile;
mod open_folders;
mod operations;
mod race;
mod renames;

use super::folders::RealDisk;
use super::root::Resolver;
use super::{At, Disk, DiskFile, Place};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A disk in a directory of its own that goes with it, and a folder beside it that nothing may touch.
struct Bench {
    temp: TempDir,
    disk: RealDisk,
}

impl Bench {
    fn new(resolver: Resolver, rename_flags: bool) -> Self {
        let temp = TempDir::new().unwrap();
        std::fs::create_dir(temp.path().join("peer")).unwrap();
        std::fs::create_dir(temp.path().join("outside")).unwrap();
        let mut disk = RealDisk::open(&temp.path().join("peer")).unwrap();
        disk.resolver = resolver;
        disk.rename_flags = rename_flags;
        Self { temp, disk }
    }

    fn share(&self) -> PathBuf {
        self.temp.path().join("peer/share")
    }

    fn outside(&self) -> PathBuf {
        self.temp.path().join("outside")
    }

    fn write(&self, path: &[u8], bytes: &[u8]) {
        let file = self.disk.create(share(path)).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(0, bytes).unwrap();
    }

    fn read(&self, path: &[u8]) -> Vec<u8> {
        let file = self.disk.open(share(path), false).unwrap();
        let mut buffer = [0; 100];
        let filled = file.read_at(0, &mut buffer).unwrap();
        buffer[..filled].to_vec()
    }
}

/// Runs a test as on a new kernel and as on one without openat2 and renameat2.
fn on_each_kernel(test: impl Fn(&Bench)) {
    // A kernel without openat2 cannot be tested as a new one.
    if Bench::new(Resolver::Walk, true).detected() == Resolver::Openat2 {
        test(&Bench::new(Resolver::Openat2, true));
    } else {
        println!("no openat2 here: only the walk is tested");
    }
    test(&Bench::new(Resolver::Walk, false));
}

impl Bench {
    fn detected(&self) -> Resolver {
        RealDisk::open(&self.temp.path().join("peer"))
            .unwrap()
            .resolver
    }
}

fn share(path: &[u8]) -> At<'_> {
    At {
        place: Place::Share,
        path,
    }
}

fn download(path: &[u8]) -> At<'_> {
    At {
        place: Place::Download,
        path,
    }
}

/// All that can be seen of a tree, times of change included but not of access.
fn snapshot(root: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut seen = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(path) = open.pop() {
        let meta = path.symlink_metadata().unwrap();
        let content = if meta.is_file() {
            std::fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let (ctime, nsec) = (meta.ctime(), meta.ctime_nsec());
        seen.push(format!(
            "{path:?} {:o} {} {ctime}.{nsec} {content:?}",
            meta.mode(),
            meta.nlink()
        ));
        if meta.is_dir() {
            open.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    seen.sort();
    seen
}
