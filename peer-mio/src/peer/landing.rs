//! Complete contents that wait to be landed together (docs/architecture.md, "Landing").

use super::flushing::{Flushes, LOOK};
use super::ready::{KeptTimes, Ready};
use super::touched::Touched;
use super::transfer::Transfer;
use crate::clock::Now;
use proto_core::content::ContentId;
use proto_core::time::{Duration, Instant};

/// Up to so many files are flushed one by one, more by one flush of the file system.
pub(super) const FLUSH_EACH: usize = 2;
/// A file of more bytes is flushed by itself and beside the loop, so that no flush of all takes long.
const LARGE: u64 = 1024 * 1024;
/// A group waits at most this long for more files.
const GROUP_PAUSE: Duration = Duration::from_millis(20);

/// How many files share the flushes of a landing; with none of them does a power cut leave half a file that counts as whole
/// (docs/architecture.md, section 12).
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
    /// Those that are being landed.
    pub(super) group: Option<Group<F>>,
    /// The first of those that are ready are being flushed, beside the loop.
    pub(super) syncing: Option<Syncing>,
    /// What of this and of earlier groups is not committed yet.
    pub(super) uncommitted: Uncommitted,
    /// Large ones that are flushed beside the loop before they are ready.
    pub(super) flushing: Flushes<F>,
    /// How many of them have their mode and time.
    pub(super) prepared: usize,
    pub(super) kept_times: KeptTimes,
    /// What may be here: hundreds wait, and each file that comes asks for its path and its content.
    filter: Filter,
    since: Instant,
    /// When something landed last.
    pub(super) landed_at: Instant,
}

/// Contents that are landed in slices: hundreds of them take longer than a turn of the loop may.
#[derive(Debug)]
pub(super) struct Group<F> {
    /// Those that are not landed yet.
    pub rest: std::vec::IntoIter<Ready<F>>,
    /// The way to where they land.
    pub touched: Touched,
    /// How many have landed.
    pub landed: usize,
}

/// A flush of all (syncfs) beside the loop.
#[derive(Debug)]
pub(super) struct Syncing {
    /// Files that may land after it.
    files: usize,
    look_at: Instant,
}

/// What has landed since the last commit.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    /// What has to be flushed before the next one.
    pub touched: Touched,
    /// What is being flushed beside the loop, with the contents of the next group.
    pub syncing: Touched,
    /// Path, bytes, bytes that were fetched and the time since the begin of each file.
    pub files: Vec<(Vec<u8>, u64, u64, Duration)>,
}

/// Paths and contents that were noted, and a few others that look like them: 12 % while 512 of each are.
#[derive(Debug)]
struct Filter {
    paths: [u64; 64],
    contents: [u64; 64],
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            paths: [0; 64],
            contents: [0; 64],
        }
    }
}

impl Filter {
    fn note(&mut self, path: &[u8], content: ContentId) {
        for (bits, hash) in [
            (&mut self.paths, hash_of(path)),
            (&mut self.contents, hash_of(&content.0)),
        ] {
            let (place, bit) = place_of(hash);
            if let Some(bits) = bits.get_mut(place) {
                *bits |= bit;
            }
        }
    }

    fn may_have_path(&self, path: &[u8]) -> bool {
        has_bit(&self.paths, hash_of(path))
    }

    fn may_have_content(&self, content: ContentId) -> bool {
        has_bit(&self.contents, hash_of(&content.0))
    }
}

fn hash_of(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

fn place_of(hash: u32) -> (usize, u64) {
    ((hash >> 6) as usize % 64, 1 << (hash % 64))
}

fn has_bit(bits: &[u64; 64], hash: u32) -> bool {
    let (place, bit) = place_of(hash);
    bits.get(place).is_some_and(|bits| bits & bit != 0)
}

impl<F> Default for Landing<F> {
    fn default() -> Self {
        Self {
            ready: Vec::new(),
            group: None,
            syncing: None,
            uncommitted: Uncommitted::default(),
            flushing: Flushes::default(),
            prepared: 0,
            kept_times: KeptTimes::default(),
            filter: Filter::default(),
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
            made_with: None,
            readied: None,
            flushed: false,
            alone: false,
        };
        if flushing && size > LARGE {
            self.filter.note(&ready.path, ready.content);
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
        self.filter.note(&ready.path, ready.content);
        self.ready.push(ready);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Ready<F>> {
        let group = self.group.as_ref().map(|group| group.rest.as_slice());
        let group = group.unwrap_or_default();
        self.ready.iter().chain(group).chain(self.flushing.files())
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

    /// All that wait, and the names of what has landed, are being flushed.
    pub(super) fn begin_sync(&mut self, now: Now) {
        let Uncommitted {
            touched, syncing, ..
        } = &mut self.uncommitted;
        syncing.take_names(touched);
        self.syncing = Some(Syncing {
            files: self.ready.len(),
            look_at: now.mono + LOOK,
        });
    }

    /// It goes on.
    pub(super) fn look_again(&mut self, now: Now) {
        if let Some(syncing) = &mut self.syncing {
            syncing.look_at = now.mono + LOOK;
        }
    }

    /// It has ended: how many files may land.
    pub(super) fn end_sync(&mut self) -> Option<usize> {
        self.syncing.take().map(|syncing| syncing.files)
    }

    /// Those that wait are landed from now on; the first `most` of them.
    pub(super) fn begin_group(&mut self, now: Now, most: usize) {
        let rest = self.ready.split_off(most.min(self.ready.len()));
        let group = std::mem::replace(&mut self.ready, rest);
        self.prepared = self.prepared.saturating_sub(group.len());
        self.landed_at = now.mono;
        self.group = Some(Group {
            rest: group.into_iter(),
            touched: Touched::default(),
            landed: 0,
        });
        let mut filter = Filter::default();
        for ready in self.all() {
            filter.note(&ready.path, ready.content);
        }
        self.filter = filter;
    }

    /// Files that the group's flush is for; more than [`FLUSH_EACH`] are not counted.
    pub(super) fn unflushed(&self) -> usize {
        let unflushed = self.ready.iter().filter(|ready| !ready.flushed);
        unflushed.take(FLUSH_EACH + 1).count()
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
            made_with: None,
            readied: None,
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
        let mut all = self.all();
        let ready = self.filter.may_have_content(content);
        let ready = ready.then(|| all.find(|ready| ready.content == content));
        ready.flatten().map(|ready| &ready.file)
    }

    /// Whether this content waits here.
    #[must_use]
    pub fn has(&self, content: ContentId) -> bool {
        self.filter.may_have_content(content) && self.all().any(|ready| ready.content == content)
    }

    /// Whether a content for this path waits here.
    #[must_use]
    pub fn has_path(&self, path: &[u8]) -> bool {
        self.filter.may_have_path(path) && self.all().any(|ready| ready.path == path)
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
        let group = match &self.syncing {
            Some(syncing) => Some(syncing.look_at),
            None => (!self.ready.is_empty()).then(|| self.group_due()),
        };
        group.into_iter().chain(self.flushing.due()).min()
    }
}
