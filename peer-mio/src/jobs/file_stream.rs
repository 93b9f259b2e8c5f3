//! An open file as the streams that the zip crate reads and writes.

use crate::disk::DiskFile;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// What was written last is held back up to this many bytes: a member's head is written again when its length is
/// known, and small writes are slow.
const WINDOW: usize = 256 * 1024;

/// Writes a file from its start. Memory: 256 KiB and the longest single write.
#[derive(Debug)]
pub struct FileWriter<F> {
    file: F,
    /// Where the window begins in the file.
    start: u64,
    window: Vec<u8>,
    at: u64,
}

impl<F: DiskFile> FileWriter<F> {
    /// A writer into an empty file.
    pub fn new(file: F) -> Self {
        Self {
            file,
            start: 0,
            window: Vec::new(),
            at: 0,
        }
    }

    fn len(&self) -> u64 {
        self.start.saturating_add(self.window.len() as u64)
    }

    /// The file and its length, when all is written.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(mut self) -> io::Result<(F, u64)> {
        self.flush()?;
        Ok((self.file, self.start))
    }
}

impl<F: DiskFile> Write for FileWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at < self.start {
            // Behind the window: few bytes, in what is written already.
            let len = bytes
                .len()
                .min(usize::try_from(self.start - self.at).unwrap_or(usize::MAX));
            let part = bytes.get(..len).unwrap_or(bytes);
            self.file.write_all_at(self.at, part)?;
            self.at += len as u64;
            return Ok(len);
        }
        let from = usize::try_from(self.at - self.start).map_err(io::Error::other)?;
        let end = from.saturating_add(bytes.len());
        if self.window.len() < end {
            self.window.resize(end, 0);
        }
        if let Some(target) = self.window.get_mut(from..end) {
            target.copy_from_slice(bytes);
        }
        self.at += bytes.len() as u64;
        if self.window.len() >= WINDOW {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.window.is_empty() {
            self.file.write_all_at(self.start, &self.window)?;
            self.start = self.len();
            self.window.clear();
        }
        Ok(())
    }
}

impl<F: DiskFile> Seek for FileWriter<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = place(to, self.at, self.len())?;
        if self.at > self.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self.at)
    }
}

/// Reads a file.
#[derive(Debug)]
pub struct FileReader<F> {
    file: F,
    len: u64,
    at: u64,
}

impl<F: DiskFile> FileReader<F> {
    /// A reader of the first `len` bytes of a file.
    pub fn new(file: F, len: u64) -> Self {
        Self { file, len, at: 0 }
    }

    /// The file alone.
    pub fn into_file(self) -> F {
        self.file
    }
}

impl<F: DiskFile> Read for FileReader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buffer.len().min(rest);
        let Some(part) = buffer.get_mut(..most).filter(|part| !part.is_empty()) else {
            return Ok(0);
        };
        let read = self.file.read_at(self.at, part)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

impl<F: DiskFile> Seek for FileReader<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = place(to, self.at, self.len)?;
        Ok(self.at)
    }
}

fn place(to: SeekFrom, at: u64, len: u64) -> io::Result<u64> {
    let (base, offset) = match to {
        SeekFrom::Start(start) => return Ok(start),
        SeekFrom::Current(offset) => (at, offset),
        SeekFrom::End(offset) => (len, offset),
    };
    base.checked_add_signed(offset)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
