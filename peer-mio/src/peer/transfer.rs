//! Contents on their way to us: recipe, then what is already here, then the chunks that are missing.

use super::Peer;
use super::objects::read_full;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place};
use crate::jobs::Progress;
use crate::jobs::copy::CopyJob;
use crate::jobs::verify::VerifyJob;
use crate::store::{Pending, Store, StoreError};
use proto_core::boundary::{PeerSlot, PullId};
use proto_core::content::recipe::{self, ContentIdHasher};
use proto_core::content::{ChunkRef, ContentId, cut};
use proto_core::limits::RECIPE_BLOCK_CHUNKS;
use proto_core::path::Escaped;
use proto_core::pull::{Failure, Want};
use proto_core::time::Instant;
use proto_core::wire::ObjectId;
use std::cell::Cell;
use std::io;
use std::ops::ControlFlow;

/// Contents fetched at the same time.
pub const MAX_TRANSFERS: usize = 48;
/// Recipe bytes asked for at once.
const RECIPE_PIECE: u32 = 64 * 1024;
/// Pulls that a content of many chunks leaves free for others.
const PULLS_FOR_OTHERS: usize = 8;
/// Contents copied from here at the same time; each takes 1.25 MB.
const MAX_COPIES: usize = 1;
/// Bytes verified or copied in one slice: two to four milliseconds.
const SLICE: usize = 4 * 1024 * 1024;
/// Bytes written before the kernel is asked to begin writing them to the disk.
const WRITEBACK: u64 = 8 * 1024 * 1024;

/// One content on its way.
#[derive(Debug)]
pub struct Transfer<F> {
    /// What.
    pub content: ContentId,
    /// Bytes.
    pub size: u64,
    /// For which path it was begun.
    pub path: Vec<u8>,
    /// Its name in `download/`.
    pub name: Vec<u8>,
    /// Bytes that are here and verified.
    pub here: u64,
    /// Bytes that came over the network.
    pub fetched: u64,
    /// When it began.
    pub started: Instant,
    told_by: Option<PeerSlot>,
    file: F,
    /// Whether the partial file was not there before.
    fresh: bool,
    state: State<F>,
    /// Chunks that a partial file already held.
    verified: Vec<u64>,
    /// The next chunk to ask for, and where it begins.
    next: u32,
    next_start: u64,
    in_flight: u32,
    /// The recipe block that was read last.
    block: Option<(u32, Vec<u8>)>,
    written: u64,
}

#[derive(Debug)]
enum State<F> {
    /// Recipe blocks before this one are here; they cover so many bytes.
    Recipe {
        block: u32,
        covered: u64,
        hasher: Box<ContentIdHasher>,
        asked: bool,
    },
    /// Which chunks does the partial file hold already?
    Verify(VerifyJob<F>),
    /// All of it is in another file of ours.
    Copy(CopyJob<F>),
    /// Chunks are asked for.
    Fetch,
    /// All chunks are in the file.
    Done,
}

/// What a pull is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PullUse {
    /// Recipe blocks.
    Recipe(ContentId),
    /// A chunk; without a hash the content is this one chunk.
    Chunk {
        /// Of which content.
        content: ContentId,
        /// Its length and hash.
        chunk: Option<ChunkRef>,
        /// Its offset in the content.
        start: u64,
    },
}

impl PullUse {
    fn content(&self) -> ContentId {
        match self {
            Self::Recipe(content) | Self::Chunk { content, .. } => *content,
        }
    }
}

/// What became of a try to begin a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// It is under way.
    Yes,
    /// There is no room for one more now.
    Full,
    /// The same content is on its way for another path; it is copied from there.
    Waits,
    /// The disk refused; the error is noted.
    Failed,
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

impl<F> Transfer<F> {
    /// Whether all chunks are in the file.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The file, when it is done.
    #[must_use]
    pub fn into_file(self) -> F {
        self.file
    }

    /// Whether it asks the network for this content.
    #[must_use]
    pub fn fetches(&self, content: ContentId) -> bool {
        self.content == content && !matches!(self.state, State::Copy(_) | State::Done)
    }

    fn is_verified(&self, chunk: u32) -> bool {
        self.verified
            .get(chunk as usize / 64)
            .is_some_and(|word| word & (1 << (chunk % 64)) != 0)
    }

    /// The chunk at this place of the recipe.
    fn chunk(&mut self, store: &Store, place: u32) -> Result<Option<ChunkRef>, StoreError> {
        chunk_of(store, self.content, &mut self.block, place)
    }
}

