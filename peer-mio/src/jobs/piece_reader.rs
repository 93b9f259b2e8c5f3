//! A file read once from its start, piece by piece.

use super::PIECE;
use crate::disk::DiskFile;
use std::io;

/// Bytes that the disk reads ahead at once, so that it works on while the loop does something else.
const AHEAD: u64 = 2 * 1024 * 1024;
/// Waits in a row after which what is read ahead is asked for again: it may have left the memory before it was read, ...
const ASK_AGAIN: u32 = 16;
/// ... and after which the disk is waited for: it is slow, or reading ahead does not work here. So often that is tried.
const MOST_WAITS: u32 = 256;
const TRIES: u32 = 3;

#[derive(Debug)]
pub struct PieceReader<F> {
    file: F,
    /// One piece of the file, or its shorter last one.
    buffer: Vec<u8>,
    filled: usize,
    taken: usize,
    /// Where the next piece begins in the file.
    next: u64,
    /// Up to where the disk was asked to read ahead, and the length of the file.
    ahead: u64,
    size: u64,
    /// Whether the disk is not to be waited for, and how often in a row nothing was there.
    patient: bool,
    waits: u32,
    /// How often it may still be so after it had to be waited for.
    tries: u32,
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
            ahead: 0,
            size,
            patient: false,
            waits: 0,
            tries: 0,
            ended: false,
        }
    }

    /// From now on a long file is read without waiting for the disk: [`Self::peek`] says `WouldBlock` instead.
    pub fn be_patient(&mut self) {
        self.tries = if self.size > AHEAD { TRIES } else { 0 };
        self.patient = self.tries > 0;
    }

    /// The bytes of the piece that are not yet taken; empty at the end of the file.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.filled && !self.ended {
            (self.taken, self.filled) = (0, 0);
            self.read_ahead();
            self.fill()?;
        }
        Ok(self.buffer.get(self.taken..self.filled).unwrap_or_default())
    }

    /// Whether nothing was there when it was last looked.
    pub fn waits(&self) -> bool {
        self.waits > 0
    }

    /// Reads up to the end of the piece, or what of it is in memory.
    fn fill(&mut self) -> io::Result<()> {
        let piece = PIECE - (self.next % PIECE as u64) as usize;
        let room = piece.min(self.buffer.len());
        while self.filled < room {
            let Some(rest) = self.buffer.get_mut(self.filled..room) else {
                break;
            };
            // At the end that is known there is nothing to wait for.
            let read = if self.patient && self.next < self.size {
                self.file.read_cached(self.next, rest)
            } else {
                self.file.read_at(self.next, rest)
            };
            match read {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => {
                    self.filled += read;
                    self.next += read as u64;
                    self.waits = 0;
                    self.patient = self.tries > 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.filled > 0 {
                        break;
                    }
                    self.wait();
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Nothing is there yet.
    fn wait(&mut self) {
        self.waits += 1;
        if self.waits.is_multiple_of(ASK_AGAIN) {
            self.file.will_need(self.next, AHEAD);
        }
        if self.waits == MOST_WAITS {
            self.patient = false;
            self.tries = self.tries.saturating_sub(1);
        }
    }

    /// Half of what is read ahead is left when more is asked for. What is shorter the kernel reads ahead by itself.
    fn read_ahead(&mut self) {
        if self.patient && self.next + AHEAD / 2 >= self.ahead && self.ahead < self.size {
            let from = self.ahead.max(self.next);
            self.file.will_need(from, AHEAD);
            self.ahead = from + AHEAD;
        }
    }

    /// Takes this many of the bytes that were peeked at.
    pub fn take(&mut self, bytes: usize) {
        self.taken = self.filled.min(self.taken + bytes);
    }
}
