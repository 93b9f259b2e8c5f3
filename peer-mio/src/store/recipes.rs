//! Recipes of contents, block by block.

use super::Store;
use super::error::StoreError;
use super::tables::{Table, recipe_key};
use proto_core::content::ContentId;
use std::ops::{Bound, ControlFlow};

/// Recipes that one sweep drops at most.
const SWEEP: usize = 512;
/// Recipes that one sweep looks at, so that it ends soon.
const LOOK: usize = 8 * SWEEP;

impl Store {
    /// Keeps a block of a content's recipe.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn put_recipe_block(
        &mut self,
        content: ContentId,
        number: u32,
        block: &[u8],
    ) -> Result<(), StoreError> {
        self.change(|changing| {
            let recipes = changing.table(Table::Recipes)?;
            recipes.insert(recipe_key(content, number).as_slice(), block)?;
            Ok(())
        })
    }

    /// A block of a content's recipe.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn recipe_block(
        &self,
        content: ContentId,
        number: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let view = self.view(Table::Recipes)?;
        Ok(view
            .get(recipe_key(content, number).as_slice())?
            .map(|block| block.value().to_vec()))
    }

    /// Drops all blocks of a content's recipe.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn remove_recipe(&mut self, content: ContentId) -> Result<(), StoreError> {
        if self.recipe_from(Bound::Included(&recipe_key(content, 0)))? != Some(content) {
            return Ok(());
        }
        self.change(|changing| {
            let (first, last) = (recipe_key(content, 0), recipe_key(content, u32::MAX));
            changing
                .table(Table::Recipes)?
                .retain_in(first.as_slice()..=last.as_slice(), |_, _| false)?;
            Ok(())
        })
    }

    /// Drops recipes that no live and no pending file has as its content; at most 512 at a time, and
    /// the next call goes on where this one ended.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn sweep_recipes(&mut self) -> Result<(), StoreError> {
        let mut dropped = 0;
        for _ in 0..LOOK {
            let after = self.swept.map(|content| recipe_key(content, u32::MAX));
            let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            self.swept = self.recipe_from(start)?;
            let Some(content) = self.swept else {
                return Ok(());
            };
            if self.is_live(content)? || self.pending_wants(content)? {
                continue;
            }
            self.remove_recipe(content)?;
            dropped += 1;
            if dropped == SWEEP {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The content of the first recipe block from a key on.
    fn recipe_from(&self, start: Bound<&[u8]>) -> Result<Option<ContentId>, StoreError> {
        let view = self.view(Table::Recipes)?;
        let found = view.range((start, Bound::Unbounded))?.next().transpose()?;
        Ok(found.and_then(|(key, _)| key.value().first_chunk().copied().map(ContentId)))
    }

    fn is_live(&self, content: ContentId) -> Result<bool, StoreError> {
        let mut live = false;
        self.paths_of(content, &mut |_| {
            live = true;
            ControlFlow::Break(())
        })?;
        Ok(live)
    }
}
