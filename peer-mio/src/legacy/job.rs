//! What the bridge works on: one thing at a time, in slices.

use super::Legacy;
use super::batch::BatchJob;
use super::fetching::Fetching;
use super::landing::Landing;
use super::unpacking::Unpacking;
use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::peer::Peer;
use proto_core::legacy::Reply;
use proto_core::time::Instant;

/// Bytes of work in one turn.
pub const SLICE: usize = 2 * 1024 * 1024;

/// What the bridge works on.
pub enum Job<F: DiskFile> {
    /// Nothing.
    None,
    /// Something comes.
    Fetch(Fetching<F>),
    /// An archive came.
    Unpack(Box<Unpacking<F>>),
    /// A file came.
    Land(Box<Landing<F>>),
    /// A batch is being made.
    Publish(Box<BatchJob<F>>),
}

impl<F: DiskFile> Job<F> {
    /// Whether there is nothing to do.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Takes an answer of the ancestor at `place`. False: nothing was asked of that.
    pub fn handle_reply(&mut self, now: Instant, place: usize, reply: &Reply<'_>) -> bool {
        match self {
            Self::Fetch(fetching) => fetching.handle_reply(now, place, reply),
            Self::Land(landing) => landing.handle_reply(now, place, reply),
            _ => false,
        }
    }

    /// Writes the next request: to which ancestor, its length, and the bytes that it asks for.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, usize, usize)> {
        match self {
            Self::Fetch(fetching) => fetching.poll_transmit(now, out),
            Self::Land(landing) => landing.poll_transmit(now, out),
            _ => None,
        }
    }

    /// When to poll again, if requests may leave from `ready` on.
    pub fn next_wake(&self, ready: Instant) -> Instant {
        match self {
            Self::None => Instant::FAR_FUTURE,
            Self::Fetch(fetching) => fetching.next_wake(ready),
            Self::Land(landing) => landing.next_wake(ready),
            _ => Instant::ZERO,
        }
    }
}

impl<D: Disk> Legacy<D> {
    /// A slice of the job. True if there is more to do at once.
    pub(super) fn step_job(&mut self, now: Now, peer: &mut Peer<D>) -> bool {
        match std::mem::replace(&mut self.job, Job::None) {
            Job::None => false,
            Job::Fetch(fetching) => self.step_fetch(now.mono, peer, fetching),
            Job::Unpack(unpacking) => self.step_unpack(now.mono, peer, unpacking),
            Job::Land(landing) => self.step_land(now, peer, landing),
            Job::Publish(job) => self.step_publish(now.mono, peer, job),
        }
    }
}
