//! What gathers becomes a bundle to fetch, if there is room for one more.

use super::{Coming, longest};
use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::peer::Peer;
use crate::peer::backlog::IN_THE_WAY;
use crate::peer::landing_name::in_download;
use crate::peer::runs::{Gathered, LEAST, Run};
use crate::peer::zips::MAX_MEMBER;
use crate::store::{Pending, StoreError};
use proto_core::boundary::PeerSlot;
use proto_core::index::entry::{IndexId, Kind, Sequence};

/// Bundles under way at once.
const MAX_COMING: usize = 8;
/// Of these from one peer while others are connected.
const MAX_OF_ONE: usize = MAX_COMING / 2;

impl<D: Disk> Peer<D> {
    /// Puts a pending file into a run, if it is to come in a bundle; `Some(false)`: there is no room for more now.
    pub(in crate::peer) fn gather(
        &mut self,
        now: Now,
        path: &[u8],
        pending: &Pending,
    ) -> Result<Option<bool>, StoreError> {
        let entry = &pending.entry;
        let (index, sequence) = (pending.told_by, entry.sequence);
        let alone = entry.kind != Kind::File
            || !(1..=MAX_MEMBER).contains(&entry.size)
            || self.store.pending_len() < LEAST as u64
            || std::str::from_utf8(path).is_err()
            || self.bundles.runs.is_alone(now.mono, index, sequence)
            || self.slot_of(index).is_none()
            || self.is_paused(now, path, entry.content)
            || self.is_under_way(entry.content)
            || self.is_here(entry.content, entry.size)?;
        if alone {
            return Ok(None);
        }
        loop {
            let gathered = self
                .bundles
                .runs
                .gather(index, sequence, entry.size, path.len());
            match gathered {
                Some(Gathered::Yes) => return Ok(Some(true)),
                Some(Gathered::Full(run)) => {
                    // If there is no room for it, the file that did not fit comes here again.
                    self.begin_bundle(now, &run);
                    return Ok(Some(true));
                }
                Some(Gathered::Crowded(run)) => {
                    if !self.begin_bundle(now, &run) {
                        return Ok(Some(false));
                    }
                }
                None => return Ok(None),
            }
        }
    }

    /// All pending files, or all that a peer told, were looked at: what has gathered of them is fetched. False: there is no
    /// room for all of it now.
    pub(in crate::peer) fn begin_bundles(&mut self, now: Now, of: Option<PeerSlot>) -> bool {
        let mut all = true;
        for run in self.bundles.runs.all() {
            if of.is_none() || self.slot_of(run.id.index) == of {
                all &= self.begin_bundle(now, &run);
            }
        }
        all
    }

    /// Whose files gather.
    pub(in crate::peer) fn gathering_peers(&self) -> Vec<PeerSlot> {
        let runs = self.bundles.runs.all();
        runs.iter()
            .filter_map(|run| self.slot_of(run.id.index))
            .collect()
    }

    /// Whether one more bundle may come from a peer: while others are connected, half of all are left to them.
    pub(in crate::peer) fn has_room_for_bundle(&self, peer: PeerSlot) -> bool {
        let fits = self.bundles.of(peer) < MAX_OF_ONE || !self.engine.has_several_connected();
        let is_free = self.bundles.coming.len() < MAX_COMING;
        fits && (is_free || self.bundle_in_the_way(peer).is_some())
    }

    /// A bundle that makes way for one from this peer: nothing comes of it, and it is one of more than its own peer may have.
    pub(super) fn bundle_in_the_way(&self, of: PeerSlot) -> Option<usize> {
        let waits = |it: &Coming<D::File>| {
            !it.whole
                && self.now.mono.saturating_since(it.came_at) >= IN_THE_WAY
                && self.bundles.of(it.peer) > MAX_OF_ONE
        };
        let mut coming = self.bundles.coming.iter();
        let others = coming.position(|it| it.peer != of && waits(it));
        others.filter(|_| self.engine.has_several_connected())
    }

    /// False: there is no room for it now.
    pub(super) fn begin_bundle(&mut self, now: Now, run: &Run) -> bool {
        if run.id.len() < LEAST {
            self.bundles.runs.remove(run);
            self.take_apart(now, run.id.index, run.id.sequences());
            return true;
        }
        let Some(peer) = self.slot_of(run.id.index) else {
            self.bundles.runs.remove(run);
            self.plan.retry_later();
            return true;
        };
        if self.leave_to_others(run, peer) {
            self.bundles.runs.remove(run);
            return true;
        }
        self.begin_bundle_from(now, run, peer)
    }

    /// Fetches a run from its source, or from who has its bundle; false: there is no room for it now.
    pub(super) fn begin_bundle_from(&mut self, now: Now, run: &Run, peer: PeerSlot) -> bool {
        if !self.has_room_for_bundle(peer) {
            return false;
        }
        if self.bundles.coming.len() >= MAX_COMING
            && let Some(place) = self.bundle_in_the_way(peer)
        {
            self.drop_bundle(place, false);
            self.plan.restart();
        }
        self.bundles.runs.remove(run);
        let name = format!("bundle-{}-{}.part", run.id.index, run.id.first).into_bytes();
        if self.bundles.has_name(&name) {
            // Another one begins with the same file: these are what was told anew meanwhile.
            self.take_apart(now, run.id.index, run.id.sequences());
            return true;
        }
        if !self.has_room(now, &name, 2 * longest(run)) {
            // For a bundle twice the room is needed; perhaps there is enough for the files.
            self.take_apart(now, run.id.index, run.id.sequences());
            return true;
        }
        let at = in_download(&name);
        let made = self.disk.create(at).and_then(|file| {
            if file.stat()?.links > 1 {
                self.disk.remove_file(at)?;
                return self.disk.create(at);
            }
            file.set_len(0)?;
            Ok(file)
        });
        match made {
            Ok(file) => self.bundles.coming.push(Coming {
                run: *run,
                peer,
                name,
                file,
                here: 0,
                restarts: 0,
                started: now.mono,
                came_at: now.mono,
                pull: None,
                whole: false,
                unpack: None,
                arrived: Vec::new(),
                excused: false,
            }),
            Err(error) => {
                log::warn!("no bundle can be fetched: {error}");
                self.take_apart(now, run.id.index, run.id.sequences());
            }
        }
        true
    }

    pub(super) fn take_apart(
        &mut self,
        now: Now,
        index: IndexId,
        files: impl Iterator<Item = Sequence>,
    ) {
        self.bundles.runs.fetch_alone(now.mono, index, files);
        self.plan.restart();
    }
}
