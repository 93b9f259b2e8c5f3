//! A user who writes to a file between two operations of the peer.

use super::{SimDisk, State};
use crate::rng::Rng;
use peer_mio::disk::{At, Place};

/// How often the user of a disk writes so at most. Each such write is a version to open and to land
/// elsewhere, where the next one meets it: without an end these writes would feed themselves.
const MEDDLES: u32 = 40;

/// Who writes, and how often still.
#[derive(Clone, Debug)]
pub(super) struct Meddling {
    permille: u64,
    left: u32,
    rng: Rng,
}

/// What a user wrote between two operations of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meddled {
    /// Below `share/`.
    pub path: Vec<u8>,
    /// The bytes that were there.
    pub before: Vec<u8>,
    /// The bytes that are there now.
    pub after: Vec<u8>,
}

impl SimDisk {
    /// From now on a user overwrites the file that the peer is just opening, renaming into, out of or
    /// within `share/`, or whose attributes it sets, in so many of 1000 cases, at most `MEDDLES`
    /// times; 0: never. The length stays the same, so that only the times tell.
    pub fn user_meddles(&self, permille: u64, rng: Rng) {
        self.lock().meddling = (permille > 0).then_some(Meddling {
            permille,
            left: MEDDLES,
            rng,
        });
    }

    /// What was written so since the last call, in order.
    #[must_use]
    pub fn take_meddled(&self) -> Vec<Meddled> {
        std::mem::take(&mut self.lock().meddled)
    }
}

impl State {
    /// Perhaps a user overwrites the file at a path of `share/` right now.
    pub(super) fn meddle(&mut self, at: At<'_>) {
        if at.place != Place::Share {
            return;
        }
        let Some(mut meddling) = self.meddling.take() else {
            return;
        };
        if meddling.left > 0
            && meddling.rng.chance(meddling.permille)
            && self.overwrite(at, meddling.rng.bits())
        {
            meddling.left -= 1;
        }
        self.meddling = Some(meddling);
    }

    /// Overwrites a file with something that was never there; whether there is one.
    fn overwrite(&mut self, at: At<'_>, new: u64) -> bool {
        let Ok(ino) = self.find(at) else { return false };
        let Ok(before) = self.tree.bytes(ino).map(<[u8]>::to_vec) else {
            return false;
        };
        let mut after = format!("meddled {new:016x}").into_bytes();
        after.resize(before.len().max(after.len()), b'.');
        if self.tree.write(ino, 0, &after).is_err() {
            return false;
        }
        self.tell(at, true);
        let path = at.path.to_vec();
        self.meddled.push(Meddled {
            path,
            before,
            after,
        });
        true
    }
}
