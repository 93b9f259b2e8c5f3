//! What was found at a path becomes its entry, with a version of ours.

use super::Peer;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::{Fingerprint, Row, StoreError};
use crate::watch::dirty::SETTLED_PAUSE;
use proto_core::index::entry::{Entry, IndexId, Kind};
use proto_core::index::reconcile::{Found, local_change};
use proto_core::path;

impl<D: Disk> Peer<D> {
    /// What is at a path now becomes its entry, with a version of ours; unless it is just what a
    /// pending entry says (a crash between rename and commit, or a copy by hand): then that has come.
    pub(super) fn record(
        &mut self,
        now: Now,
        changed: &[u8],
        row: Option<&Row>,
        state: Found,
        target: Vec<u8>,
        local: Option<Fingerprint>,
    ) -> Result<(), StoreError> {
        if let Some(row) = row.filter(|row| says(&row.entry, &state)) {
            // Only the fingerprint is new: nothing that others need to know.
            if let Some(local) = local
                && (row.local != Some(local) || self.recheck.doubts(row))
            {
                let run = self.recheck.run();
                if self.recheck.is_rewritten(row, &local) {
                    // Its bytes may not be on the disk yet, so it moves on in the journal.
                    let local = Some(local);
                    let row = row.clone();
                    self.store.put(changed, Row { local, run, ..row })?;
                } else {
                    self.store.set_fingerprint(changed, local, run)?;
                    self.changes.note_fingerprint();
                    // It may have kept what is pending from landing.
                    if self.store.pending(changed)?.is_some() {
                        self.plan.restart();
                    }
                    return Ok(());
                }
                self.changes.note();
            }
            return Ok(());
        }
        self.served.close(changed);
        self.served.changed.remove(changed);
        if let Some(pending) = self
            .store
            .pending(changed)?
            .filter(|pending| says(&pending.entry, &state))
        {
            self.drafts.note(&pending.entry);
            let content = pending.entry.content;
            self.store.put(
                changed,
                Row {
                    entry: pending.entry,
                    target,
                    local,
                    run: self.recheck.run(),
                },
            )?;
            self.store.remove_pending(changed)?;
            self.changes.note();
            self.is_here_otherwise(content);
            return Ok(());
        }
        let is_damage = row
            .zip(local)
            .is_some_and(|(row, local)| self.recheck.is_damage(row, &state, &local));
        if let (true, Some(row)) = (is_damage, row)
            && self.may_be_torn(row)
        {
            return self.land_again(now, changed, row, local);
        }
        if state.kind != Kind::Tombstone && !self.parent_is_known(now, changed)? {
            return Ok(());
        }
        let sequence = self.store.next_sequence();
        let index_id = self.store.index_id();
        let mut entry = local_change(row.map(|row| &row.entry), index_id, sequence, state);
        if is_damage {
            entry.modified_by = IndexId::NOBODY;
            log::warn!(
                "{} was damaged by a power cut: who has it as it was keeps that beside it",
                path::Escaped(changed)
            );
        }
        log::debug!(
            "changed here: {} ({:?}, {} bytes) as {sequence}",
            path::Escaped(changed),
            entry.kind,
            entry.size
        );
        self.drafts.note(&entry);
        let content = entry.content;
        self.store.put(
            changed,
            Row {
                entry,
                target,
                local,
                run: self.recheck.run(),
            },
        )?;
        self.changes.note();
        self.is_here_otherwise(content);
        // What was decided about this path no longer holds.
        self.plan.restart();
        Ok(())
    }

    /// An index is closed under parents: a new path whose parent has no entry waits for the parent.
    fn parent_is_known(&mut self, now: Now, changed: &[u8]) -> Result<bool, StoreError> {
        let Some(parent) = path::parent(changed) else {
            return Ok(true);
        };
        if self
            .store
            .get(parent)?
            .is_some_and(|row| row.entry.kind == Kind::Directory)
        {
            return Ok(true);
        }
        self.dirty.mark_if_clean(now.mono, parent, SETTLED_PAUSE);
        self.dirty
            .mark_if_clean(now.mono, changed, SETTLED_PAUSE * 2);
        Ok(false)
    }

    /// Nothing is at a path any more.
    pub(super) fn record_deletion(
        &mut self,
        now: Now,
        gone: &[u8],
        row: &Row,
    ) -> Result<(), StoreError> {
        self.record(now, gone, Some(row), Found::NOTHING, Vec::new(), None)
    }
}

/// Whether an entry already says what is there.
fn says(entry: &Entry, state: &Found) -> bool {
    entry.kind == state.kind
        && entry.mode == state.mode
        && entry.size == state.size
        && entry.mtime == state.mtime
        && entry.content == state.content
}
