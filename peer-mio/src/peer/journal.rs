//! The journal: our changes as pages for others, theirs as decisions for us.

use super::Peer;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::{Durability, Pending, Row, Store, StoreError};
use proto_core::boundary::PeerSlot;
use proto_core::index::entry::{IndexId, Kind};
use proto_core::index::reconcile::{Decision, reconcile};
use proto_core::index::version_vector::Order;
use proto_core::path::Escaped;
use proto_core::wire::WireError;
use proto_core::wire::page::{EntryRef, Page, PageWriter};
use std::ops::ControlFlow;

/// Builds the page of our journal after `after` into `bytes`, at most `length` long, up to `committed`.
pub fn build_page(
    store: &Store,
    after: u64,
    committed: u64,
    length: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), StoreError> {
    bytes.clear();
    bytes.resize(length, 0);
    let Some(mut writer) = PageWriter::new(bytes, store.index_id(), after).ok() else {
        bytes.clear();
        return Ok(());
    };
    let mut through = after.max(committed);
    let mut last = after;
    store.journal(after, &mut |sequence, path, row| {
        if sequence > committed {
            return ControlFlow::Break(());
        }
        match writer.push(&row.entry, path, &row.target) {
            Ok(()) => {}
            // A row that no reader would take must not keep back what follows it.
            Err(WireError::Invalid(what)) => {
                log::error!("{} cannot be told to others: {what}", Escaped(path));
            }
            Err(_) => {
                through = last;
                return ControlFlow::Break(());
            }
        }
        last = sequence;
        ControlFlow::Continue(())
    })?;
    let len = writer.finish(through, committed);
    bytes.truncate(len);
    Ok(())
}

impl<D: Disk> Peer<D> {
    /// Takes a page of a peer's journal: each entry is reconciled with ours; what is newer becomes
    /// pending. The cursor is noted in the same transaction. False if it was not taken.
    pub(super) fn take_page(&mut self, now: Now, peer: PeerSlot, page: &Page<'_>) -> bool {
        match self.knows_our_future(page) {
            Ok(false) => {}
            Ok(true) => {
                self.index_went_back(peer);
                return false;
            }
            Err(error) => {
                self.store_failed(&error);
                return false;
            }
        }
        if self.renewal.is_some() {
            // Under the new id it will be reconciled as it must.
            return false;
        }
        match self.reconcile_page(page) {
            Ok(()) => {
                self.engine.set_cursor(now.mono, peer, page.through);
                self.plan.restart();
                true
            }
            Err(error) => {
                self.store_failed(&error);
                false
            }
        }
    }

    fn reconcile_page(&mut self, page: &Page<'_>) -> Result<(), StoreError> {
        for told in page.entries() {
            self.reconcile_entry(page.index_id, &told)?;
        }
        self.store.set_cursor(page.index_id, page.through)?;
        // Losing this commit loses the cursor with it: the page is asked for again.
        if !self.changes.any() {
            self.store.commit(Durability::Eventual)?;
        }
        Ok(())
    }

    fn reconcile_entry(&mut self, told_by: IndexId, told: &EntryRef<'_>) -> Result<(), StoreError> {
        let path = told.path;
        self.fetching.retries.told(path);
        let pending = self.drop_superseded(path, told_by, told)?;
        let ours = self.store.get(path)?;
        match reconcile(ours.as_ref().map(|row| &row.entry), &told.entry) {
            Decision::Nothing => return Ok(()),
            Decision::ConflictInsist => {
                // A new sequence, so that all are told again.
                if let Some(row) = ours {
                    self.store.put(path, self.recheck.kept(row))?;
                    self.changes.note();
                }
                return Ok(());
            }
            Decision::Keep(entry) => {
                if let Some(row) = ours {
                    let row = self.recheck.kept(row);
                    self.store.put(path, Row { entry, ..row })?;
                    self.changes.note();
                }
                return Ok(());
            }
            // Nothing is there and nothing shall be: only passed on.
            Decision::Take(entry)
                if entry.kind == Kind::Tombstone
                    && ours
                        .as_ref()
                        .is_none_or(|row| row.entry.kind == Kind::Tombstone) =>
            {
                self.store.put(
                    path,
                    Row {
                        entry,
                        target: Vec::new(),
                        local: None,
                        run: self.recheck.run(),
                    },
                )?;
                self.changes.note();
                return Ok(());
            }
            Decision::Take(_) | Decision::Merge(_) | Decision::ConflictTake(_) => {}
        }
        let told_pending = Pending {
            entry: told.entry.clone(),
            target: told.target.to_vec(),
            told_by,
        };
        let wanted = match pending {
            None => told_pending,
            Some(pending) => match reconcile(Some(&pending.entry), &told.entry) {
                Decision::Nothing if pending.entry.version == told.entry.version => {
                    self.note_holder(&pending, told_by);
                    return Ok(());
                }
                Decision::Nothing | Decision::ConflictInsist => return Ok(()),
                // Which of two versions that we both lack wins, is settled by who holds the loser.
                Decision::Take(_) | Decision::ConflictTake(_) => told_pending,
                // Who told last has it too, and will tell if that changes.
                Decision::Merge(entry) => Pending {
                    entry,
                    told_by,
                    ..pending
                },
                Decision::Keep(entry) => Pending { entry, ..pending },
            },
        };
        if wanted.entry.kind == Kind::Tombstone {
            self.plan.note_deletion();
        }
        self.store.put_pending(path, &wanted)
    }

    /// What is pending at a path, unless this entry contains it, or who told of it tells another one now: that
    /// may lose against ours, and nobody may have the content any more. So it is with what a power cut took and nobody
    /// has told of since: who has it still, settles which of the two wins.
    fn drop_superseded(
        &mut self,
        path: &[u8],
        told_by: IndexId,
        told: &EntryRef<'_>,
    ) -> Result<Option<Pending>, StoreError> {
        let pending = self.store.pending(path)?;
        let superseded = pending.as_ref().is_some_and(|pending| {
            match told.entry.version.compare(&pending.entry.version) {
                Order::After => true,
                Order::Concurrent if pending.told_by == IndexId::NOBODY => true,
                _ => pending.told_by == told_by,
            }
        });
        if !superseded {
            return Ok(pending);
        }
        self.store.remove_pending(path)?;
        Ok(None)
    }
}
