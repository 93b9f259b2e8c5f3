//! What time it is, as one value that is passed down: the rest of the crate reads no clock, so that
//! a simulator can run it.

use proto_core::index::entry::Timestamp;
use proto_core::time::Instant;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, for timers.
    pub mono: Instant,
    /// Time of day, for names in the trash and for comparing with file times; it may jump.
    pub wall: Timestamp,
}
