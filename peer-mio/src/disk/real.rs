//! [`RealDisk`]: the folders of tinypeer in a directory of the operating system.

use super::birth::birth;
use super::chmod::change_mode;
use super::kept::Kept;
use super::real_file::{RealFile, describe, kind, modified, permissions, unsigned};
use super::rename::{self, Name};
use super::root::{self, Directory, NAME_DIRECTORY, Resolver};
use super::{At, Birth, Disk, FileKind, FlushId, Place, RenameMode, Space, Stat};
use crate::stalls::FLUSHES;
use crate::sys::flusher::Flusher;
use proto_core::index::entry::Timestamp;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, statat};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What every file is opened with: never waits for a fifo, never takes a terminal.
pub(super) const OPEN: OFlags = OFlags::CLOEXEC
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Bytes of names read in one getdents64(2).
const LIST_BUFFER: usize = 8 * 1024;

/// How often a file that appears and disappears is tried again by [`Disk::create`].
const CREATE_TRIES: usize = 8;

/// The folders of tinypeer, each held by a descriptor; a path is only ever looked up below one of
/// them. A thing may be renamed or replaced at any time: an operation then fails or hits what is
/// there now, but it never leaves the folder.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    base: OwnedFd,
    share: OwnedFd,
    download: OwnedFd,
    zip: OwnedFd,
    state: OwnedFd,
    trash: OwnedFd,
    made_share: bool,
    pub(super) resolver: Resolver,
    /// Whether renameat2(2) may be asked; tests turn it off.
    pub(super) rename_flags: bool,
    /// Directories of `share/` that are open in this turn.
    kept: Kept,
    /// `None`: the kernel flushes nothing beside us.
    flusher: Mutex<Option<Flusher>>,
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
        let (download, _) = folder(&base, "download", 0o777, &full)?;
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
            kept: Kept::default(),
            flusher: Mutex::new(Flusher::new().ok()),
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

    fn folder(&self, place: Place) -> BorrowedFd<'_> {
        match place {
            Place::Share => self.share.as_fd(),
            Place::Download => self.download.as_fd(),
            Place::Zip => self.zip.as_fd(),
            Place::State => self.state.as_fd(),
            Place::Trash => self.trash.as_fd(),
        }
    }

    /// The parent of what is at a path, and its name there.
    fn locate<'a>(&'a self, at: At<'a>) -> io::Result<(Directory<'a>, &'a [u8])> {
        let kept = (at.place == Place::Share).then_some(&self.kept);
        root::parent(self.resolver, self.folder(at.place), at.path, kept)
    }

    /// The same for what must not be done to a folder of tinypeer itself.
    fn locate_below<'a>(&'a self, at: At<'a>) -> io::Result<(Directory<'a>, &'a [u8])> {
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

    /// Whether what is at a name may be opened; only a hint, what was opened is looked at again.
    fn check_regular(directory: &Directory<'_>, name: &[u8], flags: AtFlags) -> io::Result<()> {
        match kind(&statat(directory, name, flags)?) {
            FileKind::File => Ok(()),
            _ => Err(not_regular()),
        }
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn begin_turn(&self) {
        self.kept.begin();
    }

    fn end_turn(&self) {
        self.kept.end();
    }

    fn check_share(&self) -> io::Result<()> {
        let path = self.directory.join("share");
        let held = rustix::fs::fstat(&self.share)?;
        let gone = |what: &str| io::Error::new(io::ErrorKind::NotFound, format!("{path:?} {what}"));
        if unsigned(held.st_nlink) == 0 {
            return Err(gone("was deleted"));
        }
        match statat(&self.base, "share", AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) if (now.st_dev, now.st_ino) == (held.st_dev, held.st_ino) => Ok(()),
            Ok(_) => Err(gone("is not the folder that it was when tinypeer started")),
            Err(Errno::NOENT) => Err(gone("was moved or deleted")),
            Err(errno) => Err(explain(errno, "cannot look at", &path)),
        }
    }

    fn made_share(&self) -> bool {
        self.made_share
    }

    fn birth(&self, at: At<'_>) -> io::Result<Birth> {
        let (directory, name) = self.locate(at)?;
        birth(&directory, name)
    }

    fn stat(&self, at: At<'_>) -> io::Result<Stat> {
        let (directory, name) = self.locate(at)?;
        Ok(describe(&statat(
            &directory,
            name,
            AtFlags::SYMLINK_NOFOLLOW,
        )?))
    }

    fn open(&self, at: At<'_>, follow: bool) -> io::Result<RealFile> {
        let (directory, name) = self.locate_below(at)?;
        let (look, link) = if follow {
            (AtFlags::empty(), OFlags::empty())
        } else {
            (AtFlags::SYMLINK_NOFOLLOW, OFlags::NOFOLLOW)
        };
        Self::check_regular(&directory, name, look)?;
        regular(open_fd(&directory, name, OPEN | link | OFlags::RDONLY)?)
    }

    fn create(&self, at: At<'_>) -> io::Result<RealFile> {
        let (directory, name) = self.locate_below(at)?;
        let flags = OPEN | OFlags::NOFOLLOW | OFlags::RDWR;
        for _ in 0..CREATE_TRIES {
            let private = Mode::RUSR | Mode::WUSR;
            let fresh = flags | OFlags::CREATE | OFlags::EXCL;
            match retry_on_intr(|| openat(&directory, name, fresh, private)) {
                Ok(fd) => {
                    // The umask may have taken bits away.
                    if rustix::fs::fstat(&fd)?.st_mode & 0o7777 != private.as_raw_mode() {
                        rustix::fs::fchmod(&fd, private)?;
                    }
                    return Ok(RealFile::new(fd));
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            let there = Self::check_regular(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .and_then(|()| regular(open_fd(&directory, name, flags)?));
            match there {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done,
            }
        }
        Err(Errno::AGAIN.into())
    }

    fn list(&self, at: At<'_>) -> io::Result<Vec<Vec<u8>>> {
        let (directory, name) = self.locate(at)?;
        let fd = open_fd(
            &directory,
            name,
            OPEN | OFlags::NOFOLLOW | OFlags::DIRECTORY,
        )?;
        let mut buffer = [const { MaybeUninit::uninit() }; LIST_BUFFER];
        let mut entries = RawDir::new(fd, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => match entry.file_name().to_bytes() {
                    b"." | b".." => {}
                    name => names.push(name.to_vec()),
                },
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(names)
    }

    fn read_link(&self, at: At<'_>) -> io::Result<Vec<u8>> {
        let (directory, name) = self.locate_below(at)?;
        Ok(rustix::fs::readlinkat(&directory, name, Vec::new())?.into_bytes())
    }

    fn make_dir(&self, at: At<'_>, mode: u16) -> io::Result<()> {
        let (directory, name) = self.locate_below(at)?;
        rustix::fs::mkdirat(&directory, name, permissions(mode))?;
        // The umask may have taken bits away.
        let exact = change_mode(&directory, name, mode);
        if exact.is_err() {
            let _undo = rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR);
        }
        exact
    }

    fn remove_dir(&self, at: At<'_>) -> io::Result<()> {
        let (directory, name) = self.locate_below(at)?;
        rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR)?;
        self.kept.forget();
        Ok(())
    }

    fn remove_file(&self, at: At<'_>) -> io::Result<()> {
        let (directory, name) = self.locate_below(at)?;
        Ok(rustix::fs::unlinkat(&directory, name, AtFlags::empty())?)
    }

    fn make_symlink(&self, target: &[u8], at: At<'_>) -> io::Result<()> {
        let (directory, name) = self.locate_below(at)?;
        Ok(rustix::fs::symlinkat(target, &directory, name)?)
    }

    fn hard_link(&self, from: At<'_>, to: At<'_>) -> io::Result<()> {
        let (old_directory, old) = self.locate_below(from)?;
        let (new_directory, new) = self.locate_below(to)?;
        // Without AT_SYMLINK_FOLLOW a symlink itself is linked.
        Ok(rustix::fs::linkat(
            &old_directory,
            old,
            &new_directory,
            new,
            AtFlags::empty(),
        )?)
    }

    fn rename(&self, from: At<'_>, to: At<'_>, mode: RenameMode) -> io::Result<()> {
        let (old_directory, old) = self.locate_below(from)?;
        let (new_directory, new) = self.locate_below(to)?;
        let old = Name {
            directory: old_directory.as_fd(),
            name: old,
        };
        let new = Name {
            directory: new_directory.as_fd(),
            name: new,
        };
        let nested = from.place == to.place
            && (is_below(from.path, to.path) || is_below(to.path, from.path));
        let renamed = rename::rename(old, new, mode, nested, self.rename_flags);
        // What was at a path of a directory may be at another one now.
        if from.place == Place::Share || mode == RenameMode::Exchange {
            self.kept.forget();
        }
        renamed
    }

    fn set_mode(&self, at: At<'_>, mode: u16) -> io::Result<()> {
        let (directory, name) = self.locate(at)?;
        change_mode(&directory, name, mode)
    }

    fn set_mtime(&self, at: At<'_>, mtime: Timestamp) -> io::Result<()> {
        let (directory, name) = self.locate_below(at)?;
        let times = modified(mtime)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(&directory, name, &times, flags)?)
    }

    fn sync_dir(&self, at: At<'_>) -> io::Result<()> {
        let (directory, name) = self.locate(at)?;
        let fd = open_fd(
            &directory,
            name,
            OPEN | OFlags::NOFOLLOW | OFlags::DIRECTORY,
        )?;
        match FLUSHES.time(|| retry_on_intr(|| rustix::fs::fsync(&fd))) {
            // EINVAL: directories cannot be flushed on this file system, so there is nothing to do.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn sync_all(&self) -> io::Result<()> {
        // An O_PATH descriptor cannot be flushed.
        let share = openat(
            &self.share,
            c".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        FLUSHES.time(|| Ok(rustix::fs::syncfs(share)?))
    }

    fn begin_flush(&self, file: &RealFile) -> Option<FlushId> {
        let mut flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner);
        flusher.as_mut()?.begin(file).map(FlushId)
    }

    fn poll_flush(&self, flush: FlushId) -> Option<io::Result<()>> {
        let mut flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner);
        flusher.as_mut()?.poll(flush.0)
    }

    fn space(&self) -> io::Result<Space> {
        let found = rustix::fs::fstatvfs(&self.share)?;
        Ok(Space {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }
}

/// Opens a name in a directory; a symlink where none is allowed is `InvalidInput`.
pub(super) fn open_fd(
    directory: &Directory<'_>,
    name: &[u8],
    flags: OFlags,
) -> io::Result<OwnedFd> {
    match retry_on_intr(|| openat(directory, name, flags, Mode::empty())) {
        Ok(fd) => Ok(fd),
        // It became a symlink or a socket since it was looked at.
        Err(Errno::LOOP | Errno::NXIO) => Err(not_regular()),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes what was opened only if it is a regular file.
fn regular(fd: OwnedFd) -> io::Result<RealFile> {
    match kind(&rustix::fs::fstat(&fd)?) {
        FileKind::File => Ok(RealFile::new(fd)),
        _ => Err(not_regular()),
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
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

fn explain(errno: Errno, what: &str, path: &Path) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(error.kind(), format!("{what} {path:?}: {error}"))
}

fn is_below(path: &[u8], ancestor: &[u8]) -> bool {
    path.strip_prefix(ancestor)
        .is_some_and(|rest| rest.starts_with(b"/"))
}
