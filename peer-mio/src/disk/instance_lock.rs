//! One tinypeer for one directory.

use super::folders::RealDisk;
use super::{At, Disk, Place};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// `.tinypeer/` itself.
const STATE: At<'static> = At {
    place: Place::State,
    path: b"",
};

/// What is locked where a directory cannot be.
const LOCK: At<'static> = At {
    place: Place::State,
    path: b"lock",
};

/// Held while this process works on a directory; given back when dropped, also by a crash.
#[derive(Debug)]
pub struct InstanceLock {
    _held: Held,
}

#[derive(Debug)]
enum Held {
    Directory { _fd: OwnedFd },
    File { _file: <RealDisk as Disk>::File },
}

impl InstanceLock {
    /// Takes the lock; `None` if another process holds it.
    ///
    /// The lock is flock(2) on the directory `.tinypeer` itself: the kernel locks any open inode, and
    /// a directory, unlike a file in it, cannot be deleted and made anew beside its holder while it
    /// has files. NFS and some others emulate flock by locks on ranges of bytes, which a directory
    /// has not: there a file in it is locked.
    ///
    /// # Errors
    /// Those of open and flock.
    pub fn acquire(disk: &RealDisk) -> io::Result<Option<Self>> {
        // The descriptor that the disk holds only names the directory (O_PATH), which flock refuses.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(disk.directory_at(STATE)?, c".", flags, Mode::empty())?;
        let held = match lock(&directory) {
            Ok(()) => Held::Directory { _fd: directory },
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(_) => {
                let file = disk.create(LOCK)?;
                match lock(&file) {
                    Ok(()) => Held::File { _file: file },
                    Err(Errno::WOULDBLOCK) => return Ok(None),
                    Err(errno) => return Err(errno.into()),
                }
            }
        };
        Ok(Some(Self { _held: held }))
    }
}

fn lock(fd: impl AsFd) -> Result<(), Errno> {
    retry_on_intr(|| flock(fd.as_fd(), FlockOperation::NonBlockingLockExclusive))
}
