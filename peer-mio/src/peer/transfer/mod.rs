//! Contents on their way to us, a file for each part of the way: begun, the recipe, what is already
//! here, the pieces that are missing, the end.

mod begin;
mod chunk_places;
mod delta;
mod draft;
mod failed;
mod kept;
mod pieces;
mod recipe;
mod retries;
mod serve;
mod space;
mod step;
mod told;
mod verify;
mod write_out;

use crate::clock::Now;
use crate::disk::DiskFile;
use crate::disk::{At, Place};
use crate::jobs::copy::CopyJob;
use crate::jobs::delta::DeltaJob;
use crate::jobs::verify::VerifyJob;
use crate::store::{Store, StoreError};
use begin::Part;
pub use begin::{Begun, MAX_TRANSFERS, part_name};
use chunk_places::ChunkPlaces;
pub use draft::draft_name;
use draft::{Decided, Draft};
use kept::Kept;
use proto_core::boundary::PeerSlot;
use proto_core::content::{ChunkRef, ContentId};
use proto_core::pull::PeerSet;
use proto_core::time::Instant;
use proto_core::wire::BundleId;
pub(super) use recipe::has_recipe;
use recipe::{Mixed, RecipeReader};
use retries::Retries;
use space::SpaceGuard;
pub use space::least_free;
use std::io;

/// Bytes verified or copied in one slice: two to four milliseconds.
const SLICE: usize = 4 * 1024 * 1024;

/// What is remembered of contents that could not be fetched.
#[derive(Debug, Default)]
pub struct Fetching {
    /// When they are tried again.
    pub retries: Retries,
    /// What is verified of them.
    kept: Kept,
    /// Whose recipe is asked for from one peer alone.
    mixed: Mixed,
    /// Which drafts were looked at.
    decided: Decided,
    /// Whether there is room for them.
    space: SpaceGuard,
}

/// A content that is fetched for a path.
#[derive(Clone, Copy, Debug)]
struct Fetched<'a> {
    path: &'a [u8],
    content: ContentId,
}

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
    /// Bytes of chunks that other files held.
    copied: u64,
    /// When it began.
    pub started: Instant,
    /// When something of it last came.
    came_at: Instant,
    told_by: Option<PeerSlot>,
    /// Who sent bytes of it that do not verify.
    wrong: PeerSet,
    file: F,
    /// Whether the partial file was not there before.
    fresh: bool,
    state: State<F>,
    /// The disk is waited for until then.
    not_before: Instant,
    /// It was begun before its content had a name.
    draft: Option<Draft>,
    /// Chunks that are in the file.
    verified: Vec<u64>,
    in_flight: u32,
    /// Nobody has more of it, but others fetch it too.
    is_stuck: bool,
    /// Where its chunks are, once the engine chooses among them.
    chunks: Option<ChunkPlaces>,
    /// The recipe block that was read last.
    block: Option<(u32, Vec<u8>)>,
    written: u64,
    /// How much of it was here when it was written out last, and when that was.
    written_out: u64,
    written_out_at: Instant,
}

#[derive(Debug)]
enum State<F> {
    /// Its recipe comes.
    Recipe(RecipeReader),
    /// Which chunks does the partial file hold already?
    Verify(VerifyJob<F>),
    /// All of it is in another file of ours.
    Copy(CopyJob<F>),
    /// Which chunks do other files hold? `None`: this is to begin.
    Delta(Option<Box<DeltaJob<F>>>),
    /// Chunks are asked for.
    Fetch,
    /// All chunks are in the file.
    Done,
}

impl<F: DiskFile> State<F> {
    /// Whether the disk would have to be waited for.
    fn waits(&self) -> bool {
        match self {
            Self::Verify(job) => job.waits(),
            Self::Copy(job) => job.waits(),
            Self::Delta(Some(job)) => job.waits(),
            _ => false,
        }
    }
}

/// What a pull is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PullUse {
    /// Recipe blocks.
    Recipe(ContentId),
    /// A part of a bundle.
    Bundle(BundleId),
    /// A chunk; without a hash the content is this one chunk.
    Chunk {
        /// Of which content.
        content: ContentId,
        /// Its length and hash.
        chunk: Option<ChunkRef>,
        /// Its place in the recipe.
        place: u32,
        /// Its offset in the content.
        start: u64,
    },
}

impl PullUse {
    fn is_for<F>(&self, transfer: &Transfer<F>) -> bool {
        match self {
            Self::Recipe(content) | Self::Chunk { content, .. } => transfer.fetches(*content),
            Self::Bundle(_) => false,
        }
    }
}

impl<F> Transfer<F> {
    /// One that begins now, of which nothing is here.
    fn new(
        now: Now,
        content: ContentId,
        size: u64,
        path: &[u8],
        name: Vec<u8>,
        part: Part<F>,
        state: State<F>,
    ) -> Self {
        Self {
            content,
            size,
            path: path.to_vec(),
            name,
            here: 0,
            fetched: 0,
            copied: 0,
            started: now.mono,
            came_at: now.mono,
            told_by: None,
            wrong: PeerSet::EMPTY,
            fresh: part.is_fresh(),
            file: part.file,
            state,
            not_before: Instant::ZERO,
            draft: None,
            verified: Vec::new(),
            in_flight: 0,
            is_stuck: false,
            chunks: None,
            block: None,
            written: 0,
            written_out: 0,
            written_out_at: now.mono,
        }
    }

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

    /// Whether the recipe of this content is still coming.
    #[must_use]
    pub fn reads_recipe(&self, content: ContentId) -> bool {
        self.content == content && matches!(self.state, State::Recipe(_))
    }

    /// Where a chunk begins, and what it is.
    fn chunk_from_start(
        &mut self,
        store: &Store,
        place: u32,
    ) -> Result<Option<(u64, ChunkRef)>, StoreError> {
        let Some(chunks) = &self.chunks else {
            return Ok(None);
        };
        chunks.get(store, self.content, &mut self.block, place)
    }
}

fn download(name: &[u8]) -> At<'_> {
    At {
        place: Place::Download,
        path: name,
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
