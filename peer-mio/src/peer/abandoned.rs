//! What only an index told of that is no more (docs/architecture.md, section 2, "What nobody has any more").

use super::Peer;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::{Pending, StoreError};
use proto_core::path::Escaped;
use proto_core::time::Duration;

/// So long a content is waited for though nobody who is connected has it.
const WAITED: Duration = Duration::from_secs(60);

/// As much ceases to be pending in one turn; the rest after the journals were read anew.
const MOST: usize = 4096;

impl<D: Disk> Peer<D> {
    /// Ends the wait for what none of the configured peers told of under the index that it has now, and reads all
    /// journals anew: who has such a version tells of it again.
    pub(super) fn drop_abandoned(&mut self, now: Now) -> Result<(), StoreError> {
        if !self.engine.are_all_connected()
            || !self.engine.is_caught_up()
            || !self.is_any_abandoned(now)?
        {
            return Ok(());
        }
        // All in one turn: else a kill in between could leave what nobody tells of again.
        let (mut dropped, mut after) = (0, None::<Vec<u8>>);
        while dropped < MOST
            && let Some((path, pending)) = self.store.next_pending(after.as_deref())?
        {
            // What waits to land is here, and lands.
            if self.is_abandoned(&pending) && !self.landing.has_path(&path) {
                log::debug!("nobody has {} as it was told of any more", Escaped(&path));
                self.store.remove_pending(&path)?;
                dropped += 1;
            }
            after = Some(path);
        }
        log::warn!("nobody has {dropped} of the changes any more that were waited for");
        self.store.forget_cursors()?;
        self.reload_cursors();
        Ok(())
    }

    /// Whether what told of it is no index that a connected peer has.
    fn is_abandoned(&self, pending: &Pending) -> bool {
        self.slot_of(pending.told_by).is_none()
    }

    /// Whether something abandoned has waited long enough.
    fn is_any_abandoned(&self, now: Now) -> Result<bool, StoreError> {
        for path in self.fetching.retries.waiting_since(now.mono, WAITED) {
            let pending = self.store.pending(path)?;
            if pending.is_some_and(|pending| self.is_abandoned(&pending)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
