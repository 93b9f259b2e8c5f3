//! One tinypeer for one directory.

use super::real::RealDisk;
use super::real_file::RealFile;
use super::{At, Disk, DiskFile, Place};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::io;

/// Where the lock lies.
const LOCK: At<'static> = At {
    place: Place::State,
    path: b"lock",
};

/// How often the lock is taken anew when somebody deleted its file meanwhile.
const TRIES: usize = 8;

/// Held while this process works on a directory; given back when dropped, also by a crash.
#[derive(Debug)]
pub struct InstanceLock {
    _file: RealFile,
}

impl InstanceLock {
    /// Takes the lock; `None` if another process holds it.
    ///
    /// # Errors
    /// Those of open and flock.
    pub fn acquire(disk: &RealDisk) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            let file = disk.create(LOCK)?;
            match rustix::io::retry_on_intr(|| {
                flock(&file, FlockOperation::NonBlockingLockExclusive)
            }) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
            // A lock on a file that is no longer there would keep nobody out.
            match disk.stat(LOCK) {
                Ok(there) if there.inode == file.stat()?.inode => {
                    return Ok(Some(Self { _file: file }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::AGAIN.into())
    }
}
