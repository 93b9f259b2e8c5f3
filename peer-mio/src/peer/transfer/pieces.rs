//! The pieces: chunks are asked for, verified and written.

use super::retries::Cause;
use super::verify::set_bit;
use super::{PullUse, State, StepError};
use crate::disk::{Disk, DiskFile};
use crate::peer::Peer;
use proto_core::boundary::PullId;
use proto_core::content::{ChunkRef, cut, recipe};
use proto_core::pull::Want;
use proto_core::wire::ObjectId;
use std::io;

/// Pulls that a content of many chunks leaves free for others.
const PULLS_FOR_OTHERS: usize = 8;
/// Bytes written before the kernel is asked to begin writing them to the disk.
const WRITEBACK: u64 = 8 * 1024 * 1024;

impl<D: Disk> Peer<D> {
    /// Asks for chunks as long as there is room for them.
    pub(super) fn ask_chunks(&mut self, place: usize) -> Result<bool, StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(false);
        };
        let small = transfer.size <= u64::from(cut::SMALLEST_CHUNK);
        while transfer.next_start < transfer.size {
            let chunk = if small {
                None
            } else {
                transfer.chunk(&self.store, transfer.next)?
            };
            let len = match chunk {
                Some(chunk) => chunk.len,
                None if small => transfer.size as u32,
                None => {
                    return Err(StepError::Disk(io::Error::other(
                        "the recipe is incomplete",
                    )));
                }
            };
            if !transfer.is_verified(transfer.next) {
                if self.engine.free_pulls()
                    <= if transfer.in_flight > 0 {
                        PULLS_FOR_OTHERS
                    } else {
                        0
                    }
                    || !self.assembly.has_room(len as usize)
                {
                    return Ok(false);
                }
                let want = Want {
                    object: ObjectId::Content(transfer.content),
                    start: transfer.next_start,
                    length: len,
                    only: None,
                    prefer: transfer.told_by,
                };
                let Some(pull) = self.engine.pull(want) else {
                    return Ok(false);
                };
                self.assembly.reserve(pull, len as usize);
                self.uses.set(
                    pull,
                    PullUse::Chunk {
                        content: transfer.content,
                        chunk,
                        place: transfer.next,
                        start: transfer.next_start,
                    },
                );
                transfer.in_flight += 1;
            }
            transfer.next += 1;
            transfer.next_start += u64::from(len);
        }
        if transfer.in_flight == 0 {
            transfer.state = State::Done;
        }
        Ok(transfer.is_done())
    }

    /// A recipe or chunk is complete.
    pub(in crate::peer) fn pull_complete(&mut self, pull: PullId) {
        let Some(used) = self.uses.get(pull) else {
            self.end_pull(pull);
            return;
        };
        let Some(place) = self
            .transfers
            .iter()
            .position(|transfer| transfer.fetches(used.content()))
        else {
            self.end_pull(pull);
            return;
        };
        let taken = match used {
            PullUse::Recipe(_) => self.take_recipe(place, pull),
            PullUse::Chunk {
                chunk,
                place: number,
                start,
                ..
            } => self.take_chunk(place, pull, chunk, number, start),
        };
        match taken {
            Ok(()) => {}
            Err(StepError::Disk(error)) => {
                self.fail_transfer(place, Cause::Fault, &error.to_string());
            }
            Err(StepError::Store(error)) => {
                self.end_transfer(place);
                self.store_failed(&error);
            }
        }
    }

    fn take_chunk(
        &mut self,
        place: usize,
        pull: PullId,
        chunk: Option<ChunkRef>,
        number: u32,
        start: u64,
    ) -> Result<(), StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(());
        };
        let bytes = self.assembly.bytes(pull);
        let hash = recipe::hash_chunk(bytes);
        let len = bytes.len() as u32;
        let good = match chunk {
            Some(chunk) => chunk.len == len && chunk.hash == hash,
            None => recipe::single_chunk(len, hash) == transfer.content,
        };
        if !good {
            let senders = self.engine.senders(pull);
            self.engine.corrupt(pull);
            self.sent_wrong_bytes(place, senders);
            return Ok(());
        }
        transfer.file.write_all_at(start, bytes)?;
        set_bit(&mut transfer.verified, number);
        transfer.here += u64::from(len);
        let first = transfer.fetched == 0;
        transfer.fetched += u64::from(len);
        transfer.in_flight = transfer.in_flight.saturating_sub(1);
        if transfer.here - transfer.written >= WRITEBACK {
            transfer.written = transfer.here;
            transfer.file.start_writeback(
                (start + u64::from(len)).saturating_sub(WRITEBACK),
                WRITEBACK,
            );
        }
        self.end_pull(pull);
        if first
            && let Some(path) = self
                .transfers
                .get(place)
                .map(|transfer| transfer.path.clone())
        {
            self.fetch_goes_on(&path);
        }
        Ok(())
    }
}
