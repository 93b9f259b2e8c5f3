//! How a peer stands: for whoever asks, and for the others.

use super::Peer;
use super::report::{Landed, PeerLine, Status};
use super::transfer::Transfer;
use crate::clock::Now;
use crate::disk::Disk;
use crate::stalls;
use proto_core::boundary::PeerSlot;
use proto_core::engine::Own;

impl<D: Disk> Peer<D> {
    /// Whether every configured peer is connected, and all have what all have.
    #[must_use]
    pub fn in_sync(&self) -> bool {
        self.is_idle() && !self.errors.any_unread() && self.engine.in_sync()
    }

    /// Whether nothing is left to scan, hash, fetch or land here.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.is_busy() && self.store.pending_len() == 0 && self.committed == self.store.sequence()
    }

    /// What there is to know.
    #[must_use]
    pub fn status(&self) -> Status {
        let totals = self.store.totals();
        let peers = self
            .config
            .peers
            .iter()
            .enumerate()
            .filter_map(|(place, address)| {
                let status = self.engine.status(PeerSlot::new(place)?)?;
                Some(PeerLine {
                    address: *address,
                    connected: status.connected || status.is_self,
                    rtt_us: status
                        .rtt
                        .map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
                    sequence: status.sequence,
                    bytes_sent: status.bytes_sent,
                    bytes_received: status.bytes_received,
                    transfers: status.transfers,
                    datagram: status.datagram,
                    spurious: status.spurious,
                    marked: status.marked,
                })
            });
        Status {
            files: totals.files,
            bytes: totals.bytes,
            sequence: self.committed,
            pending: self.store.pending_len(),
            conflicts: totals.conflicts,
            errors: self.errors.sentences().map(str::to_owned).collect(),
            peers: peers.collect(),
            in_sync: self.in_sync(),
            turns: stalls::TURNS.counts(),
            flushes: stalls::FLUSHES.counts(),
            bridge: self.bridge.status.clone(),
        }
    }

    /// Files that landed since the last call.
    pub fn take_landed(&mut self) -> Vec<Landed> {
        self.report.take()
    }

    /// The largest transfer under way: path, bytes here, bytes in all.
    #[must_use]
    pub fn progress(&self) -> Option<(&[u8], u64, u64)> {
        let largest = self.transfers.iter().max_by_key(|transfer| transfer.size)?;
        Some((&largest.path, largest.here, largest.size))
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.is_scanned()
            || self.scans.is_partial()
            || !self.dirty.is_empty()
            || self.guard.is_busy()
            || self.hashings.any()
            || !self.landing.is_empty()
            || self.transfers.iter().any(Transfer::is_draft)
            || self.changes.any()
    }

    pub(super) fn tell_own(&mut self, now: Now) {
        let pending = u32::try_from(self.store.pending_len()).unwrap_or(u32::MAX);
        self.engine.set_own(
            now.mono,
            Own {
                sequence: self.readable(),
                pending,
                busy: self.is_busy() || self.errors.any_unread(),
                bridge: self.bridge.number,
                leads: self.bridge.leads(),
            },
        );
    }
}
