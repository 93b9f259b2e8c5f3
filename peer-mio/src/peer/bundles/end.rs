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
        let holder =
            Some(coming.peer).filter(|peer| self.slot_of(coming.run.id.index) != Some(*peer));
        let useless = coming.arrived.is_empty() && !coming.excused && holder.is_none();
        // What is missing of it has changed since; the others will not want it either.
        let is_good = coming.whole && !coming.arrived.is_empty();
        if useless && coming.whole && coming.here > PART && coming.restarts < MOST_RESTARTS {
            // Its parts may be those of two that were built one after the other.
            return self.begin_again(now, place);
        }
        let Some((run, arrived)) = self.drop_bundle(place, is_good) else {
            return;
        };
        let index = run.id.index;
        if let Some(peer) = holder
            && !is_good
        {
            self.bundles.shared.forget(&run.id, peer);
            if let Some(rest) = run.without(&arrived)
                && self.bundles.shared.leave(rest)
            {
                return;
            }
        }
        if useless {
            self.bundles.runs.shun(now.mono, index);
        }
        if arrived.len() < run.id.len() {
            let missing = run.id.sequences().filter(|it| !arrived.contains(it));
            self.take_apart(now, index, missing);
        }
    }

    /// Ends one under way; `keep`: others may have it of us.
    pub(super) fn drop_bundle(&mut self, place: usize, keep: bool) -> Option<(Run, Vec<Sequence>)> {
        if place >= self.bundles.coming.len() {
            return None;
        }
        let coming = self.bundles.coming.remove(place);
        if let Some(pull) = coming.pull {
            self.engine.cancel(pull);
            self.assembly.release(pull);
            self.uses.take(pull);
        }
        self.bundles.shared.look();
        let at = in_download(&coming.name);
        // If it cannot be removed now, housekeeping or the next bundle of this name will do.
        let _ = if keep && self.engine.is_pulled_by_somebody() {
            self.keep_zip(coming.run.id, at, coming.file)
        } else {
            self.disk.remove_file(at)
        };
        Some((coming.run, coming.arrived))
    }

    /// Ends all; their files are planned anew.
    pub(in crate::peer) fn drop_bundles(&mut self) {
        while self.drop_bundle(0, false).is_some() {}
        self.bundles.runs.clear();
        self.bundles.shared.clear();
    }
}
