//! An open file of the simulated disk.

use super::SimDisk;
use super::tree::code::EINVAL;
use super::tree::{Ino, errno};
use peer_mio::disk::{DiskFile, Place, Stat};
use proto_core::index::entry::Timestamp;
use std::io;

/// An open file.
#[derive(Debug)]
pub struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) place: Place,
    pub(super) ino: Ino,
}

impl DiskFile for SimFile {
    fn stat(&self) -> io::Result<Stat> {
        self.disk.reading(|state| state.tree.stat(self.ino))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.disk.reading(|state| {
            let bytes = state.tree.bytes(self.ino)?;
            let from = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let rest = bytes.get(from..).unwrap_or_default();
            let len = rest.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
                to.copy_from_slice(from);
            }
            Ok(len)
        })?;
        match self.place {
            Place::Download => self.disk.lock().downloads_read += len as u64,
            Place::Share => self.disk.lock().share_read += len as u64,
            _ => {}
        }
        Ok(len)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(files) = &mut self.disk.lock().cold_reads {
            let reads = files.entry(self.ino).or_default();
            *reads += 1;
            if !reads.is_multiple_of(3) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        self.read_at(offset, buffer)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(|_| errno(EINVAL))?;
        self.disk
            .changing(|state| state.tree.write(self.ino, at, bytes))
    }

    fn copy_from(
        &self,
        from: &Self,
        from_offset: u64,
        offset: u64,
        len: usize,
    ) -> io::Result<usize> {
        let mut bytes = vec![0; len];
        let len = from.read_at(from_offset, &mut bytes)?;
        bytes.truncate(len);
        self.write_all_at(offset, &bytes)?;
        Ok(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| errno(EINVAL))?;
        self.disk
            .changing(|state| state.tree.set_len(self.ino, len))
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.disk
            .changing(|state| state.tree.reserve(self.ino, len))
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {
        let mut state = self.disk.lock();
        let now = state.tree.now;
        state.written_back.entry(self.ino).or_insert(now);
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.changing(|state| state.tree.sync_bytes(self.ino))
    }

    fn set_mode(&self, mode: u16) -> io::Result<()> {
        self.disk
            .changing(|state| state.tree.set_mode(self.ino, mode & 0o777))
    }

    fn set_mtime(&self, mtime: Timestamp) -> io::Result<()> {
        self.disk
            .changing(|state| state.tree.set_mtime(self.ino, mtime))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.life == self.disk.life {
            state.tree.hold(self.ino, false);
        }
    }
}
