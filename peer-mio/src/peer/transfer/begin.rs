//! The begin: what has to be done for a content, and the partial file that it gathers in.

use super::recipe::{RecipeReader, has_recipe};
use super::retries::Cause;
use super::{Fetched, State, StepError, Transfer, download};
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, Stat};
use crate::jobs::copy::CopyJob;
use crate::jobs::fill;
use crate::peer::Peer;
use crate::peer::backlog::IN_THE_WAY;
use crate::store::{Pending, StoreError};
use proto_core::boundary::PeerSlot;
use proto_core::content::recipe;
use proto_core::content::{ContentId, cut};
use proto_core::index::entry::Timestamp;
use proto_core::path::Escaped;
use proto_core::time::Instant;
use std::io;
use std::ops::ControlFlow;

/// Contents fetched at the same time.
pub const MAX_TRANSFERS: usize = 48;
/// Contents copied from here at the same time, as a whole or in parts; each takes 1.25 MiB or 384 KiB and a chunk.
pub(super) const MAX_COPIES: usize = 1;

/// What became of a try to begin a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// It is under way.
    Yes,
    /// There is no room for one more now.
    Full,
    /// There is none for one more from this peer.
    Crowded,
    /// The same content is on its way for another path; it is copied from there.
    Waits,
    /// The disk refused; the error is noted.
    Failed,
    /// It failed before: not to be tried again before this.
    Paused(Instant),
    /// No peer is connected.
    NoPeer,
    /// The disk is nearly full; that is noted.
    NoRoom,
}

/// Name of a content that is not complete, in `download/`; a copy for one path has a name of its own.
#[must_use]
pub fn part_name(content: ContentId, copy_for: Option<&[u8]>) -> Vec<u8> {
    match copy_for {
        None => format!("{content}.part").into_bytes(),
        Some(path) => format!(
            "{content}-{}.part",
            blake3::hash(path).to_hex().get(..16).unwrap_or_default()
        )
        .into_bytes(),
    }
}

/// Contents of which our own files are not what the index says, at most.
const MAX_DISTRUSTED: usize = 1024;

/// An open partial file.
pub(super) struct Part<F> {
    pub file: F,
    /// What it was when it was opened.
    found: Stat,
}

impl<F> Part<F> {
    /// A new file holds nothing to verify.
    pub fn is_fresh(&self) -> bool {
        self.found.size == 0
    }
}

impl<D: Disk> Peer<D> {
    /// Begins to fetch a pending content.
    pub(in crate::peer) fn begin_transfer(
        &mut self,
        now: Now,
        path: &[u8],
        pending: &Pending,
    ) -> Result<Begun, StoreError> {
        if self.is_landing_full() {
            return Ok(Begun::Full);
        }
        let (content, size) = (pending.entry.content, pending.entry.size);
        let told_by = self.slot_of(pending.told_by);
        let told_by = self.first_source(&Fetched { path, content }, told_by);
        if self.transfers.len() >= self.open_files.transfers
            && self.transfer_in_the_way(told_by).is_none()
        {
            return Ok(Begun::Crowded);
        }
        let pause = self.fetching.retries.pause(now.mono, path, content);
        if let Some((until, Cause::Fault)) = pause {
            return Ok(Begun::Paused(until));
        }
        let source = if size == 0 || self.distrusted.contains(&content) {
            None
        } else {
            self.find_here(content, size)?
        };
        // What needs no network can be made for many paths at once; what is fetched, only once.
        let from_here = size == 0 || source.is_some();
        if !from_here && self.is_under_way(content) {
            let claimed = self.claim_draft(path, content)?;
            return Ok(if claimed { Begun::Yes } else { Begun::Waits });
        }
        if !from_here && !self.engine.is_any_connected() {
            return Ok(Begun::NoPeer);
        }
        if !from_here && let Some((until, _)) = pause {
            return Ok(Begun::Paused(until));
        }
        if !from_here && !self.has_room_for_transfer(told_by) {
            return Ok(Begun::Crowded);
        }
        let small = size <= u64::from(cut::SMALLEST_CHUNK);
        if source.is_some() && !small && self.copies() >= MAX_COPIES {
            return Ok(Begun::Full);
        }
        let own_name = part_name(content, Some(path));
        // What was whole once and did not land.
        let is_left = || {
            download_stat(&self.disk, &own_name).is_some_and(|part| size > 0 && part.size == size)
        };
        let name = if from_here || is_left() {
            own_name
        } else {
            part_name(content, None)
        };
        if !from_here {
            self.adopt_draft(path, size, &name);
        }
        if !self.has_room(now, &name, size) {
            return Ok(Begun::NoRoom);
        }
        if self.transfers.len() >= self.open_files.transfers
            && let Some(place) = self.transfer_in_the_way(told_by)
        {
            self.give_way(place);
        }
        let opened = self.open_part(&name, size).and_then(|part| {
            let state = self.first_state(&name, &part, content, size, source)?;
            Ok((state, part))
        });
        let (mut state, part) = match opened {
            Ok(opened) => opened,
            Err(StepError::Disk(error)) => {
                let sentence = format!("{} cannot be fetched: {error}", Escaped(path));
                self.fetch_failed(&Fetched { path, content }, Cause::Fault, sentence);
                return Ok(Begun::Failed);
            }
            Err(StepError::Store(error)) => return Err(error),
        };
        let kept = if matches!(state, State::Verify(_)) {
            self.fetching.kept.take(content, &part.found)
        } else {
            None
        };
        if kept.is_some() {
            state = State::Fetch;
        }
        let (verified, here) = kept.unwrap_or_default();
        log::trace!("fetching {content} ({size} bytes) for {}", Escaped(path));
        let begun = Transfer::new(now, content, size, path, name, part, state);
        self.transfers.push(Transfer {
            here,
            verified,
            told_by,
            written: here,
            written_out: here,
            ..begun
        });
        Ok(Begun::Yes)
    }

