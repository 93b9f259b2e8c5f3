//! An open file of the simulated disk.

use super::SimDisk;
use super::tree::code::{EINVAL, EIO};
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

impl SimFile {
    /// The length of a file of which not everything is in memory; `None`: it is.
    fn is_cold(&self) -> io::Result<Option<u64>> {
        let may_be = matches!(self.place, Place::Share | Place::Download);
        if !may_be || self.disk.lock().cold.is_none() {
            return Ok(None);
        }
        self.stat().map(|stat| Some(stat.size))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
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
}

impl DiskFile for SimFile {
    fn stat(&self) -> io::Result<Stat> {
        self.disk.reading(|state| state.tree.stat(self.ino))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.read(offset, buffer)?;
        if self.is_cold()?.is_some() {
            let mut state = self.disk.lock();
            let now = state.tree.now;
            if let Some(cold) = &mut state.cold {
                cold.wait(now, self.ino, offset, len as u64);
            }
        }
        Ok(len)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut len = buffer.len();
        if let Some(size) = self.is_cold()? {
            let mut state = self.disk.lock();
            let (now, cold) = (state.tree.now, state.cold.as_mut());
            let wanted = len.min(usize::try_from(size.saturating_sub(offset)).unwrap_or(len));
            let here = cold.map(|cold| cold.in_memory(now, self.ino, offset, wanted));
            len = here.unwrap_or(wanted);
            if len == 0 && wanted > 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        self.read(offset, buffer.get_mut(..len).unwrap_or_default())
    }

    fn will_need(&self, offset: u64, len: u64) {
        if let Ok(Some(size)) = self.is_cold() {
            let mut state = self.disk.lock();
            let (now, len) = (state.tree.now, len.min(size.saturating_sub(offset)));
            if let Some(cold) = &mut state.cold {
                cold.read_ahead(now, self.ino, offset, len);
            }
        }
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(|_| errno(EINVAL))?;
        self.disk.changing(|state| {
            if self.place == Place::Download && state.refuses_bytes == Some(bytes.len()) {
                return Err(errno(EIO));
            }
            if self.place == Place::State && state.refuses_index {
                return Err(errno(EIO));
            }
            let now = state.tree.now;
            if let Some(cold) = &mut state.cold {
                cold.wrote(now, self.ino, offset, bytes.len() as u64);
            }
            state.tree.write(self.ino, at, bytes)
        })
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
