//! Reading a file from its start to its end without waiting for the disk: it is read ahead, and what is not in memory yet
//! is looked for again a little later (docs/architecture.md, "The loop").

use crate::disk::DiskFile;
use std::io;

/// Bytes that the disk reads ahead at once, so that it works on while the loop does something else.
const AHEAD: u64 = 2 * 1024 * 1024;
/// Waits in a row after which what is read ahead is asked for again: it may have left the memory before it was read, ...
const ASK_AGAIN: u32 = 16;
/// ... and after which the disk is waited for: it is slow, or reading ahead does not work here. So often that is tried.
const MOST_WAITS: u32 = 256;
const TRIES: u32 = 3;

/// How one file is read.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Up to where the disk was asked to read ahead.
    ahead: u64,
    /// Where there is nothing to wait for any more.
    end: u64,
    /// Whether the disk is not to be waited for, and how often in a row nothing was there.
    patient: bool,
    waits: u32,
    /// How often it may still be so after it had to be waited for.
    tries: u32,
}

impl Patience {
    /// For a file that is thought to have `size` bytes. A short one the kernel reads ahead by itself; for it, as by
    /// default, the disk is waited for.
    pub fn new(size: u64) -> Self {
        let tries = if size > AHEAD { TRIES } else { 0 };
        Self {
            end: size,
            patient: tries > 0,
            tries,
            ..Self::default()
        }
    }

    /// Reads what is in memory of what lies at `offset`, or else says `WouldBlock`.
    pub fn read<F: DiskFile>(
        &mut self,
        file: &F,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if !self.patient || offset >= self.end {
            let read = file.read_at(offset, buffer)?;
            self.went_on();
            return Ok(read);
        }
        self.read_ahead(file, offset);
        let read = file.read_cached(offset, buffer);
        match &read {
            Ok(_) => self.went_on(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(file, offset),
            Err(_) => {}
        }
        read
    }

    /// Whether a range need not be waited for, or has been waited for too long.
    pub fn has<F: DiskFile>(&mut self, file: &F, offset: u64, len: u64) -> bool {
        if self.patient && offset < self.end {
            self.read_ahead(file, offset);
            // The last of it comes last.
            let last = offset.saturating_add(len).min(self.end) - 1;
            if let Err(error) = file.read_cached(last, &mut [0])
                && error.kind() == io::ErrorKind::WouldBlock
            {
                self.wait(file, offset);
                if self.patient {
                    return false;
                }
            }
        }
        self.went_on();
        true
    }

    /// Whether nothing was there when it was last looked.
    pub fn waits(&self) -> bool {
        self.waits > 0
    }

    /// Something was there.
    pub fn went_on(&mut self) {
        self.waits = 0;
        self.patient = self.tries > 0;
    }

    /// Nothing is there yet.
    fn wait<F: DiskFile>(&mut self, file: &F, offset: u64) {
        self.waits += 1;
        if self.waits.is_multiple_of(ASK_AGAIN) {
            file.will_need(offset, AHEAD);
        }
        if self.waits == MOST_WAITS {
            self.patient = false;
            self.tries = self.tries.saturating_sub(1);
        }
    }

    /// Half of what is read ahead is left when more is asked for.
    fn read_ahead<F: DiskFile>(&mut self, file: &F, offset: u64) {
        if offset.saturating_add(AHEAD / 2) >= self.ahead && self.ahead < self.end {
            let from = self.ahead.max(offset);
            file.will_need(from, AHEAD);
            self.ahead = from.saturating_add(AHEAD);
        }
    }
}
