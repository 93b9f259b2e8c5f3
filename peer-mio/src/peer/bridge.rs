//! What the bridge to ancestors and its peer know of each other (docs/legacy.md).

use super::Peer;
use super::report::BridgeStatus;
use crate::disk::Disk;
use proto_core::time::Instant;

/// The bridge, as far as it concerns the peer.
#[derive(Debug, Default)]
pub struct Bridge {
    /// What others are told, so that of two bridges to the same ancestor one leads; 0: there is no bridge.
    pub number: u8,
    /// For `tinypeer status`.
    pub status: Option<BridgeStatus>,
}

impl Bridge {
    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.leads)
    }
}

impl<D: Disk> Peer<D> {
    /// What the bridge tells of itself.
    pub fn set_bridge(&mut self, number: u8, status: BridgeStatus) {
        self.bridge.number = number;
        self.bridge.status = Some(status);
    }

    /// Whether another peer is to lead the bridge of this number; `None` if that is not known.
    #[must_use]
    pub fn is_bridge_led(&self, number: u8) -> Option<bool> {
        self.engine.is_led(number)
    }

    /// When the bridge may send, and when it may ask for something.
    #[must_use]
    pub fn limits_ready_at(&self) -> (Instant, Instant) {
        self.engine.limits_ready_at()
    }

    /// So many bytes went over the bridge, and are to come.
    pub fn spend(&mut self, now: Instant, up: usize, down: usize) {
        self.engine.spend(now, up, down);
    }
}
