//! What a peer tells of itself: status as one value, and what landed for the log and the progress bar.

use crate::stalls::Counts;
use proto_core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr};

/// State of one peer for `tinypeer status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Live files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Newest sequence of the index (the ancestor's `add_times`).
    pub sequence: u64,
    /// Entries that others have and that are not landed here yet.
    pub pending: u64,
    /// Conflict copies in `share/`.
    pub conflicts: u64,
    /// What is wrong now, a sentence each.
    pub errors: Vec<String>,
    /// The configured peers.
    pub peers: Vec<PeerLine>,
    /// Whether every configured peer is connected and everything is the same.
    pub in_sync: bool,
    /// How long the turns of the loop of this process took.
    pub turns: Counts,
    /// How long its flushes took.
    pub flushes: Counts,
    /// The bridge to ancestors, with `--legacy`.
    pub bridge: Option<BridgeStatus>,
}

/// What is known of one configured peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLine {
    /// As configured.
    pub address: SocketAddr,
    /// Whether it is there.
    pub connected: bool,
    /// Least round trip of late in microseconds; none before the first one.
    pub rtt_us: Option<u64>,
    /// Newest sequence of its index.
    pub sequence: u64,
    /// Bytes of UDP payload sent to it since the start.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received from it since the start.
    pub bytes_received: u64,
    /// Pieces being fetched from it.
    pub transfers: usize,
    /// Bytes of UDP payload of the datagrams that it is asked for.
    pub datagram: usize,
    /// Segments that came from it after they had been given up.
    pub spurious: u64,
    /// BLOCKs that came from it with a congestion mark.
    pub marked: u64,
}

/// What is known of the ancestors that `--legacy` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeStatus {
    /// Whether this peer takes from them and publishes to them, and no other does.
    pub leads: bool,
    /// Datagrams from other addresses.
    pub dropped: u64,
    /// They.
    pub ancestors: Vec<AncestorLine>,
}

/// What is known of one ancestor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AncestorLine {
    /// As named.
    pub address: Ipv4Addr,
    /// Whether it answers.
    pub online: bool,
    /// Its `add_times`; none before it told.
    pub add_times: Option<u32>,
    /// Bytes of UDP payload sent to it since the start.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received from it since the start.
    pub bytes_received: u64,
    /// Datagrams and archives from it that could not be read.
    pub rejected: u64,
}

/// One file that has landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Path below `share/`.
    pub path: Vec<u8>,
    /// Bytes.
    pub size: u64,
    /// Bytes that came over the network for it.
    pub fetched: u64,
    /// From the decision to the rename.
    pub time: Duration,
}

/// What landed since the last look.
#[derive(Debug, Default)]
pub struct Report {
    landed: Vec<Landed>,
}

/// Files remembered between two looks.
const MAX_LANDED: usize = 256;

impl Report {
    /// Takes note of a file that has landed.
    pub fn landed(&mut self, path: &[u8], size: u64, fetched: u64, time: Duration) {
        if self.landed.len() < MAX_LANDED {
            self.landed.push(Landed {
                path: path.to_vec(),
                size,
                fetched,
                time,
            });
        }
    }

    /// What landed since the last call.
    pub fn take(&mut self) -> Vec<Landed> {
        std::mem::take(&mut self.landed)
    }
}
