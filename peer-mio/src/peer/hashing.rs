//! Hashing a file that differs from the index, as a job, with the same stat before and after.

use super::Peer;
use super::pickup::never_matching;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place};
use crate::jobs::Progress;
use crate::jobs::hash::{HashJob, Hashed};
use crate::store::{Fingerprint, StoreError};
use crate::watch::dirty::OPEN_PAUSE;
use crate::watch::scan::fingerprint;
use proto_core::content::{ContentId, cut};
use proto_core::index::entry::Kind;
use proto_core::index::reconcile::Found;
use std::io;

/// Where a recipe gathers while the content's name is not known yet.
const UNNAMED: ContentId = ContentId([0xff; 32]);
/// Bytes hashed in one slice: about half a millisecond, so that what others ask for meanwhile does not wait.
const HASH_SLICE: usize = 512 * 1024;
/// The file that is being hashed.
#[derive(Debug)]
pub struct Hashing<F> {
    path: Vec<u8>,
    before: Fingerprint,
    /// A later write may have left no other fingerprint.
    racy: bool,
    mode: u16,
    job: HashJob<F>,
    /// The first recipe block; further ones gather in the store under [`UNNAMED`].
    first_block: Vec<u8>,
    blocks: u32,
}

impl<F> Hashing<F> {
    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
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
    /// Begins to hash what was opened at a path; `racy`: its times may not show a later write.
    pub(super) fn begin_hash(
        &mut self,
        path: &[u8],
        before: Fingerprint,
        racy: bool,
        mode: u16,
        file: D::File,
    ) {
        self.hashing = Some(Hashing {
            path: path.to_vec(),
            before,
            racy,
            mode,
            job: HashJob::new(file, before.size),
            first_block: Vec::new(),
            blocks: 0,
        });
    }

    /// Hashes a slice of it.
    pub(super) fn hash_slice(&mut self, now: Now) -> Result<(), StoreError> {
        let Some(mut hashing) = self.hashing.take() else {
            return Ok(());
        };
        let store = &mut self.store;
        let (first, blocks) = (&mut hashing.first_block, &mut hashing.blocks);
        let progress = hashing.job.step(HASH_SLICE, &mut |number, block| {
            *blocks = number + 1;
            if number == 0 {
                first.clear();
                first.extend_from_slice(block);
                return Ok(());
            }
            store
                .put_recipe_block(UNNAMED, number, block)
                .map_err(io::Error::other)
        });
        match progress {
            Ok(Progress::More) => {
                self.hashing = Some(hashing);
                Ok(())
            }
            Ok(Progress::Done(hashed)) => self.hashed(now, &hashing, hashed),
            Err(error) => {
                self.store.remove_recipe(UNNAMED)?;
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
        let Hashed { content, size, .. } = hashed;
        let at = At {
            place: Place::Share,
            path: &hashing.path,
        };
        let after = if hashing.before.link {
            self.disk.open(at, true).and_then(|file| file.stat())
        } else {
            self.disk.stat(at)
        };
        if after
            .as_ref()
            .is_ok_and(|stat| stat.size == hashing.before.size)
            && size != hashing.before.size
        {
            // As in /proc and /sys.
            self.store.remove_recipe(UNNAMED)?;
            self.skipped.note(
                &hashing.path,
                format_args!("a file that has another size than it says"),
            );
            return Ok(());
        }
        let unchanged = after.is_ok_and(|stat| {
            stat.kind == FileKind::File && fingerprint(&stat, hashing.before.link) == hashing.before
        });
        if !unchanged || size != hashing.before.size {
            // Somebody writes: when it is quiet, again.
            self.store.remove_recipe(UNNAMED)?;
            self.dirty
                .mark_if_clean(now.mono, &hashing.path, OPEN_PAUSE);
            return Ok(());
        }
        if !self.name_recipe(hashing, content)? {
            self.dirty
                .mark_if_clean(now.mono, &hashing.path, OPEN_PAUSE);
            return Ok(());
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
                let Some(block) = self.store.recipe_block(UNNAMED, number)? else {
                    return Ok(false);
                };
                self.store.put_recipe_block(content, number, &block)?;
            }
        }
        if hashing.blocks > 1 {
            self.store.remove_recipe(UNNAMED)?;
        }
        Ok(true)
    }
}
