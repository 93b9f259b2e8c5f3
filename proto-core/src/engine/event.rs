//! What the engine tells its driver.

use super::Trouble;
use crate::boundary::{PeerSlot, PullId};
use crate::content::ContentId;
use crate::index::entry::IndexId;
use crate::pull::{Failure, Want};

/// What happened, for the driver to act on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A peer is there, or there again with a new life: tell the engine how far its journal was
    /// read with [`super::Engine::set_cursor`].
    Connected {
        /// Which.
        peer: PeerSlot,
        /// Its index.
        index: IndexId,
    },
    /// A peer is gone.
    Disconnected {
        /// Which.
        peer: PeerSlot,
    },
    /// An initiation was accepted: keep its counter, so that a replay is known after a restart.
    Initiation {
        /// From whom.
        peer: PeerSlot,
        /// Its index.
        index: IndexId,
        /// The counter.
        counter: u64,
    },
    /// Something that the user or the driver has to see to. Told once until the peer is connected.
    Trouble {
        /// Where it showed.
        peer: PeerSlot,
        /// What it is.
        trouble: Trouble,
    },
    /// A peer fetches a content and wants to know whether all of it is here: [`super::Engine::tell_whole`] if so.
    Asked {
        /// Who.
        peer: PeerSlot,
        /// What.
        content: ContentId,
    },
    /// All bytes of a piece are here: verify it, then [`super::Engine::finish`] or [`super::Engine::corrupt`].
    Complete {
        /// Which.
        pull: PullId,
        /// What it is.
        want: Want,
    },
    /// A piece cannot be had now; the pull has ended.
    Failed {
        /// Which.
        pull: PullId,
        /// What it was.
        want: Want,
        /// Why.
        failure: Failure,
    },
}
