//! redb on a [`DiskFile`].

use crate::disk::DiskFile;
use redb::StorageBackend;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file of an index, shared between the databases that are opened on it one after the other.
pub type IndexFile = Arc<dyn DiskFile>;

/// EIO: the disk cannot read what it holds. The same on all of Linux.
const EIO: i32 = 5;

/// One database's use of the file.
#[derive(Debug)]
pub struct FileBackend {
    /// The file.
    pub file: IndexFile,
    /// Set as soon as the file refuses anything.
    pub failed: Arc<AtomicBool>,
}

impl FileBackend {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn read_exact(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(offset.saturating_add(done as u64), rest) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A sector that cannot be read stays so: a new index is the remedy.
                Err(error) if error.raw_os_error() == Some(EIO) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        self.note(self.file.stat().map(|stat| stat.size))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.note(self.read_exact(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(self.file.write_all_at(offset, data))
    }
}
