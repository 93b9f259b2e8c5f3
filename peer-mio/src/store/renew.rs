//! A new id for an index that shares its old one with a copy, or with its own future.

use super::error::{Durability, StoreError};
use super::{BATCH, Store};
use proto_core::index::entry::{IndexId, Sequence};
use std::ops::ControlFlow;

impl Store {
    /// Goes on under a new id, durably. Changes of ours above `agreed` are counted anew under it
    /// (docs/architecture.md, section 2); all else stays.
    ///
    /// # Errors
    /// Those of the disk. Nothing has changed then, after [`Store::abandon`].
    pub fn renew(&mut self, fresh: IndexId, agreed: Sequence) -> Result<(), StoreError> {
        let old = self.index_id;
        let newest = self.sequence();
        let mut after = 0;
        loop {
            let mut doubtful = Vec::new();
            self.journal(after, &mut |sequence, path, row| {
                if sequence > newest || doubtful.len() == BATCH {
                    return ControlFlow::Break(());
                }
                after = sequence;
                if row.entry.version.get(old) > agreed {
                    doubtful.push(path.to_vec());
                }
                ControlFlow::Continue(())
            })?;
            if doubtful.is_empty() {
                break;
            }
            for path in &doubtful {
                self.count_anew(path, old, fresh)?;
            }
        }
        self.set_index_id(fresh)?;
        self.commit(Durability::Durable)?;
        self.index_id = fresh;
        Ok(())
    }

    fn count_anew(&mut self, path: &[u8], old: IndexId, fresh: IndexId) -> Result<(), StoreError> {
        let Some(mut row) = self.get(path)? else {
            return Ok(());
        };
        row.entry.version.remove(old);
        row.entry.version.set(fresh, self.next_sequence());
        if row.entry.modified_by == old {
            row.entry.modified_by = fresh;
        }
        self.put(path, row)?;
        Ok(())
    }
}
