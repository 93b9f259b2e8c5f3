//! A file read once from its start, piece by piece.

use super::PIECE;
use super::patience::Patience;
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
    size: u64,
    patience: Patience,
    ended: bool,
}

impl<F: DiskFile> PieceReader<F> {
    /// Reads a file that is thought to have `size` bytes: a small one needs only as large a buffer. It may have more or fewer.
    pub fn new(file: F, size: u64) -> Self {
        let room = usize::try_from(size).map_or(PIECE, |size| size.clamp(1, PIECE));
        Self {
            file,
            buffer: vec![0; room],
            filled: 0,
            taken: 0,
            next: 0,
            size,
            patience: Patience::default(),
            ended: false,
        }
    }

    /// The file.
    pub fn file(&self) -> &F {
        &self.file
    }

    /// From now on a long file is read without waiting for the disk: [`Self::peek`] says `WouldBlock` instead.
    pub fn be_patient(&mut self) {
        self.patience = Patience::new(self.size);
    }

    /// The bytes of the piece that are not yet taken; empty at the end of the file.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.filled && !self.ended {
            (self.taken, self.filled) = (0, 0);
            self.fill()?;
        }
        Ok(self.buffer.get(self.taken..self.filled).unwrap_or_default())
    }

    /// Whether nothing was there when it was last looked.
    pub fn waits(&self) -> bool {
        self.patience.waits()
    }

    /// Reads up to the end of the piece, or what of it is in memory.
    fn fill(&mut self) -> io::Result<()> {
        let piece = PIECE - (self.next % PIECE as u64) as usize;
        let room = piece.min(self.buffer.len());
        while self.filled < room {
            if self.next == self.size && self.filled > 0 {
                // All that is thought to be there; who asks for more finds out whether there is.
                break;
            }
            let Some(rest) = self.buffer.get_mut(self.filled..room) else {
                break;
            };
            let read = self.patience.read(&self.file, self.next, rest);
            match read {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => {
                    self.filled += read;
                    self.next += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.filled > 0 => {
                    self.patience.went_on();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes this many of the bytes that were peeked at.
    pub fn take(&mut self, bytes: usize) {
        self.taken = self.filled.min(self.taken + bytes);
    }
}
