//! Pulling: pieces of objects that are wanted, from whom, and what of them is still missing
//! (docs/protocol.md, "Request"). All reliability lives here; a serving peer keeps nothing.

mod expected;
mod piece;
mod table;

pub use expected::Expected;
pub use piece::{Arrived, Missing, Piece};
pub use table::{Pulls, id, tag};

use crate::boundary::PeerSlot;
use crate::wire::ObjectId;

/// A set of peer slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PeerSet(u16);

// One bit for each slot.
const _: () = assert!(crate::limits::MAX_PEERS <= 16);

impl PeerSet {
    /// No peer.
    pub const EMPTY: Self = Self(0);
    /// Every slot.
    pub const ALL: Self = Self(u16::MAX);

    /// One peer alone.
    #[must_use]
    pub fn of(peer: PeerSlot) -> Self {
        let mut set = Self::EMPTY;
        set.insert(peer);
        set
    }

    /// Whether `peer` is in it.
    #[must_use]
    pub fn contains(self, peer: PeerSlot) -> bool {
        self.0 & (1 << peer.place()) != 0
    }

    /// Adds `peer`.
    pub fn insert(&mut self, peer: PeerSlot) {
        self.0 |= 1 << peer.place();
    }

    /// Adds all of `others`.
    pub fn join(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All that are in it.
    pub fn iter(self) -> impl Iterator<Item = PeerSlot> {
        (0..crate::limits::MAX_PEERS)
            .filter_map(PeerSlot::new)
            .filter(move |peer| self.contains(*peer))
    }

    /// The one that is in it, if there is just one.
    #[must_use]
    pub fn single(self) -> Option<PeerSlot> {
        let mut peers = self.iter();
        peers.next().filter(|_| peers.next().is_none())
    }

    /// Removes `peer`.
    pub fn remove(&mut self, peer: PeerSlot) {
        self.0 &= !(1 << peer.place());
    }
}

/// A piece that the driver wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// Of what.
    pub object: ObjectId,
    /// Where the piece begins (docs/protocol.md, "Request").
    pub start: u64,
    /// Its length in bytes, 1 to [`crate::limits::MAX_PIECE`]; for a recipe or a journal the most it may have.
    pub length: u32,
    /// Only from this peer (a journal is one peer's own).
    pub only: Option<PeerSlot>,
    /// From this peer if it will, else from any.
    pub prefer: Option<PeerSlot>,
}

/// Why a piece cannot be had now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Every connected peer says that it has no such object any more, or never had it.
    Gone,
    /// The same, but of one that was asked again and again and sent nothing.
    Silent,
    /// The peer that it was wanted from is not connected any more.
    Disconnected,
}
