//! An open file as the streams that the zip crate reads and writes.

use super::fill;
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

/// Bytes that a [`FileReader`] reads at once: the heads of some small members, which lie some KB apart.
const READ: usize = 32 * 1024;

/// What was read of a file last: several small reads near each other are one.
#[derive(Debug, Default)]
pub struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Up to `len` bytes at `at`, always of the same file; if none of them is here, `reads` bytes are read from there on. Empty only at
    /// the end of the file.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read<F: DiskFile>(
        &mut self,
        file: &F,
        at: u64,
        len: usize,
        reads: usize,
    ) -> io::Result<&[u8]> {
        let has = |from: usize| len == 0 || from < self.bytes.len();
        let mut from = at
            .checked_sub(self.start)
            .and_then(|from| usize::try_from(from).ok());
        if !from.is_some_and(has) {
            self.bytes.resize(reads.max(len), 0);
            let filled = fill(file, at, &mut self.bytes);
            self.bytes.truncate(*filled.as_ref().unwrap_or(&0));
            filled?;
            self.start = at;
            from = Some(0);
        }
        let rest = from
            .and_then(|from| self.bytes.get(from..))
            .unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest))
    }
}

/// Reads a file, some of it at once. Memory: 32 KiB.
#[derive(Debug)]
pub struct FileReader<F> {
    file: F,
    window: Window,
    len: u64,
    at: u64,
}

impl<F: DiskFile> FileReader<F> {
    /// A reader of the first `len` bytes of a file.
    pub fn new(file: F, len: u64) -> Self {
        Self {
            file,
            window: Window::default(),
            len,
            at: 0,
        }
    }

    /// The file alone.
    pub fn into_file(self) -> F {
        self.file
    }
}

impl<F: DiskFile> Read for FileReader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buffer.len().min(rest).min(READ);
        if most == 0 {
            return Ok(0);
        }
        let read = self
            .window
            .read(&self.file, self.at, most, READ.min(rest))?;
        if let Some(part) = buffer.get_mut(..read.len()) {
            part.copy_from_slice(read);
        }
        let read = read.len();
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

#[cfg(test)]
mod tests {
    use super::super::memory_file::{MemoryFile, random};
    use super::*;

    #[test]
    fn a_window_gives_what_lies_at_a_place_wherever_it_is() {
        let bytes = random(1, 10_000);
        let (file, mut window) = (MemoryFile::new(&bytes), Window::default());
        for (at, len, reads) in [
            (5000, 10, 100),
            (5090, 10, 100),
            (5095, 20, 100),
            (4999, 3, 3),
            (0, 100, 10),
            (9990, 10, 1000),
            (9995, 10, 1000),
        ] {
            let read = window.read(&file, at as u64, len, reads).unwrap();
            assert!(!read.is_empty() && bytes[at..].starts_with(read), "{at}");
        }
        for at in [10_000, 20_000] {
            assert_eq!(window.read(&file, at, 10, 100).unwrap(), [0; 0]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_what_was_read_before() {
        let bytes = random(2, 10_000);
        let (file, mut window) = (MemoryFile::new(&bytes), Window::default());
        assert_eq!(window.read(&file, 0, 10, 100).unwrap(), &bytes[..10]);
        file.fail_reads_from(5000);
        assert!(window.read(&file, 5000, 10, 100).is_err());
        assert!(window.read(&file, 5000, 10, 100).is_err());
        assert_eq!(window.read(&file, 5, 10, 100).unwrap(), &bytes[5..15]);
    }
}
