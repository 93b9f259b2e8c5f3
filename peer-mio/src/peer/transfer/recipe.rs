//! The recipe: fetched block by block, and read from the store while the chunks come.

use super::retries::Cause;
use super::{PullUse, State, StepError};
use crate::disk::Disk;
use crate::peer::Peer;
use crate::store::{Store, StoreError};
use proto_core::boundary::{PeerSlot, PullId};
use proto_core::content::cut::Params;
use proto_core::content::recipe::{self, ContentIdHasher};
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

/// Whether the store holds all of a content's recipe: its hash is the content's id.
pub(super) fn has_recipe(store: &Store, content: ContentId, size: u64) -> Result<bool, StoreError> {
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

impl<D: Disk> Peer<D> {
    /// Asks for the next blocks, if they are not asked for yet.
    pub(super) fn ask_recipe(&mut self, place: usize) {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return;
        };
        let State::Recipe { block, asked, .. } = &mut transfer.state else {
            return;
        };
        if *asked {
            return;
        }
        let (block, content) = (*block, transfer.content);
        let (told_by, wrong) = (transfer.told_by, transfer.wrong);
        if told_by.is_some_and(|peer| !self.engine.has_place_for(peer)) {
            return;
        }
        let want = Want {
            object: ObjectId::Recipe(content),
            start: u64::from(block),
            length: RECIPE_PIECE,
            only: self.recipe_source(content),
            prefer: told_by,
        };
        let Some(pull) = self.engine.pull_without(want, wrong) else {
            return;
        };
        self.uses.set(pull, PullUse::Recipe(content));
        if let Some(State::Recipe { asked, .. }) = self
            .transfers
            .get_mut(place)
            .map(|transfer| &mut transfer.state)
        {
            *asked = true;
        }
    }

    pub(super) fn take_recipe(&mut self, place: usize, pull: PullId) -> Result<(), StepError> {
        let bytes = self.assembly.bytes(pull).to_vec();
        let senders = self.engine.senders(pull);
        self.end_pull(pull);
        match self.add_to_recipe(place, &bytes, senders)? {
            Added::More => {}
            Added::Whole => {
                let Some(transfer) = self.transfers.get(place) else {
                    return Ok(());
                };
                let state = self.verify_or_delta(&transfer.name, transfer.fresh)?;
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
        let State::Recipe {
            block,
            covered,
            hasher,
            asked,
            from,
        } = &mut transfer.state
        else {
            return Ok(Added::More);
        };
        *asked = false;
        transfer.came_at = self.now.mono;
        senders.iter().for_each(|peer| from.insert(peer));
        for part in bytes.chunks(RECIPE_BLOCK_CHUNKS * recipe::CHUNK_REF_LEN) {
            // What is wrong in itself is the fault of who sent just this.
            let Ok(chunks) = recipe::parse_block(part) else {
                return Ok(Added::Wrong(senders));
            };
            let before = *block as usize * RECIPE_BLOCK_CHUNKS;
            if (before + chunks.len()) as u64 > most_chunks(transfer.size) {
                return Ok(Added::Wrong(senders));
            }
            let full = chunks.len() == RECIPE_BLOCK_CHUNKS;
            let longest = Params::for_size(transfer.size).max();
            for chunk in chunks {
                if chunk.len as usize > longest {
                    return Ok(Added::Wrong(senders));
                }
                hasher.push(&chunk);
                *covered += u64::from(chunk.len);
            }
            if !full && *covered < transfer.size {
                // The id is over the chunks; their places are counted in full blocks.
                return Ok(Added::Wrong(senders));
            }
            self.store
                .put_recipe_block(transfer.content, *block, part)?;
            *block += 1;
        }
        if *covered < transfer.size && !bytes.is_empty() {
            return Ok(Added::More);
        }
        let good = *covered == transfer.size && hasher.finish() == transfer.content;
        Ok(if good {
            Added::Whole
        } else {
            Added::Wrong(*from)
        })
    }

    /// The recipe is asked for again, from others than who sent it.
    fn recipe_is_wrong(&mut self, place: usize, from: PeerSet) -> Result<(), StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(());
        };
        transfer.state = State::no_recipe();
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
