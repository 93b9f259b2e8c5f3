//! Hashing a file that differs from the index, as a job, with the same stat before and after. A large file is hashed beside
//! what else changes, so that nothing waits for it.

use super::Peer;
use super::drafts::{Drafting, LARGE};
use super::pickup::never_matching;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, Stat};
use crate::jobs::hash::{HashJob, Hashed};
use crate::jobs::{DISK_PAUSE, Progress};
use crate::store::{Fingerprint, StoreError};
use crate::watch::dirty::OPEN_PAUSE;
use crate::watch::scan::fingerprint;
use proto_core::content::{ContentId, cut};
use proto_core::index::entry::Kind;
use proto_core::index::reconcile::Found;
use proto_core::time::Instant;
use std::io;

/// Bytes hashed in one slice: about half a millisecond, so that what others ask for meanwhile does not wait.
pub(super) const HASH_SLICE: usize = 512 * 1024;

/// Which of the two files that are hashed at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// One that holds up what else changed.
    Small,
    /// A large one: while it is hashed, other changes are picked up.
    Large,
}

impl Lane {
    /// Where a recipe gathers while the content's name is not known yet.
    const fn unnamed(self) -> ContentId {
        match self {
            Self::Small => ContentId([0xff; 32]),
            Self::Large => ContentId([0xfe; 32]),
        }
    }
}

/// The files that are being hashed, by [`Lane`].
#[derive(Debug)]
pub(super) struct Hashings<F>([Option<Hashing<F>>; 2]);

impl<F> Default for Hashings<F> {
    fn default() -> Self {
        Self([None, None])
    }
}

impl<F> Hashings<F> {
    /// Whether a file of this kind is hashed.
    pub fn has(&self, lane: Lane) -> bool {
        self.get(lane).is_some()
    }

    /// Whether a file of this kind can go on: it does not wait for the disk.
    pub fn is_ready(&self, lane: Lane, now: Instant) -> bool {
        self.get(lane)
            .is_some_and(|hashing| now >= hashing.not_before)
    }

    /// When the next one that waits for the disk goes on.
    pub fn next_due(&self) -> Option<Instant> {
        let waiting = self.0.iter().flatten().map(|hashing| hashing.not_before);
        waiting.filter(|at| *at > Instant::ZERO).min()
    }

    /// Whether any is.
    pub fn any(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// Whether one of so many bytes is.
    pub fn any_of(&self, size: u64) -> bool {
        self.0
            .iter()
            .flatten()
            .any(|hashing| hashing.before.size == size)
    }

    /// Whether the file at a path is.
    pub fn is_at(&self, path: &[u8]) -> bool {
        self.0.iter().flatten().any(|hashing| hashing.path == path)
    }

    fn get(&self, lane: Lane) -> Option<&Hashing<F>> {
        self.0.get(lane as usize)?.as_ref()
    }

    fn take(&mut self, lane: Lane) -> Option<Hashing<F>> {
        self.0.get_mut(lane as usize)?.take()
    }

    fn set(&mut self, lane: Lane, hashing: Hashing<F>) {
        if let Some(place) = self.0.get_mut(lane as usize) {
            *place = Some(hashing);
        }
    }
}

/// A file that is being hashed.
#[derive(Debug)]
struct Hashing<F> {
    path: Vec<u8>,
    lane: Lane,
    before: Fingerprint,
    /// A later write may have left no other fingerprint.
    racy: bool,
    mode: u16,
    job: HashJob<F>,
    /// Nothing else was done since its path was looked at.
    at_once: bool,
    /// The first recipe block; further ones gather in the store ([`Lane::unnamed`]).
    first_block: Vec<u8>,
    blocks: u32,
    /// What others are told of it meanwhile.
    draft: Option<Drafting>,
    /// The disk is waited for until then.
    not_before: Instant,
}

impl<F> Hashing<F> {
    /// Where its recipe gathers.
    fn unnamed(&self) -> ContentId {
        let draft = self.draft.as_ref().map(|draft| draft.id);
        draft.unwrap_or_else(|| self.lane.unnamed())
    }

