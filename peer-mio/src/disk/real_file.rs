//! Open regular files of the operating system, and what fstat says in our words.

use super::{DiskFile, FileKind, Stat};
use crate::stalls::FLUSHES;
use crate::sys::writeback;
use proto_core::index::entry::{MODE_MASK, Timestamp};
use rustix::fs::{Advice, FallocateFlags, FileType, Mode, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, pwrite, retry_on_intr};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes that one call has read ahead.
const READ_AHEAD: u64 = 128 * 1024;

/// An open regular file of a [`super::folders::RealDisk`].
#[derive(Debug)]
pub struct RealFile(OwnedFd);

impl RealFile {
    /// Takes a descriptor that is known to be a regular file's.
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for RealFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl DiskFile for RealFile {
    fn stat(&self) -> io::Result<Stat> {
        Ok(describe(&rustix::fs::fstat(&self.0)?))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| pread(&self.0, &mut *buffer, offset))?)
    }

    fn write_all_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = retry_on_intr(|| pwrite(&self.0, bytes, offset))?;
            let rest = bytes.get(written..).filter(|_| written > 0);
            bytes = rest.ok_or(io::ErrorKind::WriteZero)?;
            offset = offset.checked_add(unsigned(written)).ok_or(Errno::FBIG)?;
        }
        Ok(())
    }

    fn copy_from(
        &self,
        from: &Self,
        mut from_offset: u64,
        mut offset: u64,
        len: usize,
    ) -> io::Result<usize> {
        Ok(retry_on_intr(|| {
            let (from_offset, offset) = (Some(&mut from_offset), Some(&mut offset));
            rustix::fs::copy_file_range(&from.0, from_offset, &self.0, offset, len)
        })?)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = retry_on_intr(|| {
            let buffers = &mut [IoSliceMut::new(buffer)];
            preadv2(&self.0, buffers, offset, ReadWriteFlags::NOWAIT)
        });
        match read {
            // Linux 5.9 and 5.10 may say so before the end (readv(2), "Bugs").
            Ok(0) => self.read_at(offset, buffer),
            // Older kernels, and file systems that cannot tell.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.read_at(offset, buffer),
            read => Ok(read?),
        }
    }

    fn will_need(&self, offset: u64, len: u64) {
        // One call reads ahead no more than the device's limits, which may be as little as this.
        for place in (0..len).step_by(READ_AHEAD as usize) {
            let len = NonZeroU64::new(READ_AHEAD.min(len - place));
            // A file system that cannot reads when it is asked.
            let _ = rustix::fs::fadvise(&self.0, offset + place, len, Advice::WillNeed);
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&self.0, len))?)
    }

    /// The length does not grow to what was reserved: it goes on telling what was written.
    fn reserve(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(()); // EINVAL to the kernel
        }
        match retry_on_intr(|| rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, 0, len)) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn start_writeback(&self, offset: u64, len: u64) {
        FLUSHES.time(|| writeback::start_writeback(&self.0, offset, len));
    }

    fn write_out(&self, offset: u64, len: u64) {
        FLUSHES.time(|| writeback::write_out(&self.0, offset, len));
    }

    fn sync_data(&self) -> io::Result<()> {
        FLUSHES.time(|| Ok(retry_on_intr(|| rustix::fs::fdatasync(&self.0))?))
    }

    fn set_mode(&self, mode: u16) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.0, permissions(mode))?)
    }

    fn set_mtime(&self, mtime: Timestamp) -> io::Result<()> {
        Ok(rustix::fs::futimens(&self.0, &modified(mtime)?)?)
    }
}

/// A modification time for a call that leaves the time of access alone.
pub(super) fn modified(mtime: Timestamp) -> io::Result<Timestamps> {
    // Above that lie UTIME_NOW and UTIME_OMIT, which mean something else.
    if mtime.nsec > 999_999_999 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let keep = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    let last = Timespec {
        tv_sec: mtime.sec,
        tv_nsec: mtime.nsec.into(),
    };
    Ok(Timestamps {
        last_access: keep,
        last_modification: last,
    })
}

/// Permission bits for a chmod; setuid, setgid and sticky are dropped here at the latest.
pub(super) fn permissions(mode: u16) -> Mode {
    Mode::from_raw_mode(u32::from(mode & MODE_MASK))
}

/// What kind of thing a stat speaks of.
pub(super) fn kind(stat: &rustix::fs::Stat) -> FileKind {
    kind_of(FileType::from_raw_mode(stat.st_mode))
}

/// The kernel's kind of thing as ours.
pub(super) fn kind_of(found: FileType) -> FileKind {
    match found {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    }
}

/// The kernel's answer in our words.
pub(super) fn describe(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        kind: kind(stat),
        size: unsigned(stat.st_size),
        // In units of 512 bytes, whatever the block size (stat(3type)).
        allocated: unsigned(stat.st_blocks).saturating_mul(512),
        mode: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
        mtime: Timestamp {
            sec: signed(stat.st_mtime),
            nsec: nanoseconds(stat.st_mtime_nsec),
        },
        ctime: Timestamp {
            sec: signed(stat.st_ctime),
            nsec: nanoseconds(stat.st_ctime_nsec),
        },
        inode: unsigned(stat.st_ino),
        links: unsigned(stat.st_nlink),
    }
}

// The widths of a stat's fields differ from processor to processor.

/// A number of the kernel's that is never negative.
pub(super) fn unsigned(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or(0)
}

fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(0)
}

fn nanoseconds(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(0)
}
