//! Planning: pending entries are walked in slices, in tree order for all that creates, then in
//! reverse tree order for deletions (docs/architecture.md, "Pending").

use super::Peer;
use super::backlog::{Backlogs, Place};
use super::land::NotLanded;
use super::touched::Touched;
use super::transfer::Begun;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::{Pending, PendingWalk, StoreError};
use proto_core::boundary::PeerSlot;
use proto_core::index::entry::{IndexId, Kind};
use proto_core::limits::MAX_PEERS;
use proto_core::time::{Duration, Instant};

/// Entries looked at in one slice.
const SLICE: usize = 128;
/// First pause before entries that could not land are tried again; doubles as long as none of them can.
const RETRY: Duration = Duration::from_millis(500);
/// How often it doubles at most: to 4 s.
const DOUBLINGS: u32 = 3;

/// Where the walk over the pending entries stands.
#[derive(Debug, Default)]
pub struct Plan {
    pass: Pass,
    /// When it began.
    began: Instant,
    /// What it passed by.
    backlogs: Backlogs,
    /// Something new is pending since the pass began.
    again: bool,
    /// Something could not land in this pass.
    unfinished: bool,
    /// Something could not land since a pass ended in which all could: paths are looked at before anything is fetched for them.
    careful: bool,
    /// A deletion is pending, as far as this pass has seen or was told.
    deletes: bool,
    /// A path waits for a content that comes for another path.
    waits: bool,
    /// Passes in a row in which something could not land, without anything new between them.
    fruitless: u32,
    /// When something is to be tried again, as far as this pass has seen.
    due: Option<Instant>,
    retry_at: Option<Instant>,
    /// In this slice `share/` was found to be the folder that it was.
    share_seen: bool,
    /// Something landed or is not pending any more since failures were last looked over.
    changed: bool,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Pass {
    /// Nothing to walk.
    #[default]
    Idle,
    /// All that creates: behind this path.
    Creating(Option<Vec<u8>>),
    /// Deletions: before this path.
    Deleting(Option<Vec<u8>>),
}

impl Plan {
    /// Entries came or changed: walk them (again).
    pub fn restart(&mut self) {
        self.fruitless = 0;
        self.begin();
    }

    fn begin(&mut self) {
        if self.pass == Pass::Idle {
            self.pass = Pass::Creating(None);
        } else {
            self.again = true;
        }
    }

    /// A deletion is pending now.
    pub(super) fn note_deletion(&mut self) {
        self.deletes = true;
    }

    /// Something could not land: walk again after a pause.
    pub fn retry_later(&mut self) {
        self.unfinished = true;
        self.careful = true;
    }

    /// Something is to be tried again then.
    pub(super) fn retry_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Something landed: what waited for its content goes on.
    pub fn content_landed(&mut self) {
        self.changed = true;
        if std::mem::take(&mut self.waits) {
            self.restart();
        }
    }

    /// Whether something could not land lately.
    pub(super) fn is_careful(&self) -> bool {
        self.careful
    }

    /// When the walk begins again by itself.
    #[must_use]
    pub fn next_retry(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether there is more to look at now.
    pub(super) fn is_walking(&self) -> bool {
        self.pass != Pass::Idle || !self.backlogs.is_empty()
    }

    /// Whether nothing more of a peer is to be looked at now.
    pub(super) fn is_done_with(&self, peer: PeerSlot) -> bool {
        self.pass == Pass::Idle && self.backlogs.first(peer).is_none()
    }

    fn end_pass(&mut self, now: Instant) {
        self.careful = self.unfinished;
        let again = std::mem::take(&mut self.again);
        self.pass = if again && self.backlogs.is_empty() {
            Pass::Creating(None)
        } else {
            Pass::Idle
        };
        self.retry_at = None;
        if again && self.pass == Pass::Idle {
            // Much was passed by that the next pass will walk over too: at most half of the time goes there.
            self.retry_at(now + now.saturating_since(self.began));
        }
        self.changed = true;
        self.rest(now);
    }

    /// Sets the pause after a pass, or after a transfer that ended without landing.
    fn rest(&mut self, now: Instant) {
        if self.pass != Pass::Idle {
            return;
        }
        if std::mem::take(&mut self.unfinished) {
            self.retry_at(now + RETRY * (1 << self.fruitless.min(DOUBLINGS)));
            self.fruitless = self.fruitless.saturating_add(1);
        }
        if let Some(due) = self.due.take() {
            self.retry_at = Some(self.retry_at.map_or(due, |at| at.min(due)));
        }
    }
}

/// What a look at one pending entry came to.
enum Step {
    /// The next one.
    Next,
    /// No room for more now: stay here.
    Stay,
    /// There is none for more from this peer: it is passed by.
    PassBy(PeerSlot, Place),
}

impl<D: Disk> Peer<D> {
    /// Walks a slice of the pending entries. True if there is more to do now.
    pub(super) fn step_plan(&mut self, now: Now) -> bool {
        self.plan.rest(now.mono);
        if self.plan.retry_at.is_some_and(|at| now.mono >= at) {
            self.plan.retry_at = None;
            self.plan.begin();
        }
        if self.plan.pass == Pass::Idle && std::mem::take(&mut self.plan.changed) {
            self.end_failures(now);
        }
        if !self.has_to_walk() || !self.is_scanned() {
            return false;
        }
        self.plan.share_seen = false;
        let mut touched = Touched::default();
        let before = self.changes.count();
        let walked = self
            .walk_backlogs(now, &mut touched)
            .and_then(|more| Ok(self.walk_pending(now, &mut touched)? || more));
        // What was picked up meanwhile waits for its own moment (`commit_if_quiet`).
        if touched.any() || self.changes.count() > before {
            self.changes.note_landed(before);
            self.finish_landing(&mut touched, false);
        }
        match walked {
            Ok(more) => more,
            Err(error) => {
                self.store_failed(&error);
                false
            }
        }
    }

