//! A file read once from its start, piece by piece.

use super::{PIECE, fill};
use crate::disk::DiskFile;
use std::io;

#[derive(Debug)]
pub struct PieceReader<F> {
    file: F,
    /// One piece of the file, or its shorter last one.
    buffer: Vec<u8>,
    filled: usize,
    taken: usize,
    /// Where the next piece begins in the file.
    next: u64,
    ended: bool,
}

impl<F: DiskFile> PieceReader<F> {
    /// Reads a file that is thought to have `size` bytes: a small one needs only as large a buffer, and
    /// one byte more to see its end. It may have more or fewer.
    pub fn new(file: F, size: u64) -> Self {
        let room = usize::try_from(size).map_or(PIECE, |size| size.saturating_add(1).min(PIECE));
        Self {
            file,
            buffer: vec![0; room],
            filled: 0,
            taken: 0,
            next: 0,
            ended: false,
        }
    }

    /// The bytes of the piece that are not yet taken; empty at the end of the file.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        // A piece that is not full was the last one.
        if self.taken == self.filled && !self.ended {
            (self.taken, self.filled) = (0, 0);
            self.filled = fill(&self.file, self.next, &mut self.buffer)?;
            self.next += self.filled as u64;
            self.ended = self.filled < self.buffer.len();
        }
        Ok(self.buffer.get(self.taken..self.filled).unwrap_or_default())
    }

    /// Takes this many of the bytes that were peeked at.
    pub fn take(&mut self, bytes: usize) {
        self.taken = self.filled.min(self.taken + bytes);
    }
}
