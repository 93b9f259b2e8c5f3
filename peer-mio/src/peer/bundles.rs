//! Bundles on their way to us: asked for part by part, written to `download/`, unpacked in slices, and their files handed
//! to landing (docs/protocol.md, "Bundles"). Whatever is wrong with one, its files come one by one.

use super::Peer;
use super::backlog::IN_THE_WAY;
use super::landing_name::in_download;
use super::runs::{Gathered, LEAST, Run, Runs};
use super::transfer::{PullUse, part_name};
use super::zips::{MAX_MEMBER, PART};
use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::jobs::hash::content_of;
use crate::jobs::unpack::{UnpackJob, Unpacked, check_end};
use crate::store::{Pending, StoreError};
use proto_core::boundary::{PeerSlot, PullId};
use proto_core::content::{ContentId, cut};
use proto_core::index::entry::{IndexId, Kind, Sequence};
use proto_core::path::Escaped;
use proto_core::pull::{Failure, Want};
use proto_core::time::Instant;
use proto_core::wire::{BundleId, ObjectId};
use std::io;

/// Bundles under way at once.
const MAX_COMING: usize = 8;
/// Of these from one peer while others are connected.
const MAX_OF_ONE: usize = MAX_COMING / 2;
/// Pulls that bundles leave free for others: half of what a large content leaves for them.
const PULLS_FOR_OTHERS: usize = 4;
/// Bytes of a zip file for each member besides its bytes and twice its name, with room to spare; deflated members never become
/// longer than stored ones.
const HEADS: u64 = 256;
/// So often a bundle is asked for from its beginning again that is not whole: its server has dropped it or built it anew meanwhile.
const MOST_RESTARTS: u32 = 2;
/// Files unpacked in one slice: three to five milliseconds.
const SLICE: usize = 64;
/// Bytes unpacked in one slice.
const SLICE_BYTES: u64 = 1024 * 1024;

/// All bundles on their way.
#[derive(Debug)]
pub struct Bundles<F: DiskFile> {
    /// What gathers.
    pub runs: Runs,
    coming: Vec<Coming<F>>,
    /// One unpacked member.
    bytes: Vec<u8>,
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
            bytes: Vec::new(),
        }
    }
}