    fn walk_pending(&mut self, now: Now, touched: &mut Touched) -> Result<bool, StoreError> {
        let mut walk = PendingWalk::default();
        for _ in 0..SLICE {
            match self.plan.pass.clone() {
                Pass::Idle => return Ok(false),
                Pass::Creating(after) => {
                    if after.is_none() {
                        self.plan.began = now.mono;
                        self.plan.backlogs.clear();
                        self.plan.deletes = false;
                    }
                    let Some((path, pending)) = walk.next(&self.store, after.as_deref())? else {
                        if !self.begin_all_bundles(now, after.as_deref()) {
                            return Ok(false);
                        }
                        self.plan.pass = Pass::Deleting(None);
                        continue;
                    };
                    if pending.entry.kind == Kind::Tombstone {
                        self.plan.deletes = true;
                    } else if !self.is_left_to_backlog(&path, &pending) {
                        match self.plan_creation(now, &path, &pending, touched)? {
                            Step::Next => {}
                            Step::Stay => return Ok(false),
                            Step::PassBy(peer, place) => {
                                self.plan.backlogs.leave(peer, after.as_deref(), place);
                            }
                        }
                    }
                    self.plan.pass = Pass::Creating(Some(path));
                }
                Pass::Deleting(before) => {
                    let next = match self.plan.deletes {
                        true => self.store.previous_pending(before.as_deref())?,
                        false => None,
                    };
                    let Some((path, pending)) = next else {
                        self.plan.end_pass(now.mono);
                        self.end_space_check();
                        continue;
                    };
                    if pending.entry.kind == Kind::Tombstone
                        && !self.waits_for_creations(pending.told_by)
                    {
                        if !self.share_is_seen() {
                            return Ok(false);
                        }
                        let result = self.land_path(now, &path, None, touched).map(|_| ());
                        self.landed(now, &path, result);
                    }
                    self.plan.pass = Pass::Deleting(Some(path));
                }
            }
        }
        Ok(true)
    }

    /// Goes on with what was passed by of peers for which there is room again. True if there is more to do now.
    fn walk_backlogs(&mut self, now: Now, touched: &mut Touched) -> Result<bool, StoreError> {
        let mut more = false;
        // Who has the fewest places comes first: else those that are slow keep all that becomes free.
        let slots = 0..self.config.peers.len();
        let mut peers: heapless::Vec<PeerSlot, MAX_PEERS> = slots
            .filter_map(PeerSlot::new)
            .filter(|peer| self.plan.backlogs.first(*peer).is_some())
            .collect();
        peers.sort_by_key(|peer| self.fetched_from(Some(*peer)));
        for peer in peers {
            for _ in 0..SLICE {
                let Some((place, after)) = self.plan.backlogs.first(peer) else {
                    break;
                };
                if !self.has_room_for(peer, place) {
                    break;
                }
                let Some((path, pending)) = self.store.next_pending(after.as_deref())? else {
                    if self.begin_bundles(now, Some(peer)) && self.plan.backlogs.end(peer) {
                        self.plan.begin();
                    }
                    break;
                };
                let its = pending.entry.kind != Kind::Tombstone
                    && self.slot_of(pending.told_by) == Some(peer);
                match its.then(|| self.plan_creation(now, &path, &pending, touched)) {
                    Some(Err(error)) => return Err(error),
                    Some(Ok(Step::Stay)) => return Ok(more),
                    Some(Ok(Step::PassBy(_, place))) => {
                        self.plan.backlogs.wait_for(peer, place);
                        break;
                    }
                    Some(Ok(Step::Next)) | None => self.plan.backlogs.advance(peer, path),
                }
                more = true;
            }
        }
        Ok(more)
    }

