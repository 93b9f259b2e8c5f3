//! Chunks that other files here hold already are copied before any is asked for (docs/architecture.md, "Deltas").

use super::begin::MAX_COPIES;
use super::recipe::chunk_of;
use super::verify::{is_set, set_bit};
use super::{SLICE, State, StepError, download};
use crate::disk::{At, Disk, Place};
use crate::jobs::Progress;
use crate::jobs::delta::{Chunks, DeltaJob, Source};
use crate::peer::Peer;
use crate::store::StoreError;
use proto_core::content::{ContentId, cut};
use proto_core::index::entry::Kind;
use proto_core::path::Escaped;
use std::io;

/// The chunks of a transfer.
struct Verified<'a> {
    bits: &'a mut Vec<u64>,
    here: &'a mut u64,
}

impl Chunks for Verified<'_> {
    fn is_here(&self, place: u32) -> bool {
        is_set(self.bits, place)
    }

    fn came(&mut self, place: u32, len: u32) {
        if !is_set(self.bits, place) {
            set_bit(self.bits, place);
            *self.here += u64::from(len);
        }
    }
}

impl<D: Disk> Peer<D> {
    /// One slice. True if there is more to do now.
    pub(super) fn step_delta(&mut self, place: usize) -> Result<bool, StepError> {
        if self.begin_delta(place)? {
            // Another one is being copied.
            return Ok(false);
        }
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(false);
        };
        let State::Delta(Some(job)) = &mut transfer.state else {
            return Ok(true);
        };
        let (store, content, at_hand) = (&self.store, transfer.content, &mut transfer.block);
        let mut other = None;
        let mut chunks = Verified {
            bits: &mut transfer.verified,
            here: &mut transfer.here,
        };
        let before = *chunks.here;
        let progress = job.step(
            SLICE,
            &mut |named, chunk| {
                let at_hand = if named == content {
                    &mut *at_hand
                } else {
                    &mut other
                };
                chunk_of(store, named, at_hand, chunk).map_err(io::Error::other)
            },
            &mut chunks,
        )?;
        transfer.copied += transfer.here - before;
        // What was copied is being written out already.
        transfer.written = transfer.here;
        if matches!(progress, Progress::Done(())) {
            log::info!(
                "{}: {} of {} bytes are copied from files that are here",
                Escaped(&transfer.path),
                transfer.copied,
                transfer.size
            );
            transfer.state = State::Fetch;
        }
        Ok(true)
    }

    /// True if it has to wait.
    fn begin_delta(&mut self, place: usize) -> Result<bool, StepError> {
        let Some(transfer) = self.transfers.get(place) else {
            return Ok(false);
        };
        if !matches!(transfer.state, State::Delta(None)) {
            return Ok(false);
        }
        let sources = self.delta_sources(&transfer.path, transfer.content, transfer.size)?;
        let state = if sources.is_empty() || transfer.here == transfer.size {
            State::Fetch
        } else if self.copies() >= MAX_COPIES {
            return Ok(true);
        } else {
            let to = self.disk.create(download(&transfer.name))?;
            State::Delta(Some(Box::new(DeltaJob::new(transfer.content, to, sources))))
        };
        if let Some(transfer) = self.transfers.get_mut(place) {
            transfer.state = state;
        }
        Ok(false)
    }

    /// Files that may hold chunks of a content: another that should be the same, and what is at its path now.
    fn delta_sources(
        &self,
        path: &[u8],
        content: ContentId,
        size: u64,
    ) -> Result<Vec<Source<D::File>>, StoreError> {
        let mut sources = Vec::new();
        if let Some(file) = self.find_same(content, size)? {
            sources.push(Source {
                file,
                content,
                size,
            });
        }
        let row = self.store.get(path)?;
        let old = row.filter(|row| {
            row.entry.kind == Kind::File && row.entry.size > u64::from(cut::SMALLEST_CHUNK)
        });
        if let Some(row) = old
            && let Some(local) = row.local
            && let Ok(file) = self.disk.open(
                At {
                    place: Place::Share,
                    path,
                },
                local.link,
            )
        {
            sources.push(Source {
                file,
                content: row.entry.content,
                size: row.entry.size,
            });
        }
        Ok(sources)
    }
}
