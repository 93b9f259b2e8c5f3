//! [`RealDisk`] as a [`Disk`]: what is done in the folders of tinypeer by the operating system.

use super::birth::birth;
use super::chmod::change_mode;
use super::folders::{RealDisk, explain};
use super::preflight::file_system;
use super::real_file::{RealFile, describe, kind, kind_of, modified, permissions, unsigned};
use super::rename::{self, Name};
use super::root::Directory;
use super::syncer::Syncer;
use super::{At, Birth, Disk, FileKind, FlushId, Place, RenameMode, Space, Stat};
use crate::stalls::FLUSHES;
use proto_core::index::entry::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, openat, statat};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;

/// What every file is opened with: never waits for a fifo, never takes a terminal.
pub(super) const OPEN: OFlags = OFlags::CLOEXEC
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// For reading and writing, never through a symlink.
const READ_WRITE: OFlags = OPEN.union(OFlags::NOFOLLOW).union(OFlags::RDWR);

/// Mode of what is made to be written.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Bytes of names read in one getdents64(2).
const LIST_BUFFER: usize = 8 * 1024;

/// How often a file that appears and disappears is tried again by [`Disk::create`].
const CREATE_TRIES: usize = 8;

impl Disk for RealDisk {
    type File = RealFile;

    fn begin_turn(&self) {
        self.kept.begin();
    }

    fn end_turn(&self) {
        self.kept.end();
    }

    fn check_share(&self) -> io::Result<()> {
        let path = self.directory().join("share");
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

    fn powered(&self) -> Option<Vec<u8>> {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
        let (device, mount) = file_system(&self.base, "share")?;
        let mount = mount.unwrap_or_default().to_be_bytes();
        Some([&boot[..], &device.to_be_bytes(), &mount].concat())
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
        check_regular(&directory, name, look)?;
        regular(open_fd(&directory, name, OPEN | link | OFlags::RDONLY)?)
    }

    fn create(&self, at: At<'_>) -> io::Result<RealFile> {
        let (directory, name) = self.locate_below(at)?;
        for _ in 0..CREATE_TRIES {
            match self.create_in(&directory, name, PRIVATE) {
                Err(Errno::EXIST) => {}
                done => return Ok(done?),
            }
            let there = check_regular(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .and_then(|()| regular(open_fd(&directory, name, READ_WRITE)?));
            match there {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done,
            }
        }
        Err(Errno::AGAIN.into())
    }

    fn create_new(&self, at: At<'_>, mode: u16) -> io::Result<RealFile> {
        let (directory, name) = self.locate_below(at)?;
        Ok(self.create_in(&directory, name, permissions(mode))?)
    }

    fn open_seen(&self, at: At<'_>) -> io::Result<RealFile> {
        let (directory, name) = self.locate_below(at)?;
        let flags = OPEN | OFlags::NOFOLLOW | OFlags::RDONLY;
        regular(open_fd(&directory, name, flags)?)
    }

    fn list_kinds(&self, at: At<'_>) -> io::Result<Vec<(Vec<u8>, Option<FileKind>)>> {
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
                    name => names.push((name.to_vec(), told_kind(entry.file_type()))),
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
        let share = self.flushable()?;
        FLUSHES.time(|| Ok(rustix::fs::syncfs(share)?))
    }

    fn begin_sync_all(&self) -> bool {
        let mut syncer = self.syncer.lock().unwrap_or_else(PoisonError::into_inner);
        if syncer.is_none() {
            *syncer = self.flushable().and_then(Syncer::new).ok();
        }
        syncer.as_mut().is_some_and(Syncer::begin)
    }

    fn poll_sync_all(&self) -> Option<io::Result<()>> {
        let mut syncer = self.syncer.lock().unwrap_or_else(PoisonError::into_inner);
        syncer.as_mut()?.poll()
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

impl RealDisk {
    /// A new file with this mode, or one that others may do less with.
    fn create_in(
        &self,
        directory: &Directory<'_>,
        name: &[u8],
        mode: Mode,
    ) -> Result<RealFile, Errno> {
        let flags = READ_WRITE | OFlags::CREATE | OFlags::EXCL;
        let fd = retry_on_intr(|| openat(directory, name, flags, mode))?;
        if self.umask.intersects(PRIVATE) {
            rustix::fs::fchmod(&fd, mode)?;
        }
        Ok(RealFile::new(fd))
    }

    /// `share/` to be flushed: an O_PATH descriptor cannot be.
    fn flushable(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&self.share, c".", flags, Mode::empty())?)
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

/// Whether what is at a name may be opened; only a hint, what was opened is looked at again.
fn check_regular(directory: &Directory<'_>, name: &[u8], flags: AtFlags) -> io::Result<()> {
    match kind(&statat(directory, name, flags)?) {
        FileKind::File => Ok(()),
        _ => Err(not_regular()),
    }
}

/// Takes what was opened only if it is a regular file.
fn regular(fd: OwnedFd) -> io::Result<RealFile> {
    match kind(&rustix::fs::fstat(&fd)?) {
        FileKind::File => Ok(RealFile::new(fd)),
        _ => Err(not_regular()),
    }
}

/// What a directory tells of a name in it, which not every file system does.
fn told_kind(told: FileType) -> Option<FileKind> {
    (told != FileType::Unknown).then(|| kind_of(told))
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn is_below(path: &[u8], ancestor: &[u8]) -> bool {
    path.strip_prefix(ancestor)
        .is_some_and(|rest| rest.starts_with(b"/"))
}
