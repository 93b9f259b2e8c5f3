//! The end of a bundle: what is missing of it comes again, or file by file.

use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::peer::Peer;
use crate::peer::landing_name::in_download;
use crate::peer::runs::Run;
use crate::peer::zips::PART;
use proto_core::index::entry::Sequence;

/// So often a bundle is asked for from its beginning again that is not whole: its server has dropped it or built it anew meanwhile.
const MOST_RESTARTS: u32 = 2;

impl<D: Disk> Peer<D> {
    /// A bundle that is not whole is asked for from its beginning; if that was done before, its files come one by one.
    pub(super) fn begin_again(&mut self, now: Now, place: usize) {
        let Some(coming) = self.bundles.coming.get_mut(place) else {
            return;
        };
        coming.restarts += 1;
        coming.here = 0;
        coming.whole = false;
        coming.unpack = None;
        if coming.restarts <= MOST_RESTARTS && coming.file.set_len(0).is_ok() {
            return;
        }
        coming.excused = true;
        self.end_bundle(now, place);
    }

    /// Nothing more comes of a bundle: what is missing is fetched by itself.
    pub(super) fn end_bundle(&mut self, now: Now, place: usize) {
        let Some(coming) = self.bundles.coming.get(place) else {
            return;
        };
        let useless = coming.arrived.is_empty() && !coming.excused;
        if useless && coming.whole && coming.here > PART && coming.restarts < MOST_RESTARTS {
            // Its parts may be those of two that were built one after the other.
            return self.begin_again(now, place);
        }
        let Some((run, arrived)) = self.drop_bundle(place) else {
            return;
        };
        let index = run.id.index;
        if useless {
            self.bundles.runs.shun(now.mono, index);
        }
        if arrived.len() < run.id.len() {
            let missing = run.id.sequences().filter(|it| !arrived.contains(it));
            self.take_apart(now, index, missing);
        }
    }

    pub(super) fn drop_bundle(&mut self, place: usize) -> Option<(Run, Vec<Sequence>)> {
        if place >= self.bundles.coming.len() {
            return None;
        }
        let coming = self.bundles.coming.remove(place);
        if let Some(pull) = coming.pull {
            self.engine.cancel(pull);
            self.assembly.release(pull);
            self.uses.take(pull);
        }
        // If it cannot be removed now, housekeeping or the next bundle of this name will do.
        let _ = self.disk.remove_file(in_download(&coming.name));
        Some((coming.run, coming.arrived))
    }

    /// Ends all; their files are planned anew.
    pub(in crate::peer) fn drop_bundles(&mut self) {
        while self.drop_bundle(0).is_some() {}
        self.bundles.runs.clear();
    }
}
