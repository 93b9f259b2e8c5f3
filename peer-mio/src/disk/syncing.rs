//! A flush that nobody waits for: the one call that no slice of a job can bound, and so the one thing
//! that is not done by the thread of the loop.

use super::DiskFile;
use std::thread::{Builder, JoinHandle};

/// Stack of the thread: it makes one system call.
const STACK: usize = 128 * 1024;

/// A flush that was begun.
#[derive(Debug)]
pub struct Syncing(Option<JoinHandle<()>>);

impl Syncing {
    /// One that is over already.
    #[must_use]
    pub fn over() -> Self {
        Self(None)
    }

    /// Begins fdatasync of a file, in a thread that ends with it.
    pub fn begin<F: DiskFile>(file: F) -> Self {
        let thread = Builder::new().name("flush".to_owned()).stack_size(STACK);
        let begun = thread.spawn(move || {
            // An error is told again to whoever flushes the file through another descriptor, and no
            // byte of it counts before that (docs/architecture.md, "Landing").
            let _ = file.sync_data();
        });
        // Without a thread nothing is flushed before the end.
        Self(begun.ok())
    }

    /// Whether it has ended, well or not.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }
}
