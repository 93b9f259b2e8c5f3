//! The parts of a bundle: asked for one after the other, written to `download/`.

use super::longest;
use super::members::SLICE;
use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::jobs::unpack::check_end;
use crate::peer::Peer;
use crate::peer::landing_name::in_download;
use crate::peer::runs::Run;
use crate::peer::transfer::PullUse;
use crate::peer::zips::PART;
use proto_core::boundary::PullId;
use proto_core::pull::{Failure, Want};
use proto_core::wire::{BundleId, ObjectId};

/// Pulls that bundles leave free for others: half of what a large content leaves for them.
const PULLS_FOR_OTHERS: usize = 4;

impl<D: Disk> Peer<D> {
    /// Asks for parts and unpacks a slice. True if there is more to do now.
    pub(in crate::peer) fn step_bundles(&mut self, now: Now) -> bool {
        if self.store.pending_len() == 0 {
            self.bundles.runs.forget();
            self.bundles.shared.clear();
        }
        self.begin_left(now);
        let mut more = false;
        let mut place = 0;
        let mut files = SLICE;
        while place < self.bundles.coming.len() {
            let whole = self.bundles.coming.get(place).is_some_and(|it| it.whole);
            if !whole {
                self.ask_part(place);
                place += 1;
                continue;
            }
            if files == 0 || self.is_landing_full() {
                more |= files == 0;
                place += 1;
                continue;
            }
            match self.unpack_slice(now, place, &mut files) {
                Ok(true) => {
                    self.end_bundle(now, place);
                    more = true;
                }
                Ok(false) => {
                    more |= !self.is_landing_full();
                    place += 1;
                }
                Err(error) => {
                    self.store_failed(&error);
                    return false;
                }
            }
        }
        more
    }

    pub(super) fn ask_part(&mut self, place: usize) {
        let Some(coming) = self.bundles.coming.get_mut(place) else {
            return;
        };
        if coming.pull.is_some()
            || coming.whole
            || self.engine.free_pulls() <= PULLS_FOR_OTHERS
            || !self.engine.has_place_for(coming.peer)
        {
            return;
        }
        let length = asked(coming.here, &coming.run) as u32;
        coming.pull = self.engine.pull(Want {
            object: ObjectId::Bundle(coming.run.id),
            start: coming.here,
            length,
            only: Some(coming.peer),
            prefer: None,
        });
        if let Some(pull) = coming.pull {
            self.assembly.reserve_at_most(pull, length as usize);
            self.uses.set(pull, PullUse::Bundle(coming.run.id));
        }
    }

    pub(super) fn bundle_of(&self, id: BundleId, pull: PullId) -> Option<usize> {
        let mut coming = self.bundles.coming.iter();
        coming.position(|it| it.run.id == id && it.pull == Some(pull))
    }

    /// A part of a bundle is here.
    pub(in crate::peer) fn part_came(&mut self, pull: PullId, id: BundleId) {
        let place = self.bundle_of(id, pull);
        let coming = place.and_then(|place| self.bundles.coming.get(place));
        let asked = coming.map_or(PART, |coming| asked(coming.here, &coming.run));
        let came = self.assembly.bytes(pull);
        let bytes = match self.engine.encoded(pull) {
            Some((encoding, length)) if encoding.is_shorter() => {
                let encoded = came.get(..length).unwrap_or_default();
                self.decoder.decode_at_most(encoded, asked as usize)
            }
            _ => came.get(..came.len().min(asked as usize)),
        };
        let Some(bytes) = bytes else {
            self.end_pull(pull);
            if let Some(place) = place {
                if let Some(coming) = self.bundles.coming.get_mut(place) {
                    coming.pull = None;
                }
                // Perhaps its begin is of one and its end of another that was built later.
                self.begin_again(self.now, place);
            }
            return;
        };
        let written = match place.and_then(|place| self.bundles.coming.get_mut(place)) {
            Some(coming) => {
                coming.pull = None;
                let start = coming.here;
                coming.here += bytes.len() as u64;
                coming.came_at = self.now.mono;
                coming.whole = (bytes.len() as u64) < PART || coming.here >= longest(&coming.run);
                coming.file.write_all_at(start, bytes)
            }
            None => Ok(()),
        };
        self.end_pull(pull);
        if let (Err(error), Some(place)) = (written, place) {
            log::warn!("a bundle cannot be written: {error}");
            if let Some(coming) = self.bundles.coming.get_mut(place) {
                coming.excused = true;
            }
            self.end_bundle(self.now, place);
        } else if let Some(place) = place {
            // At once: what comes next is what the path would else wait for.
            self.ask_part(place);
        }
    }

    /// A part of a bundle cannot be had.
    pub(in crate::peer) fn part_failed(&mut self, pull: PullId, id: BundleId, failure: Failure) {
        let Some(place) = self.bundle_of(id, pull) else {
            return;
        };
        let Some(coming) = self.bundles.coming.get_mut(place) else {
            return;
        };
        coming.pull = None;
        match failure {
            // The one before was the last one, and as long as any other; or there is none any more.
            Failure::Gone if coming.here > 0 => {
                let file = self.disk.open(in_download(&coming.name), false);
                if file.is_ok_and(|file| check_end(&file, coming.here).is_ok()) {
                    coming.whole = true;
                } else {
                    self.begin_again(self.now, place);
                }
            }
            Failure::Gone => self.end_bundle(self.now, place),
            Failure::Silent => {
                // It would hold up what else it told of.
                self.bundles.shared.forget_peer(coming.peer);
                self.end_bundle(self.now, place);
            }
            Failure::Disconnected => {
                self.drop_bundle(place, false);
                self.plan.restart();
            }
        }
    }
}

/// Bytes of the part from `here` on that are asked for; at least one, as that tells whether there is one.
fn asked(here: u64, run: &Run) -> u64 {
    longest(run).saturating_sub(here).clamp(1, PART)
}
