//! Complete contents land in groups: one flush, one commit for many (docs/architecture.md, "Landing").

use super::Peer;
use super::flushing::Flushes;
use super::touched::Touched;
use super::transfer::Transfer;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place, Stat};
use crate::store::Durability;
use proto_core::content::ContentId;
use proto_core::index::entry::Entry;
use proto_core::path::Escaped;
use proto_core::time::{Duration, Instant};
use std::io;

/// Files that get mode and time in one slice.
const PREPARED: usize = 64;
/// Up to so many files are flushed one by one, more by one flush of the file system.
const FLUSH_EACH: usize = 2;
/// A file of more bytes is flushed by itself and beside the loop, so that no flush of all takes long.
const LARGE: u64 = 1024 * 1024;
/// Mode of what is not landed.
pub(super) const PRIVATE: u16 = 0o600;
/// A group waits at most this long for more files.
const GROUP_PAUSE: Duration = Duration::from_millis(20);

/// How many files share the flushes of a landing; of neither a power cut leaves half a file (docs/architecture.md,
/// section 12).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flushing {
    /// Each file has its own.
    Each,
    /// Those that are complete at about the same time.
    #[default]
    Group,
}

/// Many files, or large ones, do not land again before this while others are fetched: each landing waits for a disk
/// that is busy with what comes.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Complete contents that wait to be landed together.
#[derive(Debug)]
pub struct Landing<F> {
    ready: Vec<Ready<F>>,
    /// Large ones that are flushed beside the loop before they are ready.
    pub(super) flushing: Flushes<F>,
    /// How many of them have their mode and time.
    prepared: usize,
    since: Instant,
    /// When something landed last.
    landed_at: Instant,
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
    fetched: u64,
    started: Instant,
    /// The file itself.
    pub file: F,
    /// Its bytes are on the disk, and it has its mode and time.
    pub flushed: bool,
    /// It was flushed by itself, as there were few.
    alone: bool,
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
    /// Adds a complete content.
    pub fn add(&mut self, now: Now, transfer: Transfer<F>) {
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
        if size > LARGE {
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

    fn all(&self) -> impl Iterator<Item = &Ready<F>> {
        self.ready.iter().chain(self.flushing.files())
    }

    /// When the group is landed even if more may come.
    fn group_due(&self) -> Instant {
        let soon = self.since + GROUP_PAUSE;
        match self.unflushed() {
            // One that a user has just saved is not kept waiting by what else comes.
            1..=FLUSH_EACH => soon,
            _ => soon.max(self.landed_at + BUSY_PAUSE),
        }
    }

    /// Files that the group's flush is for.
    fn unflushed(&self) -> usize {
        self.ready.iter().filter(|ready| !ready.flushed).count()
    }

    /// Whether some are not on the disk yet.
    fn needs_flush(&self) -> bool {
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

impl<D: Disk> Peer<D> {
    /// Prepares waiting files or lands the group. True if there is more to do now.
    pub(super) fn step_landing(&mut self, now: Now) -> bool {
        self.step_flushes(now);
        for _ in 0..PREPARED {
            if self.landing.prepared == self.landing.ready.len() {
                break;
            }
            if self.prepare_next() {
                // It was flushed, which may have taken its time.
                return true;
            }
        }
        if self.landing.prepared < self.landing.ready.len() {
            return true;
        }
        if self.landing.ready.is_empty() {
            return false;
        }
        let each = self.config.flushing == Flushing::Each;
        let last = self.transfers.is_empty() && self.bundles.is_empty();
        let waits =
            !each && !last && !self.is_landing_full() && now.mono < self.landing.group_due();
        if waits {
            return false;
        }
        if let Err(error) = self.disk.check_share() {
            self.errors
                .set("share", format!("share/ cannot be used: {error}"));
            self.leave_all();
            return true;
        }
        // Not by their number: it may have become less since they were readied.
        if !each
            && self.landing.needs_flush()
            && let Err(error) = self.disk.sync_all()
        {
            self.errors
                .set("flush", format!("the disk cannot be flushed: {error}"));
            self.leave_all();
            return true;
        }
        self.land_group(now);
        true
    }

    /// Sets mode and time of the next file, and flushes it if there are few: a group of small ones is
    /// flushed at once. True if it was.
    fn prepare_next(&mut self) -> bool {
        let place = self.landing.prepared;
        let Some(ready) = self.landing.ready.get(place) else {
            return false;
        };
        if ready.flushed {
            self.landing.prepared += 1;
            return false;
        }
        let entry = match self.store.pending(&ready.path) {
            Ok(pending) => pending.map(|pending| pending.entry),
            Err(error) => {
                self.store_failed(&error);
                return true;
            }
        };
        let alone =
            self.config.flushing == Flushing::Each || self.landing.unflushed() <= FLUSH_EACH;
        // One that is not pending now is not flushed by itself; perhaps it is pending again when the group lands.
        let flushed = alone && entry.is_some();
        let prepared = entry.map_or(Ok(()), |entry| {
            ready.set_attributes(&entry)?;
            if alone {
                ready.file.sync_data()
            } else {
                Ok(())
            }
        });
        if let Err(error) = prepared {
            let ready = self.landing.ready.remove(place);
            self.leave(&ready);
            let sentence = format!("{} cannot be flushed: {error}", Escaped(&ready.path));
            self.errors.set_path(&ready.path, sentence);
            self.plan.retry_later();
        } else {
            if let Some(ready) = self.landing.ready.get_mut(place) {
                ready.alone = flushed;
            }
            self.landing.prepared += 1;
        }
        alone
    }

    /// What did not land stays in `download/`, with a mode that lets us open it again.
    pub(super) fn leave(&self, ready: &Ready<D::File>) {
        let at = At {
            place: Place::Download,
            path: &ready.name,
        };
        let inode = |stat: io::Result<Stat>| stat.map(|stat| stat.inode).ok();
        if inode(self.disk.stat(at)).is_some_and(|there| inode(ready.file.stat()) == Some(there)) {
            // If it fails, the next start tries again.
            let _ = ready.file.set_mode(PRIVATE);
        }
    }

    fn leave_all(&mut self) {
        let landing = std::mem::take(&mut self.landing);
        for ready in landing.all() {
            self.leave(ready);
        }
        self.plan.retry_later();
    }

    fn land_group(&mut self, now: Now) {
        let mut group = std::mem::take(&mut self.landing.ready);
        let prepared = std::mem::take(&mut self.landing.prepared);
        self.landing.landed_at = now.mono;
        if self.config.flushing == Flushing::Each && group.len() > 1 {
            // The others follow, each by itself.
            self.landing.ready = group.split_off(1);
            self.landing.prepared = prepared.saturating_sub(1);
        }
        let mut touched = Touched::default();
        let mut landed = Vec::new();
        for ready in group {
            let result = self.land_path(now, &ready.path, Some(&ready), &mut touched);
            if matches!(result, Ok(true)) {
                landed.push((
                    ready.path.clone(),
                    ready.size,
                    ready.fetched,
                    now.mono.saturating_since(ready.started),
                ));
            } else {
                self.leave(&ready);
            }
            self.landed(now, &ready.path, result.map(|_| ()));
        }
        self.plan.content_landed();
        if self.finish_landing(&touched) {
            for (path, size, fetched, time) in landed {
                self.report.landed(&path, size, fetched, time);
            }
        }
    }

    /// Flushes the directories, then commits: only now the index says that the files are there.
    pub(super) fn finish_landing(&mut self, touched: &Touched) -> bool {
        let flushed = touched.sync(&self.disk);
        self.close_way(touched);
        if let Err(error) = flushed {
            // A name that a power cut may lose must not be in the index: that would be a deletion.
            self.errors
                .set("flush", format!("a directory cannot be flushed: {error}"));
            self.take_changes_back();
            self.plan.retry_later();
            return false;
        }
        self.errors.clear("flush");
        self.commit_changes(Durability::Durable)
    }
}
