//! Large files that are hashed here: others may fetch what is hashed of them meanwhile (docs/protocol.md, "Drafts").

use super::Peer;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::{Fingerprint, Row, StoreError};
use proto_core::content::{ContentId, draft};
use proto_core::index::entry::{Entry, Kind};
use proto_core::limits::{MAX_DRAFT_PATH, MAX_DRAFTS};
use proto_core::time::{Duration, Instant};
use proto_core::wire::draft::{Draft, Stage};

/// A file of more bytes (some ten milliseconds) is hashed beside what else changes, and may be told of meanwhile.
pub(super) const LARGE: u64 = 16 * 1024 * 1024;
/// One that is hashed in this time is told of when it has its name.
const WORTH: Duration = Duration::from_millis(25);
/// One that changed while it was hashed is not told of for so long: it may change again, and all of it travel in vain.
const CHANGES: Duration = Duration::from_secs(60);

/// What others are told of a file while it is hashed.
#[derive(Debug)]
pub(super) struct Drafting {
    number: u64,
    /// By what it is asked for until it has its name.
    pub id: ContentId,
    began: Instant,
    /// Recipe blocks that were told of.
    told: u32,
}

/// A file that was told of.
#[derive(Debug)]
struct Told {
    id: ContentId,
    path: Vec<u8>,
    fingerprint: Fingerprint,
    /// What it is, once it is hashed.
    content: Option<ContentId>,
}

/// The files that were told of last, and what keeps others from being told of.
#[derive(Debug, Default)]
pub struct Drafts {
    told: Vec<Told>,
    sizes: Sizes,
    /// The path of the last one of which nothing became, and when that was.
    dropped: Option<(Vec<u8>, Instant)>,
}

impl Drafts {
    /// Under which id what an id names is here now: a draft that has its name is that content.
    #[must_use]
    pub fn resolve(&self, id: ContentId) -> ContentId {
        let told = self.told.iter().find(|told| told.id == id);
        told.and_then(|told| told.content).unwrap_or(id)
    }

    /// The file of a draft that is still hashed, and how it must be.
    pub(super) fn file_of(&self, id: ContentId) -> Option<(&[u8], Fingerprint)> {
        let told = self.told.iter().find(|told| told.id == id)?;
        told.content
            .is_none()
            .then_some((&told.path, told.fingerprint))
    }

    /// The index has this file.
    pub(super) fn note(&mut self, entry: &Entry) {
        if entry.kind == Kind::File && entry.size > LARGE {
            self.sizes.note(entry.size);
        }
    }

    /// Whether nothing became of the last one at this path, just before.
    fn changes(&self, now: Now, path: &[u8]) -> bool {
        let dropped = self.dropped.as_ref().filter(|(dropped, _)| dropped == path);
        dropped.is_some_and(|(_, at)| now.mono.saturating_since(*at) < CHANGES)
    }

    /// Whether the index may have a large file of this size: perhaps the same.
    pub(super) fn may_have(&self, size: u64) -> bool {
        self.sizes.may_have(size)
    }
}

/// Sizes that large files of the index have or had, and a few others that look like them: a tenth while 6,500 are.
#[derive(Debug)]
struct Sizes(Box<[u64; Self::WORDS]>);

impl Sizes {
    const WORDS: usize = 1024;

    fn place(size: u64) -> (usize, u64) {
        let hash = crc32fast::hash(&size.to_be_bytes());
        ((hash >> 6) as usize % Self::WORDS, 1 << (hash % 64))
    }

    fn note(&mut self, size: u64) {
        let (place, bit) = Self::place(size);
        if let Some(word) = self.0.get_mut(place) {
            *word |= bit;
        }
    }

    fn may_have(&self, size: u64) -> bool {
        let (place, bit) = Self::place(size);
        self.0.get(place).is_some_and(|word| word & bit != 0)
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Self(Box::new([0; Self::WORDS]))
    }
}

impl<D: Disk> Peer<D> {
    /// What a file that begins to be hashed may be told of as; `None` if others are likely to have much of it already, or
    /// none can be asked.
    pub(super) fn begin_draft(
        &self,
        now: Now,
        path: &[u8],
        before: &Fingerprint,
    ) -> Result<Option<Drafting>, StoreError> {
        if before.size <= LARGE
            || before.link
            || path.len() > MAX_DRAFT_PATH
            || !self.is_scanned()
            || self.drafts.may_have(before.size)
            || self.drafts.changes(now, path)
            || self.has_file_at(path)?
        {
            return Ok(None);
        }
        let (sec, nsec) = (now.wall.sec, i64::from(now.wall.nsec));
        // Only has to be another one each time.
        let number = sec.wrapping_mul(1_000_000_000).wrapping_add(nsec) as u64;
        Ok(Some(Drafting {
            number,
            id: draft::id(self.store.index_id(), number),
            began: now.mono,
            told: 0,
        }))
    }

    /// Whether something that is not deleted is, or is to be, at a path.
    pub(super) fn has_file_at(&self, path: &[u8]) -> Result<bool, StoreError> {
        let live = |row: Row| row.entry.kind != Kind::Tombstone;
        Ok(self.store.get(path)?.is_some_and(live) || self.store.pending(path)?.is_some())
    }

    /// So many recipe blocks of it are complete.
    pub(super) fn draft_grew(
        &mut self,
        now: Now,
        drafting: &mut Drafting,
        path: &[u8],
        fingerprint: Fingerprint,
        blocks: u32,
    ) {
        let worth = now.mono.saturating_since(drafting.began) >= WORTH;
        if blocks == drafting.told || !worth {
            return;
        }
        if drafting.told == 0 {
            if self.drafts.told.len() >= MAX_DRAFTS {
                self.drafts.told.remove(0);
            }
            self.drafts.told.push(Told {
                id: drafting.id,
                path: path.to_vec(),
                fingerprint,
                content: None,
            });
        }
        drafting.told = blocks;
        let chunks = blocks.saturating_mul(proto_core::limits::RECIPE_BLOCK_CHUNKS as u32);
        self.tell(
            now,
            drafting,
            path,
            fingerprint.size,
            Stage::Growing(chunks),
        );
    }

    /// All of it is hashed.
    pub(super) fn draft_named(
        &mut self,
        now: Now,
        drafting: &Drafting,
        path: &[u8],
        size: u64,
        (content, chunks): (ContentId, u32),
    ) {
        let mut told = self.drafts.told.iter_mut();
        if let Some(told) = told.find(|told| told.id == drafting.id) {
            told.content = Some(content);
            self.tell(now, drafting, path, size, Stage::Named { chunks, content });
        }
    }

    /// Nothing becomes of it.
    pub(super) fn draft_dropped(&mut self, now: Now, drafting: &Drafting, path: &[u8], size: u64) {
        if drafting.told > 0 {
            self.drafts.told.retain(|told| told.id != drafting.id);
            self.drafts.dropped = Some((path.to_vec(), now.mono));
            self.tell(now, drafting, path, size, Stage::Dropped);
        }
    }

    fn tell(&mut self, now: Now, drafting: &Drafting, path: &[u8], size: u64, stage: Stage) {
        let draft = Draft {
            number: drafting.number,
            stage,
            size,
            path,
        };
        self.engine.tell_draft(now.mono, &draft);
    }
}
