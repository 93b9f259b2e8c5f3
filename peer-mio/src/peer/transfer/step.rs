//! One slice of work on each content, and from here to landing.

use super::recipe::chunk_of;
use super::retries::Cause;
use super::{SLICE, State, StepError, Transfer};
use crate::clock::Now;
use crate::disk::Disk;
use crate::jobs::{DISK_PAUSE, Progress};
use crate::peer::{Flushing, Peer};
use proto_core::time::Instant;
use std::io;

impl<D: Disk> Peer<D> {
    /// One slice of verifying or copying, and new requests. True if there is more to do now.
    pub(in crate::peer) fn step_transfers(&mut self, now: Now) -> bool {
        self.write_part_out(now);
        let mut more = false;
        for place in 0..self.transfers.len() {
            match self.step_ready(now, place) {
                Ok(again) => more |= again,
                Err(StepError::Disk(error)) => {
                    self.fail_transfer(place, Cause::Fault, &error.to_string());
                    return true;
                }
                Err(StepError::Store(error)) => {
                    self.store_failed(&error);
                    return false;
                }
            }
        }
        while let Some(place) = self.transfers.iter().position(Transfer::is_done) {
            let transfer = self.transfers.remove(place);
            if transfer.chunks.is_some() {
                self.engine.end_fetch(transfer.content, true);
            }
            let flushing = self.config.flushing != Flushing::Never;
            self.landing.add(now, transfer, flushing);
            more = true;
        }
        more
    }

    /// When the next one that waits for the disk goes on.
    pub(in crate::peer) fn transfers_due(&self) -> Option<Instant> {
        let transfers = self.transfers.iter();
        let waiting = transfers.map(|transfer| transfer.not_before);
        waiting.filter(|at| *at > self.now.mono).min()
    }

    /// One slice of a transfer that does not wait for the disk.
    fn step_ready(&mut self, now: Now, place: usize) -> Result<bool, StepError> {
        let transfer = self.transfers.get(place);
        if transfer.is_none_or(|transfer| now.mono < transfer.not_before) {
            return Ok(false);
        }
        let more = self.step_transfer(place)?;
        let transfer = self.transfers.get_mut(place);
        if let Some(transfer) = transfer.filter(|transfer| transfer.state.waits()) {
            transfer.not_before = now.mono + DISK_PAUSE;
            return Ok(false);
        }
        Ok(more)
    }

    fn step_transfer(&mut self, place: usize) -> Result<bool, StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(false);
        };
        match &mut transfer.state {
            State::Recipe(_) => {
                self.ask_recipe(place);
                Ok(false)
            }
            State::Verify(_) => self.step_verify(place),
            State::Delta(_) => self.step_delta(place),
            State::Copy(job) => {
                let store = &self.store;
                let (content, at_hand) = (transfer.content, &mut transfer.block);
                let copied = job.step(SLICE, &mut |chunk| {
                    chunk_of(store, content, at_hand, chunk).map_err(io::Error::other)
                });
                match copied {
                    Ok(Progress::More) => {}
                    Ok(Progress::Done(bytes)) if bytes != transfer.size => {
                        self.distrust(content);
                        return Err(StepError::Disk(io::Error::other("its copy is incomplete")));
                    }
                    Ok(Progress::Done(_)) => {
                        transfer.here = transfer.size;
                        transfer.state = State::Done;
                    }
                    Err(error) => {
                        // It is not what the index says: the next try asks the network.
                        self.distrust(content);
                        return Err(StepError::Disk(error));
                    }
                }
                Ok(true)
            }
            State::Fetch => {
                if transfer.is_draft() && !self.step_draft(place)? {
                    return Ok(false);
                }
                self.ask_chunks(place)
            }
            State::Done => Ok(false),
        }
    }
}
