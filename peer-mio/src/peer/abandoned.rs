//! What only an index told of that is no more (docs/architecture.md, section 2, "What nobody has any more").

use super::Peer;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::StoreError;
use proto_core::path::Escaped;
use proto_core::time::Duration;

/// So long a content is waited for though nobody who is connected has it.
const WAITED: Duration = Duration::from_secs(60);

impl<D: Disk> Peer<D> {
    /// Ends the wait for what none of the configured peers told of under the index that it has now, and reads all
    /// journals anew: who has such a version tells of it again.
    pub(super) fn drop_abandoned(&mut self, now: Now) -> Result<(), StoreError> {
        if !self.fetching.retries.waits_since(now.mono, WAITED)
            || !self.engine.are_all_connected()
            || !self.engine.is_caught_up()
        {
            return Ok(());
        }
        let (mut any, mut after) = (false, None::<Vec<u8>>);
        while let Some((path, pending)) = self.store.next_pending(after.as_deref())? {
            if self.slot_of(pending.told_by).is_none() {
                log::warn!("nobody has {} as it was told of any more", Escaped(&path));
                self.store.remove_pending(&path)?;
                any = true;
            }
            after = Some(path);
        }
        if any {
            self.store.forget_cursors()?;
            self.reload_cursors();
        }
        Ok(())
    }
}
