//! The one boundary between tinypeer and a file system: everything that scans, serves, lands or
//! stores goes through [`Disk`], so that the simulator can run whole peers on a disk of memory.
//!
//! Every path is relative to a [`Place`] and given as bytes. An implementation must never leave the
//! place: no component of the directory part may be followed if it is a symlink (docs/architecture.md,
//! "Paths").

mod birth;
mod chmod;
pub mod folders;
pub mod instance_lock;
mod kept;
pub mod preflight;
mod real;
pub mod real_file;
mod rename;
mod root;
mod syncer;
#[cfg(test)]
mod tests;

use proto_core::index::entry::Timestamp;
use std::fmt::Debug;
use std::io;

/// A folder of tinypeer's, held open by the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Place {
    /// `share/`: what is kept the same.
    Share,
    /// `download/`: contents that are not complete yet.
    Download,
    /// `zip/`: bundles.
    Zip,
    /// `.tinypeer/`: key, index, lock, socket.
    State,
    /// `.tinypeer/trash/`: what remote changes replaced or deleted.
    Trash,
}

/// A path in a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At<'a> {
    /// The folder.
    pub place: Place,
    /// Relative to it, without leading, trailing or doubled `/`; empty for the folder itself.
    pub path: &'a [u8],
}

/// What kind of thing is at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Socket, fifo or device: never opened.
    Other,
}

/// What the file system says of a path or an open file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// What kind of thing it is.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Bytes of disk that it takes up: less than its size if it has holes, more if room is reserved.
    pub allocated: u64,
    /// Permission bits with setuid, setgid and sticky (within 0o7777).
    pub mode: u16,
    /// Last modification of the content.
    pub mtime: Timestamp,
    /// Last change of content or attributes; users cannot set it back.
    pub ctime: Timestamp,
    /// Inode number.
    pub inode: u64,
    /// Hard links.
    pub links: u64,
}

/// What tells a file or folder from a copy of it, and from a later one with the same name and the
/// inode number used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Birth(pub [u8; 16]);

/// How a rename treats what is at its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameMode {
    /// Fail with `AlreadyExists` if there is anything (RENAME_NOREPLACE).
    NoReplace,
    /// Replace it.
    Replace,
    /// Swap the two atomically; fail with `NotFound` if there is nothing (RENAME_EXCHANGE).
    Exchange,
}

/// A flush that goes on beside us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlushId(pub u64);