    /// Whether `share/` is the folder that it was, looked at once in a slice, before the first thing that is done. If not, the
    /// walk ends.
    fn share_is_seen(&mut self) -> bool {
        if !self.plan.share_seen {
            self.plan.share_seen = self.is_share_usable();
        }
        if !self.plan.share_seen {
            self.plan.pass = Pass::Idle;
        }
        self.plan.share_seen
    }

    /// Whether there is something to walk over, and not only backlogs for which there is no room.
    fn has_to_walk(&self) -> bool {
        let mut slots = (0..self.config.peers.len()).filter_map(PeerSlot::new);
        self.plan.pass != Pass::Idle
            || !self.plan.backlogs.is_empty()
                && slots.any(|peer| {
                    let first = self.plan.backlogs.first(peer);
                    first.is_some_and(|(place, _)| self.has_room_for(peer, place))
                })
    }

    /// Whether a peer may have one more under way.
    fn has_room_for(&self, peer: PeerSlot, place: Place) -> bool {
        match place {
            Place::Bundle => self.has_room_for_bundle(peer),
            Place::Transfer => self.has_room_for_transfer(Some(peer)),
        }
    }

    /// Begins what has gathered; false: the pass stays here until there is room for all of it.
    fn begin_all_bundles(&mut self, now: Now, after: Option<&[u8]>) -> bool {
        if self.begin_bundles(now, None) {
            return true;
        }
        if !self.engine.has_several_connected() {
            return false;
        }
        for peer in self.gathering_peers() {
            self.plan.backlogs.leave(peer, after, Place::Bundle);
        }
        true
    }

    fn is_left_to_backlog(&self, path: &[u8], pending: &Pending) -> bool {
        pending.entry.kind == Kind::File
            && !self.plan.backlogs.is_empty()
            && self
                .slot_of(pending.told_by)
                .is_some_and(|peer| self.plan.backlogs.has(peer, path))
    }

    /// What a peer creates is planned before what it deletes: a file that was moved is then copied from its old path.
    fn waits_for_creations(&mut self, told_by: IndexId) -> bool {
        let peer = self.slot_of(told_by);
        peer.is_some_and(|peer| self.plan.backlogs.keeps_deletion(peer))
    }

    fn plan_creation(
        &mut self,
        now: Now,
        path: &[u8],
        pending: &Pending,
        touched: &mut Touched,
    ) -> Result<Step, StoreError> {
        self.end_other_draft(path, pending);
        self.end_stuck(path, pending);
        if self.is_coming(path) || self.bundles.has(pending) {
            return Ok(Step::Next);
        }
        if !self.share_is_seen() {
            return Ok(Step::Stay);
        }
        if !self.is_new_file(path, pending)? {
            let result = self.land_path(now, path, None, touched).map(|_| ());
            let needs_content = matches!(result, Err(NotLanded::Blocked))
                && pending.entry.kind == Kind::File
                // It may be what is hashed there.
                && !self.hashings.is_at(path)
                && self.may_fetch(path)?;
            if !needs_content {
                self.landed(now, path, result);
                return Ok(Step::Next);
            }
        }
        match self.gather(now, path, pending)? {
            Some(true) => return Ok(Step::Next),
            Some(false) => return Ok(self.no_room(pending, Place::Bundle)),
            None => {}
        }
        match self.begin_transfer(now, path, pending)? {
            Begun::Yes => Ok(Step::Next),
            Begun::Full => Ok(Step::Stay),
            Begun::Crowded => Ok(self.no_room(pending, Place::Transfer)),
            Begun::Waits => {
                self.plan.waits = true;
                Ok(Step::Next)
            }
            // The failure has set its own pause; a peer that connects starts the next pass.
            Begun::Failed | Begun::NoPeer => Ok(Step::Next),
            Begun::NoRoom => {
                self.plan.retry_later();
                Ok(Step::Next)
            }
            Begun::Paused(until) => {
                self.plan.retry_at(until);
                Ok(Step::Next)
            }
        }
    }

    /// What others told need not wait for what this peer told.
    fn no_room(&self, pending: &Pending, place: Place) -> Step {
        match self.slot_of(pending.told_by) {
            Some(peer) if self.engine.has_several_connected() => Step::PassBy(peer, place),
            _ => Step::Stay,
        }
    }

    /// What nobody has any more is not waited for, and what was said of paths that are not pending any more is over.
    fn end_failures(&mut self, now: Now) {
        let ended = self.drop_abandoned(now);
        if let Err(error) = ended.and_then(|()| self.forget_fetched()) {
            self.store_failed(&error);
        }
    }
}
