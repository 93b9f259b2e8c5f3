//! syncfs beside the loop. It waits for all that anybody wrote to the disk, seconds on a slow card, and the kernel has no
//! form of it that does not wait (io_uring has none). So a thread does it that does nothing else.

use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of the thread's stack: it calls one function.
const STACK: usize = 64 * 1024;

/// Flushes a file system while its owner goes on; one flush at a time. Two pipes say that one is to begin, and how it ended: a
/// byte, and the error's number or 0.
#[derive(Debug)]
pub struct Syncer {
    begin: OwnedFd,
    ended: OwnedFd,
    under_way: bool,
}

impl Syncer {
    /// A syncer of the file system that a folder is on, without anything to do. Its thread ends with it.
    ///
    /// # Errors
    /// The system gives us no pipe or no thread.
    pub fn new(folder: OwnedFd) -> io::Result<Self> {
        let (begun, begin) = pipe_with(PipeFlags::CLOEXEC)?;
        let (ended, end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || {
                let mut byte = [0];
                while matches!(retry_on_intr(|| read(&begun, &mut byte)), Ok(1)) {
                    let error = rustix::fs::syncfs(folder.as_fd()).err();
                    let said = error.map_or(0, Errno::raw_os_error).to_ne_bytes();
                    if retry_on_intr(|| write(&end, &said)).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            begin,
            ended,
            under_way: false,
        })
    }

    /// Begins a flush. False: not now, the caller has to do it.
    pub fn begin(&mut self) -> bool {
        // Nobody asked how the last one ended: that is not the end of this one.
        if self.under_way && self.poll().is_none() {
            return false;
        }
        // With one byte at most in it the pipe is never full.
        self.under_way = retry_on_intr(|| write(&self.begin, &[1])).is_ok();
        self.under_way
    }

    /// How the flush ended, once; `None` while it goes on.
    pub fn poll(&mut self) -> Option<io::Result<()>> {
        let mut said = [0; 4];
        let ended = match retry_on_intr(|| read(&self.ended, &mut said)) {
            Err(Errno::AGAIN) => return None,
            Ok(4) => match i32::from_ne_bytes(said) {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(error)),
            },
            _ => Err(io::Error::other("the flush was broken off")),
        };
        self.under_way = false;
        Some(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn wait(syncer: &mut Syncer) -> io::Result<()> {
        let begin = Instant::now();
        loop {
            if let Some(ended) = syncer.poll() {
                return ended;
            }
            assert!(begin.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_flush_ends_beside_us_and_says_how() {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::File::open(folder.path()).unwrap();
        let mut syncer = Syncer::new(open.into()).unwrap();
        assert!(syncer.begin());
        assert!(wait(&mut syncer).is_ok());
        assert!(syncer.poll().is_none(), "told once");
        // One whose end nobody asks for does not stand in the way of the next for ever.
        assert!(syncer.begin());
        let begin = Instant::now();
        while !syncer.begin() {
            assert!(begin.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        assert!(wait(&mut syncer).is_ok());
    }

    #[test]
    fn what_cannot_be_flushed_is_told() {
        let path_only = rustix::fs::open(
            "/",
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        );
        let mut syncer = Syncer::new(path_only.unwrap()).unwrap();
        assert!(syncer.begin());
        assert!(wait(&mut syncer).is_err());
    }
}
