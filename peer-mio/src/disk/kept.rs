//! Directories of `share/` that are kept open for one turn of the loop: most of a turn's operations are done to names of
//! one directory, and opening it anew for each costs as much as the operation.
//!
//! If a directory is moved away meanwhile, what is done to its names until the end of the turn is done as if it had been
//! done just before that. What we rename ourselves ends it at once.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many: that of what comes, of what lands and of what is looked at.
const KEPT: usize = 4;

/// The directories of a turn, `None` between turns.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Option<Ring>>);

/// A path and the directory there.
type Open = (Box<[u8]>, Arc<OwnedFd>);

#[derive(Debug, Default)]
struct Ring {
    directories: [Option<Open>; KEPT],
    /// The place that is taken next.
    next: usize,
}

impl Kept {
    /// A turn begins: nothing is open yet.
    pub fn begin(&self) {
        *self.lock() = Some(Ring::default());
    }

    /// It ends: nothing is kept.
    pub fn end(&self) {
        *self.lock() = None;
    }

    /// Forgets what is open: paths may mean something else now.
    pub fn forget(&self) {
        if let Some(ring) = self.lock().as_mut() {
            *ring = Ring::default();
        }
    }

    /// The directory at a path, if it was opened in this turn.
    pub fn find(&self, path: &[u8]) -> Option<Arc<OwnedFd>> {
        let kept = self.lock();
        let mut open = kept.as_ref()?.directories.iter().flatten();
        open.find(|(of, _)| **of == *path)
            .map(|(_, fd)| Arc::clone(fd))
    }

    /// Keeps a directory that was opened, if this is within a turn.
    pub fn keep(&self, path: &[u8], fd: OwnedFd) -> Arc<OwnedFd> {
        let fd = Arc::new(fd);
        if let Some(ring) = self.lock().as_mut() {
            if let Some(place) = ring.directories.get_mut(ring.next) {
                *place = Some((path.into(), Arc::clone(&fd)));
            }
            ring.next = (ring.next + 1) % KEPT;
        }
        fd
    }

    fn lock(&self) -> MutexGuard<'_, Option<Ring>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
