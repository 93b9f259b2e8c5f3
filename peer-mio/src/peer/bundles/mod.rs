//! Bundles on their way to us: asked for part by part, written to `download/`, unpacked in slices, and their files handed
//! to landing (docs/protocol.md, "Bundles"). Whatever is wrong with one, its files come one by one.

mod begin;
mod end;
mod members;
mod parts;
mod shared;

use super::ready::KeptModes;
use super::runs::{Run, Runs};
use crate::disk::DiskFile;
use crate::jobs::unpack::UnpackJob;
use crate::store::Pending;
use proto_core::boundary::{PeerSlot, PullId};
use proto_core::index::entry::Sequence;
use proto_core::time::Instant;
use shared::Shared;

/// Bytes of a zip file for each member besides its bytes and twice its name, with room to spare; deflated members never become
/// longer than stored ones.
const HEADS: u64 = 256;

/// All bundles on their way.
#[derive(Debug)]
pub struct Bundles<F: DiskFile> {
    /// What gathers.
    pub runs: Runs,
    coming: Vec<Coming<F>>,
    shared: Shared,
    /// One unpacked member.
    bytes: Vec<u8>,
    /// Of the members that this slice has written.
    kept_modes: KeptModes,
}

/// A bundle on its way.
#[derive(Debug)]
struct Coming<F: DiskFile> {
    run: Run,
    peer: PeerSlot,
    /// Its name in `download/`.
    name: Vec<u8>,
    file: F,
    /// Bytes that are here.
    here: u64,
    /// How often it was begun anew.
    restarts: u32,
    started: Instant,
    /// When something of it last came.
    came_at: Instant,
    pull: Option<PullId>,
    /// All of it is here.
    whole: bool,
    unpack: Option<UnpackJob<F>>,
    /// What was unpacked of it.
    arrived: Vec<Sequence>,
    /// If nothing of it is of use, that is not its server's fault.
    excused: bool,
}

impl<F: DiskFile> Default for Bundles<F> {
    fn default() -> Self {
        Self {
            runs: Runs::default(),
            coming: Vec::new(),
            shared: Shared::default(),
            bytes: Vec::new(),
            kept_modes: KeptModes::default(),
        }
    }
}

impl<F: DiskFile> Bundles<F> {
    /// Whether a pending file gathers, comes in a bundle or is left to others.
    #[must_use]
    pub fn has(&self, pending: &Pending) -> bool {
        let (index, sequence) = (pending.told_by, pending.entry.sequence);
        let mut coming = self.coming.iter();
        self.runs.has(index, sequence)
            || self.shared.has(index, sequence)
            || coming.any(|coming| {
                let id = coming.run.id;
                id.index == index && id.contains(sequence) && !coming.arrived.contains(&sequence)
            })
    }

    /// How many come from a peer.
    fn of(&self, peer: PeerSlot) -> usize {
        self.coming.iter().filter(|it| it.peer == peer).count()
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.coming.is_empty()
    }

    /// Bytes that those under way will take up on the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let coming = self.coming.iter();
        coming.map(|coming| 2 * longest(&coming.run)).sum()
    }

    /// Whether one gathers in this name in `download/`.
    #[must_use]
    pub fn has_name(&self, name: &[u8]) -> bool {
        self.coming.iter().any(|coming| coming.name == name)
    }
}

/// Bytes of a bundle at most.
fn longest(run: &Run) -> u64 {
    let members = run.id.len() as u64;
    run.bytes + 2 * run.names + HEADS * (members + 1)
}