    /// The fingerprint that the index notes: one that the file never has, if it must be hashed again in any case,
    /// also after a crash.
    fn noted(&self) -> Fingerprint {
        if !self.racy {
            return self.before;
        }
        never_matching(self.before)
    }
}

impl<D: Disk> Peer<D> {
    /// Begins to hash what was opened at a path; `racy`: its times may not show a later write. A large file waits while
    /// another one is hashed.
    pub(super) fn begin_hash(
        &mut self,
        now: Now,
        path: &[u8],
        before: Fingerprint,
        racy: bool,
        mode: u16,
        file: D::File,
    ) -> Result<(), StoreError> {
        let lane = if before.size > LARGE {
            Lane::Large
        } else {
            Lane::Small
        };
        if self.hashings.has(lane) {
            self.dirty.park(path);
            return Ok(());
        }
        let draft = self.begin_draft(now, path, &before)?;
        let mut job = HashJob::new(file, before.size);
        job.be_patient();
        let hashing = Hashing {
            path: path.to_vec(),
            lane,
            before,
            racy,
            mode,
            job,
            at_once: true,
            not_before: Instant::ZERO,
            first_block: Vec::new(),
            blocks: 0,
            draft,
        };
        self.hashings.set(lane, hashing);
        self.hash_slice(now, lane)
    }

    /// Whether the file at this path is hashed already. If it is not any more what it was then, the hashing is left, and if there
    /// still is a file, it is looked at again later: one that changes all the time takes no other's turn.
    pub(super) fn is_being_hashed(
        &mut self,
        now: Now,
        path: &[u8],
        stat: Option<&Stat>,
    ) -> Result<bool, StoreError> {
        let Some(hashing) = self.hashings.get(Lane::Large) else {
            return Ok(false);
        };
        if hashing.path != path {
            return Ok(false);
        }
        // What a link leads to is looked at when all of it is hashed.
        let before = hashing.before;
        if before.link || stat.is_some_and(|stat| fingerprint(stat, false) == before) {
            return Ok(true);
        }
        if let Some(hashing) = self.hashings.take(Lane::Large) {
            self.leave_hashing(now, &hashing)?;
        }
        let changed = stat.is_some_and(|stat| stat.kind == FileKind::File);
        if changed {
            self.dirty.mark(now.mono, path, OPEN_PAUSE);
        }
        Ok(changed)
    }

    /// Nothing is hashed any more: what had gathered in the index is gone.
    pub(super) fn stop_hashing(&mut self, now: Now) {
        for hashing in std::mem::take(&mut self.hashings).0.into_iter().flatten() {
            self.drop_draft(now, &hashing);
        }
    }

    /// Nothing becomes of a hashing.
    fn leave_hashing(&mut self, now: Now, hashing: &Hashing<D::File>) -> Result<(), StoreError> {
        self.drop_draft(now, hashing);
        self.store.remove_recipe(hashing.unnamed())
    }

    fn drop_draft(&mut self, now: Now, hashing: &Hashing<D::File>) {
        if let Some(draft) = &hashing.draft {
            self.draft_dropped(now, draft, &hashing.path, hashing.before.size);
        }
    }

    /// Hashes a slice of it.
    pub(super) fn hash_slice(&mut self, now: Now, lane: Lane) -> Result<(), StoreError> {
        let Some(mut hashing) = self.hashings.take(lane) else {
            return Ok(());
        };
        let (unnamed, is_draft) = (hashing.unnamed(), hashing.draft.is_some());
        let store = &mut self.store;
        let (first, blocks) = (&mut hashing.first_block, &mut hashing.blocks);
        let progress = hashing.job.step(HASH_SLICE, &mut |number, block| {
            *blocks = number + 1;
            if number == 0 {
                first.clear();
                first.extend_from_slice(block);
                if !is_draft {
                    return Ok(());
                }
            }
            store
                .put_recipe_block(unnamed, number, block)
                .map_err(io::Error::other)
        });
        match progress {
            Ok(Progress::More) => {
                hashing.at_once = false;
                hashing.not_before = if hashing.job.waits() {
                    now.mono + DISK_PAUSE
                } else {
                    Instant::ZERO
                };
                if let Some(draft) = &mut hashing.draft {
                    let (path, blocks) = (&hashing.path, hashing.blocks);
                    self.draft_grew(now, draft, path, hashing.before, blocks);
                }
                self.hashings.set(lane, hashing);
                Ok(())
            }
            Ok(Progress::Done(hashed)) => self.hashed(now, &hashing, hashed),
            Err(error) => {
                self.leave_hashing(now, &hashing)?;
                self.look_failed(now, &hashing.path, &error);
                Ok(())
            }
        }
    }