    /// Whether one more content may be fetched that a peer is asked for first: while others are connected, half of all are
    /// left to them.
    pub(in crate::peer) fn has_room_for_transfer(&self, from: Option<PeerSlot>) -> bool {
        let fits = from.is_none()
            || !self.engine.has_several_connected()
            || self.fetched_from(from) < self.open_files.transfers / 2;
        fits && (self.transfers.len() < self.open_files.transfers
            || self.transfer_in_the_way(from).is_some())
    }

    /// Transfers of what a peer told, or nobody; without those that are stuck.
    pub(in crate::peer) fn fetched_from(&self, peer: Option<PeerSlot>) -> usize {
        let transfers = self.transfers.iter();
        transfers
            .filter(|it| it.told_by == peer && it.fetches(it.content) && !it.is_stuck)
            .count()
    }

    /// A transfer that makes way for one from this peer: nothing comes of it, and it is stuck, or one of more than its own peer
    /// may have.
    fn transfer_in_the_way(&self, of: Option<PeerSlot>) -> Option<usize> {
        let waits = |it: &Transfer<D::File>| {
            it.fetches(it.content) && self.now.mono.saturating_since(it.came_at) >= IN_THE_WAY
        };
        let stuck = self
            .transfers
            .iter()
            .position(|it| it.is_stuck && waits(it));
        let others = || {
            let too_many = |it: &Transfer<D::File>| {
                self.fetched_from(it.told_by) > self.open_files.transfers / 2
            };
            let mut transfers = self.transfers.iter();
            let place = transfers.position(|it| it.told_by != of && waits(it) && too_many(it));
            place.filter(|_| self.engine.has_several_connected())
        };
        stuck.or_else(others)
    }

    /// What is to be done first for a content.
    fn first_state(
        &mut self,
        name: &[u8],
        part: &Part<D::File>,
        content: ContentId,
        size: u64,
        source: Option<D::File>,
    ) -> Result<State<D::File>, StepError> {
        let small = size <= u64::from(cut::SMALLEST_CHUNK);
        match source {
            _ if size == 0 => Ok(State::Done),
            Some(source) if small => {
                if let Err(error) = copy_small(&source, &part.file, content, size) {
                    self.distrust(content);
                    return Err(error.into());
                }
                Ok(State::Done)
            }
            Some(source) => Ok(State::Copy(CopyJob::new(
                source,
                self.disk.create(download(name))?,
                size,
            ))),
            None if small => {
                let is_whole = !part.is_fresh() && read_small(&part.file, content, size).is_ok();
                Ok(if is_whole { State::Done } else { State::Fetch })
            }
            None if has_recipe(&self.store, content, size)? => {
                self.verify_or_delta(name, size, part.is_fresh())
            }
            None => {
                self.store.remove_recipe(content)?;
                Ok(State::Recipe(RecipeReader::default()))
            }
        }
    }

