//! A file of the disk as the streams that archives are read from and written to.

use crate::disk::DiskFile;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// An open file and a place in it.
#[derive(Debug)]
pub struct FileCursor<F> {
    file: F,
    at: u64,
}

impl<F: DiskFile> FileCursor<F> {
    /// At the beginning of a file.
    pub fn new(file: F) -> Self {
        Self { file, at: 0 }
    }

    /// The file alone.
    pub fn into_file(self) -> F {
        self.file
    }
}

impl<F: DiskFile> Read for FileCursor<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.at, buffer)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

impl<F: DiskFile> Write for FileCursor<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(self.at, bytes)?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: DiskFile> Seek for FileCursor<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.stat()?.size.checked_add_signed(by),
        };
        self.at = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
