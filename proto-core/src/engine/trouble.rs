//! What is wrong with a peer, or with our own index, beyond a peer that is merely not there.

use crate::session::{CipherKey, Dropped, PeerSessions};

/// What the user or the driver has to see to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Datagrams come from its address that our group key does not open.
    OtherKey,
    /// What we send to its address comes back: the address is our own
    /// ([`super::Engine::confirm_self`]), or nobody is there.
    Echo,
    /// Another program there has our index id: one of the two indexes is a copy. Begin a new id
    /// (docs/architecture.md, section 2).
    IndexCopied,
    /// It has read more of our journal than it can have: our index went back to an older state. Begin a
    /// new id.
    IndexWentBack,
}

/// The trouble of one peer: each kind is told once until [`Self::clear`].
#[derive(Debug, Default)]
pub(super) struct Troubles {
    waiting: Option<Trouble>,
    told: Option<Trouble>,
}

impl Troubles {
    /// Something was seen.
    pub fn note(&mut self, trouble: Trouble) {
        if self.told != Some(trouble) {
            self.waiting = Some(trouble);
        }
    }

    /// A datagram was dropped while the peer is not connected.
    pub fn note_dropped<K: CipherKey>(&mut self, dropped: Dropped, sessions: &PeerSessions<K>) {
        match dropped {
            Dropped::BadTag => self.note(Trouble::OtherKey),
            Dropped::Ourselves if sessions.is_echo() => self.note(Trouble::Echo),
            Dropped::SameIndex if sessions.met_copy() => self.note(Trouble::IndexCopied),
            _ => {}
        }
    }

    /// What is to be told.
    pub fn take(&mut self) -> Option<Trouble> {
        let trouble = self.waiting.take()?;
        self.told = Some(trouble);
        Some(trouble)
    }

    /// The peer is connected.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