/// The chunk at this place of a recipe in the store, with a block kept at hand.
fn chunk_of(
    store: &Store,
    content: ContentId,
    at_hand: &mut Option<(u32, Vec<u8>)>,
    place: u32,
) -> Result<Option<ChunkRef>, StoreError> {
    let per_block = RECIPE_BLOCK_CHUNKS as u32;
    let number = place / per_block;
    if at_hand.as_ref().is_none_or(|(held, _)| *held != number) {
        *at_hand = store
            .recipe_block(content, number)?
            .map(|bytes| (number, bytes));
    }
    let Some((_, bytes)) = at_hand.as_ref().filter(|(held, _)| *held == number) else {
        return Ok(None);
    };
    Ok(recipe::parse_block(bytes)
        .ok()
        .and_then(|mut chunks| chunks.nth((place % per_block) as usize)))
}

/// Whether the store holds all of a content's recipe: its hash is the content's id.
fn has_recipe(store: &Store, content: ContentId, size: u64) -> Result<bool, StoreError> {
    let mut hasher = ContentIdHasher::new();
    let mut covered = 0;
    for number in 0.. {
        let Some(bytes) = store.recipe_block(content, number)? else {
            break;
        };
        let Ok(chunks) = recipe::parse_block(&bytes) else {
            return Ok(false);
        };
        for chunk in chunks {
            hasher.push(&chunk);
            covered += u64::from(chunk.len);
        }
        if covered >= size {
            break;
        }
    }
    Ok(covered == size && hasher.finish() == content)
}

impl<D: Disk> Peer<D> {
    /// Begins to fetch a pending content.
    pub(super) fn begin_transfer(
        &mut self,
        now: Now,
        path: &[u8],
        pending: &Pending,
    ) -> Result<Begun, StoreError> {
        if self.transfers.len() >= MAX_TRANSFERS {
            return Ok(Begun::Full);
        }
        let (content, size) = (pending.entry.content, pending.entry.size);
        let source = if size == 0 || self.distrusted.contains(&content) {
            None
        } else {
            self.find_here(content, size)?
        };
        // What needs no network can be made for many paths at once; what is fetched, only once.
        let from_here = size == 0 || source.is_some();
        if !from_here && self.is_under_way(content) {
            return Ok(Begun::Waits);
        }
        let small = size <= u64::from(cut::SMALLEST_CHUNK);
        if source.is_some()
            && !small
            && self
                .transfers
                .iter()
                .filter(|transfer| matches!(transfer.state, State::Copy(_)))
                .count()
                >= MAX_COPIES
        {
            return Ok(Begun::Full);
        }
        let name = part_name(content, from_here.then_some(path));
        let opened = self.open_part(&name, size).and_then(|(file, fresh)| {
            Ok((
                self.first_state(&name, &file, content, size, source, fresh)?,
                file,
                fresh,
            ))
        });
        let (state, file, fresh) = match opened {
            Ok(opened) => opened,
            Err(StepError::Disk(error)) => {
                self.errors.set_path(
                    path,
                    format!("{} cannot be fetched: {error}", Escaped(path)),
                );
                return Ok(Begun::Failed);
            }
            Err(StepError::Store(error)) => return Err(error),
        };
        log::trace!("fetching {content} ({size} bytes) for {}", Escaped(path));
        self.transfers.push(Transfer {
            content,
            size,
            path: path.to_vec(),
            name,
            here: 0,
            fetched: 0,
            started: now.mono,
            told_by: self.slot_of(pending.told_by),
            file,
            fresh,
            state,
            verified: Vec::new(),
            next: 0,
            next_start: 0,
            in_flight: 0,
            block: None,
            written: 0,
        });
        Ok(Begun::Yes)
    }

    /// What is to be done first for a content.
    fn first_state(
        &mut self,
        name: &[u8],
        file: &D::File,
        content: ContentId,
        size: u64,
        source: Option<D::File>,
        fresh: bool,
    ) -> Result<State<D::File>, StepError> {
        let small = size <= u64::from(cut::SMALLEST_CHUNK);
        match source {
            _ if size == 0 => Ok(State::Done),
            Some(source) if small => {
                if let Err(error) = copy_small(&source, file, content, size) {
                    self.distrusted.insert(content);
                    return Err(error.into());
                }
                Ok(State::Done)
            }
            Some(source) => Ok(State::Copy(CopyJob::new(
                source,
                self.disk.create(download(name))?,
            ))),
            None if small => Ok(State::Fetch),
            None if has_recipe(&self.store, content, size)? => self.verify_or_fetch(name, fresh),
            None => {
                self.store.remove_recipe(content)?;
                Ok(State::Recipe {
                    block: 0,
                    covered: 0,
                    hasher: Box::new(ContentIdHasher::new()),
                    asked: false,
                })
            }
        }
    }