    /// Opens the partial file. One that is linked elsewhere (a crash while it
    /// was swapped with a user's file) is left alone.
    pub(super) fn open_part(&self, name: &[u8], size: u64) -> Result<Part<D::File>, StepError> {
        let at = download(name);
        let mut file = self.disk.create(at)?;
        if file.stat()?.links > 1 {
            self.disk.remove_file(at)?;
            file = self.disk.create(at)?;
        }
        let found = file.stat()?;
        if found.size > size {
            file.set_len(size)?;
        }
        // What is written at once finds out by itself whether there is room.
        if size > u64::from(cut::SMALLEST_CHUNK) {
            file.reserve(size)?;
        }
        Ok(Part { file, found })
    }

    /// A content is fetched from now on, not copied from here.
    pub(super) fn distrust(&mut self, content: ContentId) {
        if self.distrusted.len() >= MAX_DISTRUSTED {
            // Those whose files are still wrong are found out again.
            self.distrusted.clear();
        }
        self.distrusted.insert(content);
    }

    /// Contents that are being copied from here.
    pub(super) fn copies(&self) -> usize {
        let copies =
            |state: &State<D::File>| matches!(state, State::Copy(_) | State::Delta(Some(_)));
        let transfers = self.transfers.iter();
        transfers.filter(|transfer| copies(&transfer.state)).count()
    }

    /// Whether a content need not come over the network.
    pub(in crate::peer) fn is_here(
        &self,
        content: ContentId,
        size: u64,
    ) -> Result<bool, StoreError> {
        Ok(!self.distrusted.contains(&content) && self.find_here(content, size)?.is_some())
    }

    /// Whether a content could not be fetched for a path lately.
    pub(in crate::peer) fn is_paused(&self, now: Now, path: &[u8], content: ContentId) -> bool {
        let retries = &self.fetching.retries;
        retries.pause(now.mono, path, content).is_some()
    }

    /// A file of ours that holds the content, with its recipe, if there is one.
    fn find_here(&self, content: ContentId, size: u64) -> Result<Option<D::File>, StoreError> {
        if !has_recipe(&self.store, content, size)? {
            return Ok(None);
        }
        self.find_same(content, size)
    }

    /// A file in `share/` or in the trash that should hold the content.
    pub(super) fn find_same(
        &self,
        content: ContentId,
        size: u64,
    ) -> Result<Option<D::File>, StoreError> {
        let mut source = None;
        let (store, disk) = (&self.store, &self.disk);
        store.paths_of(content, &mut |path| {
            let local = store.get(path).map(|row| row.and_then(|row| row.local));
            let Ok(Some(local)) = local else {
                return ControlFlow::Continue(());
            };
            let place = Place::Share;
            match open_same(
                disk,
                At { place, path },
                local.link,
                size,
                Some(local.mtime),
            ) {
                None => ControlFlow::Continue(()),
                found => {
                    source = found;
                    ControlFlow::Break(())
                }
            }
        })?;
        if source.is_some() {
            return Ok(source);
        }
        store.trashed(content, &mut |path| {
            let place = Place::Trash;
            source = open_same(disk, At { place, path }, false, size, None);
            if source.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(source)
    }
}

/// Opens a file if it is there as it should be.
fn open_same<D: Disk>(
    disk: &D,
    at: At<'_>,
    follow: bool,
    size: u64,
    mtime: Option<Timestamp>,
) -> Option<D::File> {
    let file = disk.open(at, follow).ok()?;
    let stat = file.stat().ok()?;
    (stat.size == size && mtime.is_none_or(|mtime| stat.mtime == mtime)).then_some(file)
}

/// What the partial file of this name is, if it is one of ours.
pub(super) fn download_stat<D: Disk>(disk: &D, name: &[u8]) -> Option<Stat> {
    let stat = disk.stat(download(name)).ok()?;
    (stat.kind == FileKind::File && stat.links == 1).then_some(stat)
}

/// Copies a content of one small chunk, if the source still holds it.
fn copy_small<F: DiskFile>(source: &F, file: &F, content: ContentId, size: u64) -> io::Result<()> {
    file.write_all_at(0, &read_small(source, content, size)?)
}

/// A content of one small chunk, if a file holds it.
fn read_small(file: &impl DiskFile, content: ContentId, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![
        0;
        usize::try_from(size)
            .unwrap_or(0)
            .min(cut::SMALLEST_CHUNK as usize)
    ];
    let read = fill(file, 0, &mut bytes)?;
    if read as u64 != size
        || recipe::single_chunk(read as u32, recipe::hash_chunk(&bytes)) != content
    {
        return Err(io::Error::other("it changed here while it was copied"));
    }
    Ok(bytes)
}
