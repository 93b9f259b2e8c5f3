//! The recipe: fetched block by block, and read from the store while the chunks come.

use super::{PullUse, State, StepError};
use crate::disk::Disk;
use crate::peer::Peer;
use crate::store::{Store, StoreError};
use proto_core::boundary::PullId;
use proto_core::content::recipe::{self, ContentIdHasher};
use proto_core::content::{ChunkRef, ContentId};
use proto_core::limits::RECIPE_BLOCK_CHUNKS;
use proto_core::pull::Want;
use proto_core::wire::ObjectId;
use std::io;

/// Recipe bytes asked for at once.
const RECIPE_PIECE: u32 = 64 * 1024;

/// The chunk at this place of a recipe in the store, with a block kept at hand.
pub(super) fn chunk_of(
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
    }

    pub(super) fn take_recipe(&mut self, place: usize, pull: PullId) -> Result<(), StepError> {
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
}