    /// A new file holds nothing to verify.
    fn verify_or_fetch(&self, name: &[u8], fresh: bool) -> Result<State<D::File>, StepError> {
        if fresh {
            return Ok(State::Fetch);
        }
        Ok(State::Verify(VerifyJob::new(
            self.disk.open(download(name), false)?,
        )))
    }

    /// Opens the partial file and whether it is new. One that is linked elsewhere (a crash while it
    /// was swapped with a user's file) is left alone.
    fn open_part(&self, name: &[u8], size: u64) -> Result<(D::File, bool), StepError> {
        let at = download(name);
        let mut file = self.disk.create(at)?;
        if file.stat()?.links > 1 {
            self.disk.remove_file(at)?;
            file = self.disk.create(at)?;
        }
        let before = file.stat()?.size;
        if before > size {
            file.set_len(size)?;
        }
        if size > 0 {
            file.reserve(size)?;
        }
        Ok((file, before == 0))
    }

    /// Another file of ours that holds the content, with its recipe, if there is one.
    fn find_here(&self, content: ContentId, size: u64) -> Result<Option<D::File>, StoreError> {
        let mut source = None;
        let (store, disk) = (&self.store, &self.disk);
        store.paths_of(content, &mut |path| {
            let Ok(Some(local)) = store.get(path).map(|row| row.and_then(|row| row.local)) else {
                return ControlFlow::Continue(());
            };
            let Ok(file) = disk.open(
                At {
                    place: Place::Share,
                    path,
                },
                local.link,
            ) else {
                return ControlFlow::Continue(());
            };
            if file
                .stat()
                .is_ok_and(|stat| stat.size == size && stat.mtime == local.mtime)
            {
                source = Some(file);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        let small = size <= u64::from(cut::SMALLEST_CHUNK);
        Ok(
            if source.is_some() && (small || has_recipe(&self.store, content, size)?) {
                source
            } else {
                None
            },
        )
    }

    /// One slice of verifying or copying, and new requests. True if there is more to do now.
    pub(super) fn step_transfers(&mut self, now: Now) -> bool {
        let mut more = false;
        for place in 0..self.transfers.len() {
            match self.step_transfer(place) {
                Ok(again) => more |= again,
                Err(StepError::Disk(error)) => {
                    self.fail_transfer(place, &error.to_string());
                    return true;
                }
                Err(StepError::Store(error)) => {
                    self.store_failed(&error);
                    return false;
                }
            }
        }
        while let Some(place) = self.transfers.iter().position(Transfer::is_done) {
            let transfer = self.transfers.remove(place);
            self.landing.add(now, transfer);
            more = true;
        }
        more
    }

    fn step_transfer(&mut self, place: usize) -> Result<bool, StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(false);
        };
        let store = &self.store;
        match &mut transfer.state {
            State::Recipe { block, asked, .. } => {
                if *asked {
                    return Ok(false);
                }
                let want = Want {
                    object: ObjectId::Recipe(transfer.content),
                    start: u64::from(*block),
                    length: RECIPE_PIECE,
                    only: None,
                    prefer: transfer.told_by,
                };
                if let Some(pull) = self.engine.pull(want) {
                    *asked = true;
                    self.uses.set(pull, PullUse::Recipe(transfer.content));
                }
                Ok(false)
            }
            State::Verify(job) => {
                let (content, at_hand) = (transfer.content, &mut transfer.block);
                let (verified, here) = (&mut transfer.verified, &mut transfer.here);
                let len = Cell::new(0);
                let progress = job.step(
                    SLICE,
                    &mut |chunk| {
                        let chunk =
                            chunk_of(store, content, at_hand, chunk).map_err(io::Error::other)?;
                        len.set(chunk.map_or(0, |chunk| chunk.len));
                        Ok(chunk)
                    },
                    &mut |chunk, good| {
                        if good {
                            set_bit(verified, chunk);
                            *here += u64::from(len.get());
                        }
                    },
                )?;
                if matches!(progress, Progress::Done(_)) {
                    if transfer.here > 0 {
                        log::info!(
                            "{}: {} of {} bytes are already here",
                            Escaped(&transfer.path),
                            transfer.here,
                            transfer.size
                        );
                    }
                    transfer.state = State::Fetch;
                }
                Ok(true)
            }
            State::Copy(job) => {
                let (content, at_hand) = (transfer.content, &mut transfer.block);
                let copied = job.step(SLICE, &mut |chunk| {
                    chunk_of(store, content, at_hand, chunk).map_err(io::Error::other)
                });
                match copied {
                    Ok(Progress::More) => {}
                    Ok(Progress::Done(_)) => {
                        transfer.here = transfer.size;
                        transfer.state = State::Done;
                    }
                    Err(error) => {
                        // It is not what the index says: the next try asks the network.
                        self.distrusted.insert(content);
                        return Err(StepError::Disk(error));
                    }
                }
                Ok(true)
            }
            State::Fetch => self.ask_chunks(place),
            State::Done => Ok(false),
        }
    }

    /// Asks for chunks as long as there is room for them.
    fn ask_chunks(&mut self, place: usize) -> Result<bool, StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(false);
        };
        let small = transfer.size <= u64::from(cut::SMALLEST_CHUNK);
        while transfer.next_start < transfer.size {
            let chunk = if small {
                None
            } else {
                transfer.chunk(&self.store, transfer.next)?
            };
            let len = match chunk {
                Some(chunk) => chunk.len,
                None if small => transfer.size as u32,
                None => {
                    return Err(StepError::Disk(io::Error::other(
                        "the recipe is incomplete",
                    )));
                }
            };
            if !transfer.is_verified(transfer.next) {
                if self.engine.free_pulls()
                    <= if transfer.in_flight > 0 {
                        PULLS_FOR_OTHERS
                    } else {
                        0
                    }
                    || !self.assembly.has_room(len as usize)
                {
                    return Ok(false);
                }
                let want = Want {
                    object: ObjectId::Content(transfer.content),
                    start: transfer.next_start,
                    length: len,
                    only: None,
                    prefer: transfer.told_by,
                };
                let Some(pull) = self.engine.pull(want) else {
                    return Ok(false);
                };
                self.assembly.reserve(pull, len as usize);
                self.uses.set(
                    pull,
                    PullUse::Chunk {
                        content: transfer.content,
                        chunk,
                        start: transfer.next_start,
                    },
                );
                transfer.in_flight += 1;
            }
            transfer.next += 1;
            transfer.next_start += u64::from(len);
        }
        if transfer.in_flight == 0 {
            transfer.state = State::Done;
        }
        Ok(transfer.is_done())
    }

    /// A recipe or chunk is complete.
    pub(super) fn pull_complete(&mut self, pull: PullId) {
        let Some(used) = self.uses.get(pull) else {
            self.end_pull(pull);
            return;
        };
        let Some(place) = self
            .transfers
            .iter()
            .position(|transfer| transfer.fetches(used.content()))
        else {
            self.end_pull(pull);
            return;
        };
        let taken = match used {
            PullUse::Recipe(_) => self.take_recipe(place, pull),
            PullUse::Chunk { chunk, start, .. } => self.take_chunk(place, pull, chunk, start),
        };
        match taken {
            Ok(()) => {}
            Err(StepError::Disk(error)) => self.fail_transfer(place, &error.to_string()),
            Err(StepError::Store(error)) => {
                self.end_pull(pull);
                self.store_failed(&error);
            }
        }
    }

    fn take_recipe(&mut self, place: usize, pull: PullId) -> Result<(), StepError> {
        let bytes = self.assembly.bytes(pull).to_vec();
        self.end_pull(pull);
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(());
        };
        let State::Recipe {
            block,
            covered,
            hasher,
            asked,
        } = &mut transfer.state
        else {
            return Ok(());
        };
        *asked = false;
        for part in bytes.chunks(RECIPE_BLOCK_CHUNKS * recipe::CHUNK_REF_LEN) {
            let chunks = recipe::parse_block(part)
                .map_err(|_| io::Error::other("a peer sent a recipe that cannot be read"))?;
            for chunk in chunks {
                hasher.push(&chunk);
                *covered += u64::from(chunk.len);
            }
            self.store
                .put_recipe_block(transfer.content, *block, part)?;
            *block += 1;
        }
        if *covered < transfer.size && !bytes.is_empty() {
            return Ok(());
        }
        if *covered != transfer.size || hasher.finish() != transfer.content {
            self.store.remove_recipe(transfer.content)?;
            return Err(StepError::Disk(io::Error::other(
                "a peer sent a recipe of another content",
            )));
        }
        let (name, fresh) = (transfer.name.clone(), transfer.fresh);
        let state = self.verify_or_fetch(&name, fresh)?;
        if let Some(transfer) = self.transfers.get_mut(place) {
            transfer.state = state;
        }
        Ok(())
    }

    fn take_chunk(
        &mut self,
        place: usize,
        pull: PullId,
        chunk: Option<ChunkRef>,
        start: u64,
    ) -> Result<(), StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(());
        };
        let bytes = self.assembly.bytes(pull);
        let hash = recipe::hash_chunk(bytes);
        let len = bytes.len() as u32;
        let good = match chunk {
            Some(chunk) => chunk.len == len && chunk.hash == hash,
            None => recipe::single_chunk(len, hash) == transfer.content,
        };
        if !good {
            log::warn!(
                "{}: a chunk did not verify and is asked for again",
                Escaped(&transfer.path)
            );
            self.engine.corrupt(pull);
            return Ok(());
        }
        transfer.file.write_all_at(start, bytes)?;
        transfer.here += u64::from(len);
        transfer.fetched += u64::from(len);
        transfer.in_flight = transfer.in_flight.saturating_sub(1);
        if transfer.here - transfer.written >= WRITEBACK {
            transfer.written = transfer.here;
            transfer.file.start_writeback(
                (start + u64::from(len)).saturating_sub(WRITEBACK),
                WRITEBACK,
            );
        }
        self.end_pull(pull);
        Ok(())
    }

    /// A piece cannot be had now: its transfer ends; what is here stays in `download/`.
    pub(super) fn pull_failed(&mut self, pull: PullId, failure: Failure) {
        log::trace!("pull {pull:?} failed: {failure:?}");
        let used = self.uses.take(pull);
        self.assembly.release(pull);
        let Some(used) = used else { return };
        if let Some(place) = self
            .transfers
            .iter()
            .position(|transfer| transfer.fetches(used.content()))
        {
            match failure {
                Failure::Gone => self.fail_transfer(place, "no connected peer has it now"),
                Failure::Disconnected => self.end_transfer(place),
            }
        }
    }

    fn fail_transfer(&mut self, place: usize, why: &str) {
        if let Some(path) = self
            .transfers
            .get(place)
            .map(|transfer| transfer.path.clone())
        {
            self.errors.set_path(
                &path,
                format!("{} cannot be fetched: {why}", Escaped(&path)),
            );
        }
        self.end_transfer(place);
    }

    pub(super) fn end_transfer(&mut self, place: usize) {
        if place >= self.transfers.len() {
            return;
        }
        let transfer = self.transfers.remove(place);
        for pull in self.uses.of(|used| transfer.fetches(used.content())) {
            self.engine.cancel(pull);
            self.assembly.release(pull);
            self.uses.take(pull);
        }
        self.plan.retry_later();
    }

    fn end_pull(&mut self, pull: PullId) {
        self.engine.finish(pull);
        self.assembly.release(pull);
        self.uses.take(pull);
    }
}

/// Copies a content of one small chunk, if the source still holds it.
fn copy_small<F: DiskFile>(source: &F, file: &F, content: ContentId, size: u64) -> io::Result<()> {
    let mut bytes = vec![
        0;
        usize::try_from(size)
            .unwrap_or(0)
            .min(cut::SMALLEST_CHUNK as usize)
    ];
    let read = read_full(source, 0, &mut bytes)?;
    if read as u64 != size
        || recipe::single_chunk(read as u32, recipe::hash_chunk(&bytes)) != content
    {
        return Err(io::Error::other("it changed here while it was copied"));
    }
    file.write_all_at(0, &bytes)
}

fn download(name: &[u8]) -> At<'_> {
    At {
        place: Place::Download,
        path: name,
    }
}

fn set_bit(bits: &mut Vec<u64>, at: u32) {
    let word = at as usize / 64;
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    if let Some(word) = bits.get_mut(word) {
        *word |= 1 << (at % 64);
    }
}

/// What stops a step.
#[derive(Debug)]
enum StepError {
    /// This transfer only.
    Disk(io::Error),
    /// The index.
    Store(StoreError),
}

impl From<io::Error> for StepError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
