//! Complete contents that wait to be landed together (docs/architecture.md, "Landing").

use super::flushing::Flushes;
use super::transfer::Transfer;
use crate::clock::Now;
use crate::disk::DiskFile;
use proto_core::content::ContentId;
use proto_core::index::entry::Entry;
use proto_core::time::{Duration, Instant};
use std::io;

/// Up to so many files are flushed one by one, more by one flush of the file system.
pub(super) const FLUSH_EACH: usize = 2;
/// A file of more bytes is flushed by itself and beside the loop, so that no flush of all takes long.
const LARGE: u64 = 1024 * 1024;
/// A group waits at most this long for more files.
const GROUP_PAUSE: Duration = Duration::from_millis(20);

/// How many files share the flushes of a landing; with none a power cut leaves half a file that counts as whole (docs/architecture.md,
/// section 12).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flushing {
    /// Each file has its own.
    Each,
    /// Those that are complete at about the same time.
    #[default]
    Group,
    /// None has: the kernel writes them when it likes.
    Never,
}

/// Many files, or large ones, do not land again before this while others are fetched: each landing waits for a disk
/// that is busy with what comes.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Complete contents that wait to be landed together.
#[derive(Debug)]
pub struct Landing<F> {
    pub(super) ready: Vec<Ready<F>>,
    /// Large ones that are flushed beside the loop before they are ready.
    pub(super) flushing: Flushes<F>,
    /// How many of them have their mode and time.
    pub(super) prepared: usize,
    since: Instant,
    /// When something landed last.
    pub(super) landed_at: Instant,
}

/// A complete content.
#[derive(Debug)]
pub(super) struct Ready<F> {
    pub path: Vec<u8>,
    /// Its name in `download/`.
    pub name: Vec<u8>,
    /// What.
    pub content: ContentId,
    pub size: u64,
    pub fetched: u64,
    pub started: Instant,
    /// The file itself.
    pub file: F,
    /// Its bytes are on the disk, and it has its mode and time.
    pub flushed: bool,
    /// It was flushed by itself, as there were few.
    pub alone: bool,
}

impl<F: DiskFile> Ready<F> {
    /// What it is to have at its path.
    pub fn set_attributes(&self, entry: &Entry) -> io::Result<()> {
        self.file.set_mode(entry.mode)?;
        self.file.set_mtime(entry.mtime)
    }
}

impl<F> Default for Landing<F> {
    fn default() -> Self {
        Self {
            ready: Vec::new(),
            flushing: Flushes::default(),
            prepared: 0,
            since: Instant::ZERO,
            landed_at: Instant::ZERO,
        }
    }
}

impl<F> Landing<F> {
    /// Adds a complete content; `flushing`: whether its bytes have to reach the disk first.
    pub fn add(&mut self, now: Now, transfer: Transfer<F>, flushing: bool) {
        let (path, name, content, size) = (
            transfer.path.clone(),
            transfer.name.clone(),
            transfer.content,
            transfer.size,
        );
        let (fetched, started) = (transfer.fetched, transfer.started);
        let ready = Ready {
            path,
            name,
            content,
            size,
            fetched,
            started,
            file: transfer.into_file(),
            flushed: false,
            alone: false,
        };
        if flushing && size > LARGE {
            self.flushing.add(ready);
        } else {
            self.add_ready(now, ready);
        }
    }

    /// Adds what may be landed with the next group.
    pub(super) fn add_ready(&mut self, now: Now, ready: Ready<F>) {
        if self.ready.is_empty() {
            self.since = now.mono;
        }
        self.ready.push(ready);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Ready<F>> {
        self.ready.iter().chain(self.flushing.files())
    }

    /// When the group is landed even if more may come.
    pub(super) fn group_due(&self) -> Instant {
        let soon = self.since + GROUP_PAUSE;
        match self.unflushed() {
            // One that a user has just saved is not kept waiting by what else comes.
            1..=FLUSH_EACH => soon,
            _ => soon.max(self.landed_at + BUSY_PAUSE),
        }
    }

    /// Files that the group's flush is for.
    pub(super) fn unflushed(&self) -> usize {
        self.ready.iter().filter(|ready| !ready.flushed).count()
    }

    /// Whether some are not on the disk yet.
    pub(super) fn needs_flush(&self) -> bool {
        let mut ready = self.ready.iter();
        ready.any(|ready| !ready.flushed && !ready.alone)
    }

    /// Adds a content that came with the announcement of its path.
    pub(super) fn add_told(
        &mut self,
        now: Now,
        path: &[u8],
        name: Vec<u8>,
        content: ContentId,
        size: u64,
        file: F,
    ) {
        let ready = Ready {
            path: path.to_vec(),
            name,
            content,
            size,
            fetched: size,
            started: now.mono,
            file,
            flushed: false,
            alone: false,
        };
        self.add_ready(now, ready);
    }

    /// Adds a file that came in a bundle.
    pub fn add_unpacked(
        &mut self,
        now: Now,
        path: Vec<u8>,
        name: Vec<u8>,
        (content, size): (ContentId, u64),
        started: Instant,
        file: F,
    ) {
        let ready = Ready {
            path,
            name,
            content,
            size,
            fetched: size,
            started,
            file,
            flushed: false,
            alone: false,
        };
        self.add_ready(now, ready);
    }

    /// Whether the partial file of this name waits here.
    #[must_use]
    pub fn has_name(&self, name: &[u8]) -> bool {
        self.all().any(|ready| ready.name == name)
    }

    /// The file of a content that waits here.
    #[must_use]
    pub fn file_of(&self, content: ContentId) -> Option<&F> {
        let ready = self.all().find(|ready| ready.content == content);
        ready.map(|ready| &ready.file)
    }

    /// Whether this content waits here.
    #[must_use]
    pub fn has(&self, content: ContentId) -> bool {
        self.all().any(|ready| ready.content == content)
    }

    /// Whether a content for this path waits here.
    #[must_use]
    pub fn has_path(&self, path: &[u8]) -> bool {
        self.all().any(|ready| ready.path == path)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all().count()
    }

    /// When the group is landed even if it is small.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let group = (!self.ready.is_empty()).then(|| self.group_due());
        group.into_iter().chain(self.flushing.due()).min()
    }
}
