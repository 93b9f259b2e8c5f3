//! The recipe: fetched block by block, and read from the store while the chunks come.

use super::retries::Cause;
use super::{PullUse, State, StepError, Transfer};
use crate::disk::Disk;
use crate::peer::Peer;
use crate::store::{Store, StoreError};
use proto_core::boundary::{PeerSlot, PullId};
use proto_core::content::cut::{self, Params};
use proto_core::content::recipe::{self, ContentIdHasher, MAX_RECIPE_BLOCK};
use proto_core::content::{ChunkRef, ContentId};
use proto_core::limits::RECIPE_BLOCK_CHUNKS;
use proto_core::pull::{PeerSet, Want};
use proto_core::wire::ObjectId;
use std::collections::BTreeMap;

/// Recipe bytes asked for at once.
const RECIPE_PIECE: u32 = 64 * 1024;

/// A block of a recipe in the store, with one kept at hand.
pub(super) fn block_of<'a>(
    store: &Store,
    content: ContentId,
    at_hand: &'a mut Option<(u32, Vec<u8>)>,
    number: u32,
) -> Result<Option<&'a [u8]>, StoreError> {
    if at_hand.as_ref().is_none_or(|(held, _)| *held != number) {
        *at_hand = store
            .recipe_block(content, number)?
            .map(|bytes| (number, bytes));
    }
    Ok(at_hand.as_ref().map(|(_, bytes)| bytes.as_slice()))
}

/// The chunk at this place of a recipe in the store, with a block kept at hand.
pub(super) fn chunk_of(
    store: &Store,
    content: ContentId,
    at_hand: &mut Option<(u32, Vec<u8>)>,
    place: u32,
) -> Result<Option<ChunkRef>, StoreError> {
    let per_block = RECIPE_BLOCK_CHUNKS as u32;
    let block = block_of(store, content, at_hand, place / per_block)?;
    let chunks = block.and_then(|bytes| recipe::parse_block(bytes).ok());
    Ok(chunks.and_then(|mut chunks| chunks.nth((place % per_block) as usize)))
}

/// Whether the store holds all of a content's recipe: its hash is the content's id. One small chunk needs none.
pub(in crate::peer) fn has_recipe(
    store: &Store,
    content: ContentId,
    size: u64,
) -> Result<bool, StoreError> {
    if size <= u64::from(cut::SMALLEST_CHUNK) {
        return Ok(true);
    }
    let mut hasher = ContentIdHasher::new();
    let mut covered = 0;
    for number in 0.. {
        let Some(bytes) = store.recipe_block(content, number)? else {
            break;
        };
        let Ok(chunks) = recipe::parse_block(&bytes) else {
            return Ok(false);
        };
        let full = chunks.len() == RECIPE_BLOCK_CHUNKS;
        for chunk in chunks {
            hasher.push(&chunk);
            covered += u64::from(chunk.len);
        }
        if covered >= size {
            break;
        }
        if !full {
            // The id is over the chunks; their places are counted in full blocks.
            return Ok(false);
        }
    }
    Ok(covered == size && hasher.finish() == content)
}

/// Chunks that a content of this size can have: all but the last are of the least length (docs/protocol.md,
/// "Contents"). So what is kept of a recipe before it verifies is bounded.
fn most_chunks(size: u64) -> u64 {
    size / Params::for_size(size).min() as u64 + 1
}

/// Of a recipe what is here: its blocks up to one.
#[derive(Debug, Default)]
pub(super) struct RecipeReader {
    /// The next one.
    block: u32,
    /// Bytes of the content that those before it cover.
    covered: u64,
    hasher: Box<ContentIdHasher>,
    asked: bool,
    /// Who sent them.
    from: PeerSet,
}

impl RecipeReader {
    /// The block that is missing first.
    pub fn block(&self) -> u32 {
        self.block
    }

    /// Bytes of the content that those before it cover.
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// The content whose recipe these blocks are.
    pub fn content(&self) -> ContentId {
        self.hasher.finish()
    }

    /// The next blocks are asked for.
    pub fn asked(&mut self) {
        self.asked = true;
    }

    /// The next blocks, if they are not asked for: up to the `end`th, if that is known.
    pub fn want(
        &self,
        content: ContentId,
        end: Option<u32>,
        only: Option<PeerSlot>,
        prefer: Option<PeerSlot>,
    ) -> Option<Want> {
        let left = end.map_or(u32::MAX, |end| end.saturating_sub(self.block));
        let length = left.saturating_mul(MAX_RECIPE_BLOCK as u32);
        (!self.asked).then_some(Want {
            object: ObjectId::Recipe(content),
            start: u64::from(self.block),
            length: length.min(RECIPE_PIECE),
            only,
            prefer,
        })
    }

    /// Reads blocks that came of the recipe of a content of `size` bytes; false if they are none: the fault of who sent just
    /// these.
    pub fn read(
        &mut self,
        size: u64,
        bytes: &[u8],
        senders: PeerSet,
        put: &mut impl FnMut(u32, &[u8]) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        self.asked = false;
        senders.iter().for_each(|peer| self.from.insert(peer));
        for part in bytes.chunks(MAX_RECIPE_BLOCK) {
            let Ok(chunks) = recipe::parse_block(part) else {
                return Ok(false);
            };
            let before = self.block as usize * RECIPE_BLOCK_CHUNKS;
            if (before + chunks.len()) as u64 > most_chunks(size) {
                return Ok(false);
            }
            let full = chunks.len() == RECIPE_BLOCK_CHUNKS;
            let longest = Params::for_size(size).max();
            for chunk in chunks {
                if chunk.len as usize > longest {
                    return Ok(false);
                }
                self.hasher.push(&chunk);
                self.covered += u64::from(chunk.len);
            }
            if !full && self.covered < size {
                // The id is over the chunks; their places are counted in full blocks.
                return Ok(false);
            }
            put(self.block, part)?;
            self.block += 1;
        }
        Ok(true)
    }
}