/// Room on the file system of `share/`, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Free for us.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// A file system with tinypeer's folders. Errors are those of the system calls that each name
/// stands for; `Unsupported` where the file system lacks an operation.
pub trait Disk: 'static {
    /// An open regular file.
    type File: DiskFile;

    /// A turn of the loop begins: what is opened to reach a path may stay open until [`Self::end_turn`], so that what is done
    /// to a path is done as if at the begin of the turn.
    fn begin_turn(&self) {}
    /// It ends.
    fn end_turn(&self) {}
    /// Whether `share/` is still the folder that was opened at the start (it may have been
    /// unmounted, moved or deleted); an error that says what is wrong if not.
    fn check_share(&self) -> io::Result<()>;
    /// Names the time since the power came on and the file system was mounted: while it is the same, all that was written is
    /// there. `None`: not known.
    fn powered(&self) -> Option<Vec<u8>> {
        None
    }
    /// Whether `share/` was missing and had to be made.
    fn made_share(&self) -> bool;
    /// The birth of what is at a path, never of what a symlink leads to.
    fn birth(&self, at: At<'_>) -> io::Result<Birth>;
    /// lstat.
    fn stat(&self, at: At<'_>) -> io::Result<Stat>;
    /// Opens a regular file for reading, without waiting on a fifo. `follow` allows the last
    /// component to be a symlink (then it may lead anywhere); otherwise a symlink is an error.
    /// Anything but a regular file is `InvalidInput`.
    fn open(&self, at: At<'_>, follow: bool) -> io::Result<Self::File>;
    /// Opens a regular file for reading and writing, creating it with mode 0600 if it is missing;
    /// never through a symlink.
    fn create(&self, at: At<'_>) -> io::Result<Self::File>;
    /// The same, but fails with `AlreadyExists` if there is anything. It gets this mode; the umask, or a default ACL of the
    /// directory, may take bits of it for the group and for others away.
    fn create_new(&self, at: At<'_>, mode: u16) -> io::Result<Self::File>;
    /// Opens for reading what [`Self::stat`] has just found to be a regular file: as [`Self::open`] without `follow`, but
    /// without another look at the path before. Another regular file may have come there in between, so what was read counts
    /// only if [`DiskFile::stat`] says after it that it is of what was meant.
    fn open_seen(&self, at: At<'_>) -> io::Result<Self::File> {
        self.open(at, false)
    }
    /// Names in a directory, in any order, without `.` and `..`.
    fn list(&self, at: At<'_>) -> io::Result<Vec<Vec<u8>>> {
        let names = self.list_kinds(at)?;
        Ok(names.into_iter().map(|(name, _)| name).collect())
    }
    /// The same, each with the kind of what was there, as far as the file system tells it with the name.
    fn list_kinds(&self, at: At<'_>) -> io::Result<Vec<(Vec<u8>, Option<FileKind>)>>;
    /// Target of a symlink.
    fn read_link(&self, at: At<'_>) -> io::Result<Vec<u8>>;
    /// mkdir, with exactly these permission bits whatever the umask; bits beyond
    /// [`proto_core::index::entry::MODE_MASK`] are dropped.
    fn make_dir(&self, at: At<'_>, mode: u16) -> io::Result<()>;
    /// rmdir; fails if it is not empty.
    fn remove_dir(&self, at: At<'_>) -> io::Result<()>;
    /// unlink, of the symlink itself if it is one; fails on a directory.
    fn remove_file(&self, at: At<'_>) -> io::Result<()>;
    /// symlink.
    fn make_symlink(&self, target: &[u8], at: At<'_>) -> io::Result<()>;
    /// link, of the symlink itself if `from` is one.
    fn hard_link(&self, from: At<'_>, to: At<'_>) -> io::Result<()>;
    /// rename.
    fn rename(&self, from: At<'_>, to: At<'_>, mode: RenameMode) -> io::Result<()>;
    /// chmod of a file or directory, never through a symlink (`InvalidInput`). Bits beyond
    /// [`proto_core::index::entry::MODE_MASK`] are never set: a file loses those it has, a directory
    /// keeps its own. No change, no new ctime.
    fn set_mode(&self, at: At<'_>, mode: u16) -> io::Result<()>;
    /// utimensat: sets the modification time of what is at a path, of the symlink itself if it is one.
    /// Like [`DiskFile::set_mtime`], but it needs no permission to open the file.
    fn set_mtime(&self, at: At<'_>, mtime: Timestamp) -> io::Result<()>;
    /// fsync of a directory: the names in it survive a power cut.
    fn sync_dir(&self, at: At<'_>) -> io::Result<()>;
    /// syncfs: all that was written and renamed so far survives a power cut. One such flush costs less
    /// than many of [`DiskFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;
    /// Begins [`Self::sync_all`] without waiting for its end, which [`Self::poll_sync_all`] tells, for what was written so far.
    /// False: nothing is begun, because this system does not do it beside us, or does already.
    fn begin_sync_all(&self) -> bool;
    /// How it ended, once; `None` while it goes on.
    fn poll_sync_all(&self) -> Option<io::Result<()>>;
    /// Begins [`DiskFile::sync_data`] without waiting for its end, which [`Self::poll_flush`] tells; `None`: nothing
    /// is begun, because this system flushes nothing beside us, or no more now.
    fn begin_flush(&self, file: &Self::File) -> Option<FlushId>;
    /// How a flush ended, once; `None` while it goes on.
    fn poll_flush(&self, flush: FlushId) -> Option<io::Result<()>>;
    /// statvfs of `share/`.
    fn space(&self) -> io::Result<Space>;
}

/// Whether an error says that nothing is at a path: also if a parent is not a directory any more.
#[must_use]
pub fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// An open regular file. Closed when dropped.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// fstat.
    fn stat(&self) -> io::Result<Stat>;
    /// pread: how many bytes were read; 0 at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// [`Self::read_at`] of what is in memory: `WouldBlock` if the disk would have to be waited for.
    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_at(offset, buffer)
    }
    /// Has a range read from the disk before it is asked for, without waiting for it; only a hint.
    fn will_need(&self, _offset: u64, _len: u64) {}
    /// pwrite of all bytes.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// copy_file_range: copies from another file of the same disk, from its offset to one of ours, without the
    /// bytes passing through here, and without copying them where the file system can share blocks: how many
    /// bytes; 0 at the end of `from`. `Unsupported` where it cannot.
    fn copy_from(
        &self,
        _from: &Self,
        _from_offset: u64,
        _offset: u64,
        _len: usize,
    ) -> io::Result<usize>
    where
        Self: Sized,
    {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// ftruncate.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves room for this length, so that a full disk shows early; the length of the file may
    /// grow to it. `Ok` where the file system cannot.
    fn reserve(&self, len: u64) -> io::Result<()>;
    /// Begins to write a range to the disk without waiting for it; only a hint.
    fn start_writeback(&self, offset: u64, len: u64);
    /// Writes a range to the disk and waits for it, so that a flush after it has little left to do. Promises nothing
    /// about durability; nothing where the system has no such call.
    fn write_out(&self, _offset: u64, _len: u64) {}
    /// fdatasync.
    fn sync_data(&self) -> io::Result<()>;
    /// fchmod; bits beyond [`proto_core::index::entry::MODE_MASK`] are dropped.
    fn set_mode(&self, mode: u16) -> io::Result<()>;
    /// futimens: sets the modification time. `InvalidInput` if its nanoseconds are out of range; a
    /// file system clamps seconds that it cannot hold.
    fn set_mtime(&self, mtime: Timestamp) -> io::Result<()>;
}
