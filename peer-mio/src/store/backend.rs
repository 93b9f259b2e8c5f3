//! redb on a [`DiskFile`], so that the index lies on whatever disk its peer has.

use crate::disk::DiskFile;
use std::io;

/// A redb storage backend over one file.
#[derive(Debug)]
pub struct Backend<F> {
    file: F,
}

impl<F> Backend<F> {
    /// A backend over an open file.
    pub fn new(file: F) -> Self {
        Self { file }
    }
}

impl<F: DiskFile> redb::StorageBackend for Backend<F> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.stat()?.size)
    }

    fn read(&self, mut offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = self.file.read_at(offset, rest)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            offset += read as u64;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(offset, data)
    }
}
