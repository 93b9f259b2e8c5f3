//! The contents that are fetched, a fixed number.

use super::Swarm;
use crate::boundary::PeerSlot;
use crate::content::ContentId;
use crate::limits::MAX_SWARMS;

use crate::time::Instant;
use heapless::Vec;

/// All contents of many chunks that are being fetched.
#[derive(Debug, Default)]
pub struct Swarms {
    swarms: Vec<Swarm, MAX_SWARMS>,
}

impl Swarms {
    /// Adds one; false if it is there already or there is no room.
    pub fn add(&mut self, swarm: Swarm) -> bool {
        self.get_mut(swarm.content()).is_none() && self.swarms.push(swarm).is_ok()
    }

    /// The one of a content.
    pub fn get_mut(&mut self, content: ContentId) -> Option<&mut Swarm> {
        self.swarms
            .iter_mut()
            .find(|swarm| swarm.content() == content)
    }

    /// Ends one.
    pub fn remove(&mut self, content: ContentId) -> Option<Swarm> {
        let place = self
            .swarms
            .iter()
            .position(|swarm| swarm.content() == content)?;
        Some(self.swarms.swap_remove(place))
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Swarm> {
        self.swarms.iter()
    }

    /// All.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Swarm> {
        self.swarms.iter_mut()
    }

    /// Whether none is fetched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.swarms.is_empty()
    }

    /// When the next HAVE for a peer is due.
    #[must_use]
    pub fn tell_at(&self, peer: PeerSlot) -> Instant {
        let due = self.swarms.iter().map(|swarm| swarm.tell_at(peer)).min();
        due.unwrap_or(Instant::FAR_FUTURE)
    }
}
