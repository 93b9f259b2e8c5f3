//! What a partial file of an earlier life holds already.

use super::recipe::chunk_of;
use super::{SLICE, State, StepError, download};
use crate::disk::Disk;
use crate::jobs::Progress;
use crate::jobs::verify::VerifyJob;
use crate::peer::Peer;
use proto_core::path::Escaped;
use std::io;

impl<D: Disk> Peer<D> {
    /// What follows when the recipe is here. A new file holds nothing to verify.
    pub(super) fn verify_or_delta(
        &self,
        name: &[u8],
        size: u64,
        fresh: bool,
    ) -> Result<State<D::File>, StepError> {
        if fresh {
            return Ok(State::Delta(None));
        }
        let file = self.disk.open(download(name), false)?;
        Ok(State::Verify(VerifyJob::new(file, size)))
    }

    /// One slice.
    pub(super) fn step_verify(&mut self, place: usize) -> Result<bool, StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(false);
        };
        let State::Verify(job) = &mut transfer.state else {
            return Ok(false);
        };
        let store = &self.store;
        let (content, at_hand) = (transfer.content, &mut transfer.block);
        let (verified, here) = (&mut transfer.verified, &mut transfer.here);
        let progress = job.step(
            SLICE,
            &mut |chunk| chunk_of(store, content, at_hand, chunk).map_err(io::Error::other),
            &mut |chunk, len, good| {
                if good {
                    set_bit(verified, chunk);
                    *here += u64::from(len);
                }
            },
        )?;
        if matches!(progress, Progress::Done(_)) {
            if transfer.here > 0 {
                log::info!(
                    "{}: {} of {} bytes are already here",
                    Escaped(&transfer.path),
                    transfer.here,
                    transfer.size
                );
            }
            transfer.state = State::Delta(None);
        }
        Ok(true)
    }
}

pub(super) fn is_set(bits: &[u64], at: u32) -> bool {
    bits.get(at as usize / 64)
        .is_some_and(|word| word & (1 << (at % 64)) != 0)
}

pub(super) fn set_bit(bits: &mut Vec<u64>, at: u32) {
    let word = at as usize / 64;
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    if let Some(word) = bits.get_mut(word) {
        *word |= 1 << (at % 64);
    }
}
