//! fdatasync that the kernel does beside us (io_uring, IORING_OP_FSYNC), so that no flush holds up the loop.

use io_uring::{IoUring, opcode, types};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Flushes at once; each may take a thread of the kernel's.
const AT_ONCE: u32 = 8;
/// Results that nobody asked for, kept at most: who began them is gone.
const KEPT: usize = 32;

/// Flushes files beside the caller.
pub struct Flusher {
    ring: IoUring,
    begun: u64,
    under_way: u32,
    /// An operation was left in the queue: nothing is submitted any more, as that would go with it, for a descriptor that
    /// may be another file's by then, and its result would pass for that of another flush.
    broken: bool,
    ended: VecDeque<(u64, i32)>,
}

impl Flusher {
    /// A flusher without anything to do.
    ///
    /// # Errors
    /// The kernel has no io_uring, or does not let us use it.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ring: IoUring::new(AT_ONCE)?,
            begun: 0,
            under_way: 0,
            broken: false,
            ended: VecDeque::with_capacity(KEPT),
        })
    }

    /// Begins an fdatasync; its number. `None`: not now, the caller has to do it. The file must stay open until
    /// it has ended, if its result counts: some kernels look the descriptor up only when they begin.
    pub fn begin(&mut self, file: impl AsFd) -> Option<u64> {
        self.reap();
        if self.broken || self.under_way >= AT_ONCE {
            return None;
        }
        let fd = types::Fd(file.as_fd().as_raw_fd());
        let entry = opcode::Fsync::new(fd)
            .flags(types::FsyncFlags::DATASYNC)
            .build()
            // Without it the call that submits would do the work itself.
            .flags(io_uring::squeue::Flags::ASYNC)
            .user_data(self.begun);
        // SAFETY: the operation has no buffers, and its descriptor is open while it is submitted, which
        // is below.
        unsafe { self.ring.submission().push(&entry) }.ok()?;
        let submitted = self.ring.submit();
        self.submitted(&submitted)
    }

    /// The number of what was submitted, if it was.
    fn submitted(&mut self, submitted: &io::Result<usize>) -> Option<u64> {
        if !matches!(submitted, Ok(1)) {
            self.broken = true;
            return None;
        }
        self.begun += 1;
        self.under_way += 1;
        Some(self.begun - 1)
    }

    /// How a flush ended; `None` while it goes on.
    pub fn poll(&mut self, number: u64) -> Option<io::Result<()>> {
        self.reap();
        let place = self.ended.iter().position(|(ended, _)| *ended == number)?;
        let (_, result) = self.ended.remove(place)?;
        Some(if result < 0 {
            Err(io::Error::from_raw_os_error(result.saturating_neg()))
        } else {
            Ok(())
        })
    }

    fn reap(&mut self) {
        for entry in self.ring.completion() {
            self.under_way = self.under_way.saturating_sub(1);
            if self.ended.len() == KEPT {
                self.ended.pop_front();
            }
            self.ended.push_back((entry.user_data(), entry.result()));
        }
    }
}

impl std::fmt::Debug for Flusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Flusher({} under way)", self.under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::{Duration, Instant};

    #[test]
    fn a_flush_ends_beside_us_and_says_how() {
        let Ok(mut flusher) = Flusher::new() else {
            println!("skipped: no io_uring here");
            return;
        };
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        let good = flusher.begin(&file).unwrap();
        let (pipe, _end) = std::io::pipe().unwrap();
        let bad = flusher.begin(&pipe).unwrap();
        let begin = Instant::now();
        let mut wait = |number| loop {
            if let Some(result) = flusher.poll(number) {
                return result;
            }
            assert!(begin.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        };
        assert!(wait(good).is_ok());
        assert!(wait(bad).is_err(), "a pipe cannot be flushed");
        assert!(flusher.poll(good).is_none(), "told once");
    }

    #[test]
    fn more_than_there_is_room_for_are_refused() {
        let Ok(mut flusher) = Flusher::new() else {
            println!("skipped: no io_uring here");
            return;
        };
        flusher.under_way = AT_ONCE;
        assert_eq!(flusher.begin(tempfile::tempfile().unwrap()), None);
    }

    #[test]
    fn after_one_that_was_not_submitted_nothing_more_is_begun() {
        let Ok(mut flusher) = Flusher::new() else {
            println!("skipped: no io_uring here");
            return;
        };
        let file = tempfile::tempfile().unwrap();
        let number = flusher.begin(&file).unwrap();
        assert_eq!(
            flusher.submitted(&Err(io::ErrorKind::OutOfMemory.into())),
            None
        );
        let begin = Instant::now();
        while flusher.poll(number).is_none() {
            assert!(begin.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        assert_eq!(flusher.under_way, 0, "there would be room");
        assert_eq!(flusher.begin(file), None);
    }
}
