//! Recipes in blocks, by content.

use super::schema::RECIPES;
use super::{Store, StoreError};
use proto_core::content::ContentId;
use std::ops::Bound;

/// Recipes looked at in one sweep.
const SWEEP: usize = 512;

fn block_key(content: ContentId, number: u32) -> Vec<u8> {
    [content.0.as_slice(), &number.to_be_bytes()].concat()
}

impl Store {
    /// Keeps one block of a recipe.
    ///
    /// # Errors
    /// `Failed`.
    pub fn put_recipe_block(
        &mut self,
        content: ContentId,
        number: u32,
        block: &[u8],
    ) -> Result<(), StoreError> {
        self.write(RECIPES, &block_key(content, number), block)
    }

    /// One block of a recipe.
    ///
    /// # Errors
    /// `Failed`.
    pub fn recipe_block(
        &self,
        content: ContentId,
        number: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(RECIPES, &block_key(content, number))
    }

    /// Drops all blocks of a recipe.
    ///
    /// # Errors
    /// `Failed`.
    pub fn remove_recipe(&mut self, content: ContentId) -> Result<(), StoreError> {
        let (first, last) = (block_key(content, 0), block_key(content, u32::MAX));
        loop {
            let rows = self.range(
                RECIPES,
                (Bound::Included(&first), Bound::Included(&last)),
                SWEEP,
                false,
            )?;
            if rows.is_empty() {
                return Ok(());
            }
            for (key, _) in rows {
                self.remove(RECIPES, &key)?;
            }
        }
    }

    /// Drops recipes that no live and no pending file needs, from where the last call stopped.
    ///
    /// # Errors
    /// `Failed`.
    pub fn sweep_recipes(&mut self) -> Result<(), StoreError> {
        for _ in 0..SWEEP {
            let from = self.swept.take();
            let from = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let Some((key, _)) = self
                .range(RECIPES, (from, Bound::Unbounded), 1, false)?
                .pop()
            else {
                return Ok(());
            };
            let Some(id) = key.first_chunk::<32>() else {
                self.remove(RECIPES, &key)?;
                continue;
            };
            let content = ContentId(*id);
            if !self.is_live_content(content)? && !self.is_pending_content(content)? {
                self.remove_recipe(content)?;
            }
            self.swept = Some(block_key(content, u32::MAX));
        }
        Ok(())
    }
}