impl<F: DiskFile> Bundles<F> {
    /// Whether a pending file gathers or comes in a bundle.
    #[must_use]
    pub fn has(&self, pending: &Pending) -> bool {
        let (index, sequence) = (pending.told_by, pending.entry.sequence);
        let mut coming = self.coming.iter();
        self.runs.has(index, sequence)
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

impl<D: Disk> Peer<D> {
    /// Puts a pending file into a run, if it is to come in a bundle; `Some(false)`: there is no room for more now.
    pub(super) fn gather(
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
    pub(super) fn begin_bundles(&mut self, now: Now, of: Option<PeerSlot>) -> bool {
        let mut all = true;
        for run in self.bundles.runs.all() {
            if of.is_none() || self.slot_of(run.id.index) == of {
                all &= self.begin_bundle(now, &run);
            }
        }
        all
    }

    /// Whose files gather.
    pub(super) fn gathering_peers(&self) -> Vec<PeerSlot> {
        let runs = self.bundles.runs.all();
        runs.iter()
            .filter_map(|run| self.slot_of(run.id.index))
            .collect()
    }

    /// Whether one more bundle may come from a peer: while others are connected, half of all are left to them.
    pub(super) fn has_room_for_bundle(&self, peer: PeerSlot) -> bool {
        let fits = self.bundles.of(peer) < MAX_OF_ONE || !self.engine.has_several_connected();
        let is_free = self.bundles.coming.len() < MAX_COMING;
        fits && (is_free || self.bundle_in_the_way(peer).is_some())
    }

    /// A bundle that makes way for one from this peer: nothing comes of it, and it is one of more than its own peer may have.
    fn bundle_in_the_way(&self, of: PeerSlot) -> Option<usize> {
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
    fn begin_bundle(&mut self, now: Now, run: &Run) -> bool {
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
        if !self.has_room_for_bundle(peer) {
            return false;
        }
        if self.bundles.coming.len() >= MAX_COMING
            && let Some(place) = self.bundle_in_the_way(peer)
        {
            self.drop_bundle(place);
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

    fn take_apart(&mut self, now: Now, index: IndexId, files: impl Iterator<Item = Sequence>) {
        self.bundles.runs.fetch_alone(now.mono, index, files);
        self.plan.restart();
    }

    /// Asks for parts and unpacks a slice. True if there is more to do now.
    pub(super) fn step_bundles(&mut self, now: Now) -> bool {
        if self.store.pending_len() == 0 {
            self.bundles.runs.forget();
        }
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

    fn ask_part(&mut self, place: usize) {
        let Some(coming) = self.bundles.coming.get_mut(place) else {
            return;
        };
        if coming.pull.is_some()
            || self.engine.free_pulls() <= PULLS_FOR_OTHERS
            || !self.engine.has_place_for(coming.peer)
        {
            return;
        }
        let rest = longest(&coming.run)
            .saturating_sub(coming.here)
            .clamp(1, PART);
        let length = u32::try_from(rest).unwrap_or(PART as u32);
        coming.pull = self.engine.pull(Want {
            object: ObjectId::Bundle(coming.run.id),
            start: coming.here,
            length,
            only: Some(coming.peer),
            prefer: None,
        });
        if let Some(pull) = coming.pull {
            self.assembly.expect(pull, length as usize);
            self.uses.set(pull, PullUse::Bundle(coming.run.id));
        }
    }

    fn bundle_of(&self, id: BundleId, pull: PullId) -> Option<usize> {
        let mut coming = self.bundles.coming.iter();
        coming.position(|it| it.run.id == id && it.pull == Some(pull))
    }

    /// A part of a bundle is here.
    pub(super) fn part_came(&mut self, pull: PullId, id: BundleId) {
        let place = self.bundle_of(id, pull);
        let bytes = self.assembly.bytes(pull);
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
        }
    }

    /// A part of a bundle cannot be had.
    pub(super) fn part_failed(&mut self, pull: PullId, id: BundleId, failure: Failure) {
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
            Failure::Gone | Failure::Silent => self.end_bundle(self.now, place),
            Failure::Disconnected => {
                self.drop_bundle(place);
                self.plan.restart();
            }
        }
    }

    /// Unpacks some files. True if nothing is left to unpack.
    fn unpack_slice(
        &mut self,
        now: Now,
        place: usize,
        files: &mut usize,
    ) -> Result<bool, StoreError> {
        let mut budget = SLICE_BYTES;
        let mut bytes = std::mem::take(&mut self.bundles.bytes);
        let done = loop {
            if *files == 0 || budget == 0 || self.is_landing_full() {
                break Ok(false);
            }
            *files -= 1;
            match self.unpack_next(now, place, &mut bytes) {
                Ok(true) => budget = budget.saturating_sub(bytes.len() as u64),
                Ok(false) => break Ok(true),
                Err(error) => break Err(error),
            }
        };
        self.bundles.bytes = bytes;
        done
    }

    /// Unpacks one file. False if there is none left.
    fn unpack_next(
        &mut self,
        now: Now,
        place: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let Some(coming) = self.bundles.coming.get_mut(place) else {
            return Ok(false);
        };
        if coming.unpack.is_none() {
            let file = match self.disk.open(in_download(&coming.name), false) {
                Ok(file) => file,
                Err(error) => {
                    log::warn!("a bundle cannot be unpacked: {error}");
                    coming.excused = true;
                    return Ok(false);
                }
            };
            match UnpackJob::new(file, coming.here) {
                Ok(job) => coming.unpack = Some(job),
                Err(error) => {
                    let peer = coming.peer;
                    log::warn!(
                        "{} sends a bundle that is none: {error}",
                        self.address(peer)
                    );
                    return Ok(false);
                }
            }
        }
        let (run, started) = (coming.run, coming.started);
        let (store, arrived) = (&self.store, &coming.arrived);
        let mut found = Ok(None);
        let wanted = |name: &[u8]| {
            // The index takes only what can be a path.
            proto_core::path::check(name).ok()?;
            found = store.pending(name);
            let pending = found.as_ref().ok()?.as_ref()?;
            let entry = &pending.entry;
            let ours = pending.told_by == run.id.index
                && entry.kind == Kind::File
                && (1..=MAX_MEMBER).contains(&entry.size)
                && run.id.contains(entry.sequence)
                && !arrived.contains(&entry.sequence);
            ours.then_some(entry.size)
        };
        let Some(job) = &mut coming.unpack else {
            return Ok(false);
        };
        let unpacked = job.next(wanted, bytes);
        let pending = found?;
        match (unpacked, pending) {
            (None, _) => Ok(false),
            (Some(Unpacked::File(path)), Some(pending)) => {
                let (content, recipe) = content_of(bytes);
                if content == pending.entry.content {
                    let sequence = pending.entry.sequence;
                    coming.arrived.push(sequence);
                    if !self.take_member(now, started, path, (content, recipe), bytes)? {
                        // The next bundle would not help it.
                        self.take_apart(now, run.id.index, std::iter::once(sequence));
                    }
                } else {
                    let peer = coming.peer;
                    log::warn!(
                        "{} sends wrong bytes of {} in a bundle",
                        self.address(peer),
                        Escaped(&path)
                    );
                }
                Ok(true)
            }
            (Some(_), _) => Ok(true),
        }
    }

    /// A file of a bundle is as it must be. False if it cannot be written.
    fn take_member(
        &mut self,
        now: Now,
        started: Instant,
        path: Vec<u8>,
        (content, recipe): (ContentId, Vec<u8>),
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let name = part_name(content, Some(&path));
        if self.landing.has_path(&path) || self.landing.has_name(&name) {
            return Ok(true);
        }
        match self.write_member(&name, bytes) {
            Ok(file) => {
                if bytes.len() as u64 > u64::from(cut::SMALLEST_CHUNK) {
                    self.store.put_recipe_block(content, 0, &recipe)?;
                }
                let size = bytes.len() as u64;
                self.landing
                    .add_unpacked(now, path, name, (content, size), started, file);
                Ok(true)
            }
            Err(error) => {
                log::warn!("{} cannot be unpacked: {error}", Escaped(&path));
                Ok(false)
            }
        }
    }

    fn write_member(&self, name: &[u8], bytes: &[u8]) -> io::Result<D::File> {
        let at = in_download(name);
        let mut file = self.disk.create(at)?;
        let mut found = file.stat()?;
        if found.links > 1 {
            self.disk.remove_file(at)?;
            file = self.disk.create(at)?;
            found = file.stat()?;
        }
        if found.size > bytes.len() as u64 {
            file.set_len(bytes.len() as u64)?;
        }
        file.write_all_at(0, bytes)?;
        Ok(file)
    }

    /// A bundle that is not whole is asked for from its beginning; if that was done before, its files come one by one.
    fn begin_again(&mut self, now: Now, place: usize) {
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
    fn end_bundle(&mut self, now: Now, place: usize) {
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

    fn drop_bundle(&mut self, place: usize) -> Option<(Run, Vec<Sequence>)> {
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
    pub(super) fn drop_bundles(&mut self) {
        while self.drop_bundle(0).is_some() {}
        self.bundles.runs.clear();
    }
}
