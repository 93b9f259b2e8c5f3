//! syncfs beside the loop. It waits for all that anybody wrote to the disk, seconds on a slow card, and the kernel has no
//! form of it that does not wait (io_uring has none). So a thread does it that does nothing else.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

/// Bytes of the thread's stack: it calls one function.
const STACK: usize = 64 * 1024;

/// Flushes a file system while its owner goes on; one flush at a time.
#[derive(Debug)]
pub struct Syncer {
    begin: SyncSender<OwnedFd>,
    ended: Receiver<io::Result<()>>,
    under_way: bool,
}

impl Syncer {
    /// A syncer without anything to do. Its thread ends with it.
    ///
    /// # Errors
    /// The system gives us no thread.
    pub fn new() -> io::Result<Self> {
        let (begin, begun) = sync_channel::<OwnedFd>(1);
        let (end, ended) = sync_channel(1);
        std::thread::Builder::new()
            .name("syncfs".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                for folder in begun {
                    let result = rustix::fs::syncfs(&folder).map_err(io::Error::from);
                    if end.send(result).is_err() {
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

    /// Begins a flush of the file system that a folder is on. False: not now, the caller has to do it.
    pub fn begin(&mut self, folder: OwnedFd) -> bool {
        // Nobody asked how the last one ended: that is not the end of this one.
        if self.under_way && self.poll().is_none() {
            return false;
        }
        self.under_way = self.begin.try_send(folder).is_ok();
        self.under_way
    }

    /// How the flush ended, once; `None` while it goes on.
    pub fn poll(&mut self) -> Option<io::Result<()>> {
        let ended = match self.ended.try_recv() {
            Ok(ended) => ended,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(io::Error::other("the flush was broken off")),
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
        let mut syncer = Syncer::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let open = || OwnedFd::from(std::fs::File::open(folder.path()).unwrap());
        assert!(syncer.begin(open()));
        assert!(wait(&mut syncer).is_ok());
        assert!(syncer.poll().is_none(), "told once");
        // One whose end nobody asks for does not stand in the way of the next for ever.
        assert!(syncer.begin(open()));
        let begin = Instant::now();
        while !syncer.begin(open()) {
            assert!(begin.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        assert!(wait(&mut syncer).is_ok());
    }

    #[test]
    fn what_cannot_be_flushed_is_told() {
        let mut syncer = Syncer::new().unwrap();
        let path_only = rustix::fs::open(
            "/",
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        );
        assert!(syncer.begin(path_only.unwrap()));
        assert!(wait(&mut syncer).is_err());
    }
}
