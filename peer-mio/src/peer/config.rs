//! How a peer is set up.

use super::landing::Flushing;
use crate::watch::scan::Symlinks;
use proto_core::engine::Limits;
use proto_core::time::Duration;
use std::net::SocketAddr;

/// How a peer is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The other peers.
    pub peers: Vec<SocketAddr>,
    /// The group key.
    pub key: [u8; 32],
    /// How symlinks in `share/` are treated.
    pub symlinks: Symlinks,
    /// Between two full scans.
    pub scan_interval: Duration,
    /// A local change that deletes more of the files, in percent, waits for [`super::Peer::resume`];
    /// [`super::guard::ALL`]: none does.
    pub max_delete: u8,
    /// How many files share the flushes of a landing.
    pub flushing: Flushing,
    /// 32 random bytes, different at each start.
    pub seed: [u8; 32],
    /// Bytes that the kernel buffers of what arrives.
    pub receive_buffer: usize,
    /// Bytes of UDP payload of the longest datagrams to ask for.
    pub datagram: usize,
    /// How much of the network may be used.
    pub limits: Limits,
    /// Whether to offer AEGIS-128L: [`crate::net::cipher::is_fast_at_aegis`], but for tests.
    pub aegis: bool,
    /// Whether an address is one of this machine's own.
    pub is_own_address: fn(SocketAddr) -> bool,
}
