//! Where the chunks of a content are: eight bytes for each block of its recipe, whose chunks are in the store.

use super::recipe::block_of;
use crate::store::{Store, StoreError};
use proto_core::content::{ChunkRef, ContentId, recipe};
use proto_core::limits::RECIPE_BLOCK_CHUNKS;

const PER_BLOCK: u32 = RECIPE_BLOCK_CHUNKS as u32;

/// The places of a content's chunks.
#[derive(Debug, Default)]
pub(super) struct ChunkPlaces {
    /// Where the chunks of each recipe block begin, in bytes.
    starts: Vec<u64>,
    count: u32,
    /// Bytes that they have together.
    covered: u64,
}

impl ChunkPlaces {
    /// Reads a recipe. `None` if the store does not hold all of it.
    pub fn read(store: &Store, content: ContentId, size: u64) -> Result<Option<Self>, StoreError> {
        let mut places = Self::default();
        for number in 0.. {
            if places.covered >= size {
                break;
            }
            let block = store.recipe_block(content, number)?;
            if !block.is_some_and(|block| places.add(&block)) {
                return Ok(None);
            }
        }
        Ok((places.covered == size).then_some(places))
    }

    /// The next block of the recipe; false if it is none.
    pub fn add(&mut self, block: &[u8]) -> bool {
        let Ok(chunks) = recipe::parse_block(block) else {
            return false;
        };
        self.starts.push(self.covered);
        for chunk in chunks {
            self.covered += u64::from(chunk.len);
            self.count += 1;
        }
        true
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Where a chunk begins, and what it is; with a recipe block kept at hand.
    pub fn get(
        &self,
        store: &Store,
        content: ContentId,
        at_hand: &mut Option<(u32, Vec<u8>)>,
        place: u32,
    ) -> Result<Option<(u64, ChunkRef)>, StoreError> {
        let number = place / PER_BLOCK;
        let Some(start) = self.starts.get(number as usize) else {
            return Ok(None);
        };
        let Some(bytes) = block_of(store, content, at_hand, number)? else {
            return Ok(None);
        };
        let Ok(chunks) = recipe::parse_block(bytes) else {
            return Ok(None);
        };
        let (mut start, mut found) = (*start, None);
        for (at, chunk) in chunks.enumerate() {
            if at as u32 == place % PER_BLOCK {
                found = Some(chunk);
                break;
            }
            start += u64::from(chunk.len);
        }
        Ok(found.map(|chunk| (start, chunk)))
    }

    /// The chunk that begins at an offset and is so long, if there is one.
    pub fn at(
        &self,
        store: &Store,
        content: ContentId,
        at_hand: &mut Option<(u32, Vec<u8>)>,
        offset: u64,
        len: usize,
    ) -> Result<Option<u32>, StoreError> {
        let Some(number) = self
            .starts
            .partition_point(|start| *start <= offset)
            .checked_sub(1)
        else {
            return Ok(None);
        };
        let (Some(start), number) = (self.starts.get(number), number as u32) else {
            return Ok(None);
        };
        let Some(bytes) = block_of(store, content, at_hand, number)? else {
            return Ok(None);
        };
        let Ok(chunks) = recipe::parse_block(bytes) else {
            return Ok(None);
        };
        let mut start = *start;
        for (at, chunk) in chunks.enumerate() {
            if start == offset && chunk.len as usize == len {
                return Ok(Some(number * PER_BLOCK + at as u32));
            }
            start += u64::from(chunk.len);
        }
        Ok(None)
    }
}
