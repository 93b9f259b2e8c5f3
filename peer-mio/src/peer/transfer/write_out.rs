//! Partial files are written out now and then, so that a power cut costs the last seconds of a long
//! transfer and not what the kernel had not written yet (docs/architecture.md, "Landing").

use super::State;
use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::peer::Peer;
use proto_core::time::Duration;

/// Between two times for one file.
const INTERVAL: Duration = Duration::from_secs(2);
/// Fewer bytes are not worth one.
const LEAST: u64 = 256 * 1024;

impl<D: Disk> Peer<D> {
    /// Asks the kernel to begin writing the partial file with the most to lose.
    pub(super) fn write_part_out(&mut self, now: Now) {
        let most = self
            .transfers
            .iter_mut()
            .filter(|transfer| {
                matches!(transfer.state, State::Fetch)
                    && transfer.here.saturating_sub(transfer.written_out) >= LEAST
                    && now.mono.saturating_since(transfer.written_out_at) >= INTERVAL
            })
            .max_by_key(|transfer| transfer.here.saturating_sub(transfer.written_out));
        if let Some(transfer) = most {
            transfer.written_out = transfer.here;
            transfer.written_out_at = now.mono;
            transfer.file.start_writeback(0, transfer.size);
        }
    }
}
