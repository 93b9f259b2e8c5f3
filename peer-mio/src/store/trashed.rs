//! Where in the trash a content lies, as far as it is known: a source of contents that come again.

use super::Store;
use super::error::StoreError;
use super::tables::{Table, content_key};
use super::{BATCH, unreadable};
use proto_core::content::ContentId;
use std::ops::{Bound, ControlFlow};

/// Records that one sweep looks at, so that it ends soon.
const LOOK: usize = 64 * BATCH;

impl Store {
    /// A file with this content is in the trash at this path of it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn put_trashed(&mut self, content: ContentId, path: &[u8]) -> Result<(), StoreError> {
        self.change(|changing| {
            changing
                .table(Table::Trashed)?
                .insert(content_key(content, path).as_slice(), [].as_slice())?;
            Ok(())
        })
    }

    /// Visits the paths in the trash at which files with this content were, until one sweep finds them gone;
    /// at most 64.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn trashed(
        &self,
        content: ContentId,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let start = content_key(content, b"");
        for key in self.trashed_from(Bound::Included(&start), BATCH)? {
            let Some(path) = key.strip_prefix(&content.0) else {
                break;
            };
            if visit(path).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Drops the records of what is not there any more; some thousand at a time, and the next call goes on
    /// where this one ended.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn sweep_trashed(
        &mut self,
        is_there: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let after = self.swept_trashed.take();
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.trashed_from(start, LOOK)?;
        let gone = keys.iter().filter(|key| {
            let path = key.get(size_of::<ContentId>()..);
            !path.is_some_and(&mut *is_there)
        });
        let gone: Vec<&Vec<u8>> = gone.collect();
        if !gone.is_empty() {
            self.change(|changing| {
                let table = changing.table(Table::Trashed)?;
                for key in gone {
                    table.remove(key.as_slice())?;
                }
                Ok(())
            })?;
        }
        if keys.len() == LOOK {
            self.swept_trashed = keys.into_iter().next_back();
        }
        Ok(())
    }

    /// So many keys from one on.
    fn trashed_from(&self, start: Bound<&[u8]>, most: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let view = self.view(Table::Trashed)?;
        let records = view.range((start, Bound::Unbounded))?.take(most);
        records
            .map(|record| {
                let (key, _) = record?;
                if key.value().len() <= size_of::<ContentId>() {
                    return Err(unreadable("trashed"));
                }
                Ok(key.value().to_vec())
            })
            .collect()
    }
}