impl<D: Disk> Peer<D> {
    /// Asks for the next blocks, if they are not asked for yet.
    pub(super) fn ask_recipe(&mut self, place: usize) {
        let Some(transfer) = self.transfers.get(place) else {
            return;
        };
        let State::Recipe(recipe) = &transfer.state else {
            return;
        };
        let (content, told_by, wrong) = (transfer.content, transfer.told_by, transfer.wrong);
        if told_by.is_some_and(|peer| !self.engine.has_place_for(peer)) {
            return;
        }
        let Some(want) = recipe.want(content, None, self.recipe_source(content), told_by) else {
            return;
        };
        let Some(pull) = self.engine.pull_without(want, wrong) else {
            return;
        };
        self.uses.set(pull, PullUse::Recipe(content));
        if let Some(State::Recipe(recipe)) = self
            .transfers
            .get_mut(place)
            .map(|transfer| &mut transfer.state)
        {
            recipe.asked();
        }
    }

    pub(super) fn take_recipe(&mut self, place: usize, pull: PullId) -> Result<(), StepError> {
        let bytes = self.assembly.bytes(pull).to_vec();
        let senders = self.engine.senders(pull);
        self.end_pull(pull);
        if self.transfers.get(place).is_some_and(Transfer::is_unnamed) {
            return self.take_draft_recipe(place, &bytes, senders);
        }
        match self.add_to_recipe(place, &bytes, senders)? {
            Added::More => {}
            Added::Whole => {
                let Some(transfer) = self.transfers.get(place) else {
                    return Ok(());
                };
                let state = self.verify_or_delta(&transfer.name, transfer.size, transfer.fresh)?;
                if let Some(transfer) = self.transfers.get_mut(place) {
                    transfer.state = state;
                }
            }
            Added::Wrong(from) => self.recipe_is_wrong(place, from)?,
        }
        Ok(())
    }

    fn add_to_recipe(
        &mut self,
        place: usize,
        bytes: &[u8],
        senders: PeerSet,
    ) -> Result<Added, StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(Added::More);
        };
        let State::Recipe(recipe) = &mut transfer.state else {
            return Ok(Added::More);
        };
        transfer.came_at = self.now.mono;
        let (content, store) = (transfer.content, &mut self.store);
        let read = recipe.read(transfer.size, bytes, senders, &mut |number, block| {
            store.put_recipe_block(content, number, block)
        })?;
        if !read {
            return Ok(Added::Wrong(senders));
        }
        if recipe.covered < transfer.size && !bytes.is_empty() {
            return Ok(Added::More);
        }
        let good = recipe.covered == transfer.size && recipe.content() == transfer.content;
        Ok(if good {
            Added::Whole
        } else {
            Added::Wrong(recipe.from)
        })
    }

    /// The recipe is asked for again, from others than who sent it.
    fn recipe_is_wrong(&mut self, place: usize, from: PeerSet) -> Result<(), StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(());
        };
        transfer.state = State::Recipe(RecipeReader::default());
        self.store.remove_recipe(transfer.content)?;
        if from.single().is_none() {
            // It is not known which of them is wrong: the next time all of it comes from one.
            self.fetching.mixed.note(transfer.content);
            self.fail_transfer(place, Cause::Wrong, "its recipe does not verify");
            return Ok(());
        }
        self.sent_wrong_bytes(place, from);
        Ok(())
    }
}

impl<D: Disk> Peer<D> {
    /// From whom alone a recipe is asked for, another one with each try, if what several sent of it did not verify.
    fn recipe_source(&self, content: ContentId) -> Option<PeerSlot> {
        let tries = self.fetching.mixed.tries(content)?;
        let slots = || {
            (0..self.config.peers.len())
                .filter_map(PeerSlot::new)
                .filter(|peer| self.engine.connected_index(*peer).is_some())
        };
        slots().nth(tries % slots().count().max(1))
    }
}

/// Contents whose recipe came from several peers and did not verify, and how often they were tried.
#[derive(Debug, Default)]
pub struct Mixed {
    tries: BTreeMap<ContentId, usize>,
}

impl Mixed {
    /// Contents remembered; beyond it all are forgotten.
    const MOST: usize = 64;

    fn note(&mut self, content: ContentId) {
        if self.tries.len() >= Self::MOST {
            self.tries.clear();
        }
        *self.tries.entry(content).or_default() += 1;
    }

    fn tries(&self, content: ContentId) -> Option<usize> {
        self.tries.get(&content).copied()
    }

    /// One that was asked alone has not got it, or sent something else.
    pub fn next(&mut self, content: ContentId) {
        if let Some(tries) = self.tries.get_mut(&content) {
            *tries = tries.wrapping_add(1);
        }
    }
}

/// What became of a part of a recipe.
enum Added {
    /// More is to come.
    More,
    /// That was the last one, and all verify.
    Whole,
    /// It is none, or they do not verify; from whom they came.
    Wrong(PeerSet),
}
