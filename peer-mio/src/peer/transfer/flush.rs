//! Partial files are flushed now and then, so that a power cut costs the last seconds of a long
//! transfer and not what the kernel had not written yet (docs/architecture.md, "Landing").

use super::{State, download};
use crate::clock::Now;
use crate::disk::syncing::Syncing;
use crate::disk::{Disk, DiskFile};
use crate::peer::Peer;
use proto_core::time::Duration;

/// Between two flushes of one file.
const INTERVAL: Duration = Duration::from_secs(2);
/// Fewer bytes are not worth one.
const LEAST: u64 = 256 * 1024;

impl<D: Disk> Peer<D> {
    /// Begins to flush the file with the most to lose, unless one is being flushed.
    pub(super) fn flush_part(&mut self, now: Now) {
        let flushing = self.fetching.flushing.as_ref();
        if flushing.is_some_and(|flushing| !flushing.is_over()) {
            return;
        }
        self.fetching.flushing = None;
        let most = self
            .transfers
            .iter_mut()
            .filter(|transfer| {
                matches!(transfer.state, State::Fetch)
                    && transfer.here.saturating_sub(transfer.flushed) >= LEAST
                    && now.mono.saturating_since(transfer.flushed_at) >= INTERVAL
            })
            .max_by_key(|transfer| transfer.here.saturating_sub(transfer.flushed));
        let Some(transfer) = most else { return };
        transfer.flushed = transfer.here;
        transfer.flushed_at = now.mono;
        // Through a descriptor of its own, so that an error of the disk is not used up by this flush.
        if let Ok(file) = self.disk.open(download(&transfer.name), false) {
            self.fetching.flushing = Some(file.start_sync());
        }
    }
}

/// What is under way.
pub type Flushing = Option<Syncing>;
