//! What the driver tells the engine: once, and whenever it changes.

use crate::index::entry::Sequence;
use crate::session::Config as SessionConfig;

/// What the driver tells the engine once.
#[derive(Clone, Debug)]
pub struct Config {
    /// What sessions are made with.
    pub session: SessionConfig,
    /// Bytes that the kernel buffers of what arrives: all peers together never have more outstanding.
    pub receive_buffer: usize,
    /// Bytes of UDP payload of the longest datagrams to ask for, [`crate::limits::MIN_DATAGRAM`] to
    /// [`crate::limits::MAX_DATAGRAM`]; how long they are, the path decides.
    pub datagram: usize,
    /// Up to which sequence somebody may have read our journal in earlier lives of the program.
    pub told: Sequence,
    /// What the user allows.
    pub limits: Limits,
}

/// Bytes of UDP payload in a second, to or from all peers together; `None`: as many as the network carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// What is sent.
    pub up: Option<u64>,
    /// What is received.
    pub down: Option<u64>,
}

/// What this peer tells the others of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Own {
    /// Newest sequence of our index.
    pub sequence: Sequence,
    /// Entries that we still want.
    pub pending: u32,
    /// Whether we are scanning, hashing or landing.
    pub busy: bool,
    /// The bridge to an ancestor that we are; 0 if we are none.
    pub bridge: u8,
    /// Whether we lead it.
    pub leads: bool,
}