    fn hashed(
        &mut self,
        now: Now,
        hashing: &Hashing<D::File>,
        hashed: Hashed,
    ) -> Result<(), StoreError> {
        let Hashed {
            content,
            size,
            chunks,
        } = hashed;
        let at = At {
            place: Place::Share,
            path: &hashing.path,
        };
        // The open file, and what is at its path.
        let as_before = |stat: &Stat| {
            stat.kind == FileKind::File && fingerprint(stat, hashing.before.link) == hashing.before
        };
        let read = hashing.job.after();
        let after = if hashing.before.link {
            self.disk.open(at, true).and_then(|file| file.stat())
        } else if hashing.at_once {
            // What comes to its path instead of it tells of itself later.
            read.ok_or_else(|| io::ErrorKind::NotFound.into())
        } else {
            self.disk.stat(at)
        };
        if after
            .as_ref()
            .is_ok_and(|stat| stat.size == hashing.before.size)
            && size != hashing.before.size
        {
            // As in /proc and /sys.
            self.leave_hashing(now, hashing)?;
            self.skipped.note(
                &hashing.path,
                format_args!("a file that has another size than it says"),
            );
            return Ok(());
        }
        let unchanged =
            after.is_ok_and(|stat| as_before(&stat)) && read.is_some_and(|stat| as_before(&stat));
        if !unchanged || size != hashing.before.size {
            // Somebody writes: when it is quiet, again.
            self.leave_hashing(now, hashing)?;
            self.dirty
                .mark_if_clean(now.mono, &hashing.path, OPEN_PAUSE);
            return Ok(());
        }
        let named = self.name_recipe(hashing, content);
        if !matches!(named, Ok(true)) {
            self.drop_draft(now, hashing);
        }
        if !named? {
            self.dirty
                .mark_if_clean(now.mono, &hashing.path, OPEN_PAUSE);
            return Ok(());
        }
        if let Some(draft) = &hashing.draft {
            self.draft_named(now, draft, &hashing.path, size, (content, chunks));
        }
        self.changes.hashed(size);
        let row = self.store.get(&hashing.path)?;
        let state = Found {
            kind: Kind::File,
            mode: hashing.mode,
            size,
            mtime: hashing.before.mtime,
            content,
        };
        self.record(
            now,
            &hashing.path,
            row.as_ref(),
            state,
            Vec::new(),
            Some(hashing.noted()),
        )?;
        self.errors.clear_unread(&hashing.path);
        Ok(())
    }

    /// The recipe that gathered gets its content's name. A file of one small chunk needs none. False if a part
    /// of it is missing.
    fn name_recipe(
        &mut self,
        hashing: &Hashing<D::File>,
        content: ContentId,
    ) -> Result<bool, StoreError> {
        if hashing.before.size > u64::from(cut::SMALLEST_CHUNK) {
            self.store
                .put_recipe_block(content, 0, &hashing.first_block)?;
            for number in 1..hashing.blocks {
                let Some(block) = self.store.recipe_block(hashing.unnamed(), number)? else {
                    return Ok(false);
                };
                self.store.put_recipe_block(content, number, &block)?;
            }
        }
        if hashing.blocks > 1 || hashing.draft.is_some() {
            self.store.remove_recipe(hashing.unnamed())?;
        }
        Ok(true)
    }
}
