//! The folders of tinypeer: made, opened and held by a descriptor each.

use super::kept::Kept;
use super::real_file::unsigned;
use super::root::{self, Directory, NAME_DIRECTORY, Resolver};
use super::syncer::Syncer;
use super::{At, Place};
use crate::sys::flusher::Flusher;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The folders of tinypeer, each held by a descriptor; a path is only ever looked up below one of
/// them. A thing may be renamed or replaced at any time: an operation then fails or hits what is
/// there now, but it never leaves the folder.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    pub(super) base: OwnedFd,
    pub(super) share: OwnedFd,
    pub(super) download: OwnedFd,
    pub(super) zip: OwnedFd,
    pub(super) state: OwnedFd,
    pub(super) trash: OwnedFd,
    pub(super) made_share: bool,
    pub(super) resolver: Resolver,
    /// Whether renameat2(2) may be asked; tests turn it off.
    pub(super) rename_flags: bool,
    /// Permission bits that the system takes from what we make.
    pub(super) umask: Mode,
    /// Directories of `share/` that are open in this turn.
    pub(super) kept: Kept,
    /// `None`: the kernel flushes nothing beside us.
    pub(super) flusher: Mutex<Option<Flusher>>,
    /// Made when it is needed.
    pub(super) syncer: Mutex<Option<Syncer>>,
}

/// The umask of this process (proc(5)): umask(2) tells it only by setting it, for all threads. Where it is not told, all
/// bits.
fn umask() -> Mode {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let bits = line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    Mode::from_raw_mode(bits.unwrap_or(0o777))
}

impl RealDisk {
    /// Opens the folders in `directory`, making those that are missing.
    ///
    /// # Errors
    /// If `directory` is missing, one of the folders cannot be made, is no directory (a symlink is
    /// none either), or lies on another file system than `share/`, so that nothing could be renamed
    /// into it. The error's text is a sentence for the user that names the path.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let base = openat(CWD, directory, flags, Mode::empty())
            .map_err(|errno| explain(errno, "cannot open the folder", directory))?;
        let full = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_path_buf());
        let (share, made_share) = folder(&base, "share", 0o777, &full)?;
        let (download, _) = folder(&base, "download", 0o700, &full)?;
        let (zip, _) = folder(&base, "zip", 0o777, &full)?;
        let (state, _) = folder(&base, ".tinypeer", 0o700, &full)?;
        let (trash, _) = folder(&state, "trash", 0o700, &full.join(".tinypeer"))?;
        let resolver = Resolver::detect(share.as_fd());
        let disk = Self {
            directory: full,
            base,
            share,
            download,
            zip,
            state,
            trash,
            made_share,
            resolver,
            rename_flags: true,
            umask: umask(),
            kept: Kept::default(),
            flusher: Mutex::new(Flusher::new().ok()),
            syncer: Mutex::new(None),
        };
        disk.check_one_file_system()?;
        Ok(disk)
    }

    /// The directory that holds the folders, as an absolute path if it has one. For messages.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Device and inode of `share/`.
    ///
    /// # Errors
    /// Those of fstat.
    pub fn share_identity(&self) -> io::Result<(u64, u64)> {
        identity(&self.share)
    }

    /// The directory that holds the folders.
    pub(crate) fn base(&self) -> BorrowedFd<'_> {
        self.base.as_fd()
    }

    /// A descriptor that names the directory at a path.
    pub(crate) fn directory_at(&self, at: At<'_>) -> io::Result<impl AsFd> {
        root::directory(self.resolver, self.folder(at.place), at.path)
    }

    pub(super) fn folder(&self, place: Place) -> BorrowedFd<'_> {
        match place {
            Place::Share => self.share.as_fd(),
            Place::Download => self.download.as_fd(),
            Place::Zip => self.zip.as_fd(),
            Place::State => self.state.as_fd(),
            Place::Trash => self.trash.as_fd(),
        }
    }

    /// The parent of what is at a path, and its name there.
    pub(super) fn locate<'a>(&'a self, at: At<'a>) -> io::Result<(Directory<'a>, &'a [u8])> {
        let kept = (at.place == Place::Share).then_some(&self.kept);
        root::parent(self.resolver, self.folder(at.place), at.path, kept)
    }

    /// The same for what must not be done to a folder of tinypeer itself.
    pub(super) fn locate_below<'a>(&'a self, at: At<'a>) -> io::Result<(Directory<'a>, &'a [u8])> {
        if at.path.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.locate(at)
    }

    fn check_one_file_system(&self) -> io::Result<()> {
        let (device, _) = identity(&self.share)?;
        let others = [
            (&self.download, "download"),
            (&self.zip, "zip"),
            (&self.state, ".tinypeer"),
            (&self.trash, ".tinypeer/trash"),
        ];
        for (fd, name) in others {
            if identity(fd)?.0 != device {
                let path = self.directory.join(name);
                let text = format!(
                    "{path:?} is on another file system than share/: files could not be renamed"
                );
                return Err(io::Error::new(io::ErrorKind::CrossesDevices, text));
            }
        }
        Ok(())
    }
}

/// Device and inode.
pub(super) fn identity(fd: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((unsigned(stat.st_dev), unsigned(stat.st_ino)))
}

/// Makes and opens one of our folders; says whether it was missing.
fn folder(base: &OwnedFd, name: &str, mode: u32, full: &Path) -> io::Result<(OwnedFd, bool)> {
    let path = full.join(name);
    let made = match rustix::fs::mkdirat(base, name, Mode::from_raw_mode(mode)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(explain(errno, "cannot make the folder", &path)),
    };
    match openat(base, name, NAME_DIRECTORY, Mode::empty()) {
        Ok(fd) => Ok((fd, made)),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            let text = format!(
                "{path:?} is not a folder; tinypeer needs a real one there, not a file or a symlink"
            );
            Err(io::Error::new(io::ErrorKind::NotADirectory, text))
        }
        Err(errno) => Err(explain(errno, "cannot open the folder", &path)),
    }
}

pub(super) fn explain(errno: Errno, what: &str, path: &Path) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(error.kind(), format!("{what} {path:?}: {error}"))
}
