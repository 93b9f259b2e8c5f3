//! A complete content that waits to land, and the mode and time that it gets for it.

use crate::disk::{DiskFile, FileKind, Stat};
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, Timestamp};
use proto_core::time::Instant;
use std::io;

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
    /// The mode that it was made with, from which bits may be missing.
    pub made_with: Option<u16>,
    /// Mode and time that it is known to have.
    pub readied: Option<(u16, Timestamp)>,
    /// Its bytes are on the disk, and it has its mode and time.
    pub flushed: bool,
    /// It was flushed by itself, as there were few.
    pub alone: bool,
}

/// What files that were made lately in `download/` turned out to keep: what one file has kept need not be asked of the next one.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Bits of modes: neither the umask nor a default ACL takes them away.
    mode: u16,
    /// Times of modification as they are, to the nanosecond.
    times: bool,
}

impl Kept {
    fn has(&self, entry: &Entry) -> bool {
        // What every file system with such times can hold.
        let in_range = (0..=i64::from(i32::MAX)).contains(&entry.mtime.sec);
        self.times && in_range && entry.mode & !self.mode == 0
    }

    fn note(&mut self, entry: &Entry) {
        self.mode |= entry.mode;
        self.times |= !entry.mtime.nsec.is_multiple_of(10);
    }
}

impl<F: DiskFile> Ready<F> {
    /// What it is to have at its path.
    pub fn set_attributes(&self, entry: &Entry) -> io::Result<()> {
        self.file.set_mode(entry.mode)?;
        self.file.set_mtime(entry.mtime)
    }

    /// The same, but the mode is not set if it was made with it and has kept it.
    pub fn complete_attributes(&mut self, entry: &Entry, kept: &mut Kept) -> io::Result<()> {
        self.readied = None;
        if self.made_with.take() != Some(entry.mode) {
            return self.set_attributes(entry);
        }
        self.file.set_mtime(entry.mtime)?;
        if !kept.has(entry) {
            let stat = self.file.stat()?;
            if stat.mode != entry.mode {
                return self.file.set_mode(entry.mode);
            }
            if stat.mtime != entry.mtime {
                return Ok(());
            }
            kept.note(entry);
        }
        self.readied = Some((entry.mode, entry.mtime));
        Ok(())
    }

    /// Whether it is known to have what an entry says.
    pub fn is_readied(&self, entry: &Entry) -> bool {
        self.readied == Some((entry.mode, entry.mtime))
    }

    /// Whether what has landed is still as it was readied.
    pub fn is_untouched(&self, now: &Stat) -> bool {
        now.kind == FileKind::File
            && now.size == self.size
            && self.readied == Some((now.mode, now.mtime))
    }
}
