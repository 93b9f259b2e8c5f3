//! The sessions that one peer and we have: at most one to send under, two more to receive under, and
//! two that the peer began and has not used yet.
//!
//! What is kept follows from what the peer may still send under. It sends under the session that it
//! completed as initiator, or under the one that we showed to have by sending under it. Both may
//! begin a handshake at the same time, and then each may end up sending under the other's; so a
//! session that was current a moment ago and the one on which the peer was last heard are both kept.

use super::cipher::CipherKey;
use super::dropped::Dropped;
use super::framing::{Life, Sealed};
use super::handshake::SessionKeys;
use super::liveness::REJECT_AFTER;
use super::seal::{Opener, Sealer};
use crate::time::Instant;

/// A session in both directions.
pub struct Session<K> {
    /// Seals what we send.
    pub sealer: Sealer<K>,
    /// Opens what we receive.
    pub opener: Opener<K>,
}

impl<K: CipherKey> Session<K> {
    /// Our session `local`, which the other side calls `remote`; `None` if the back end lacks the cipher.
    pub fn new(keys: &SessionKeys, local: u32, remote: u32, established: Instant) -> Option<Self> {
        let expires = established + REJECT_AFTER;
        Some(Self {
            sealer: Sealer::new(keys.cipher, &keys.send, remote)?,
            opener: Opener::new(keys.cipher, &keys.receive, local, expires)?,
        })
    }
}

/// A session that we answered but the initiator has not used yet. Its INITIATION may be a replay, so
/// until then nothing is sent under it and it displaces nothing. The keys are expanded only then.
struct Unconfirmed {
    keys: SessionKeys,
    local: u32,
    remote: u32,
    life: Life,
    established: Instant,
}

/// All sessions with one peer.
pub struct Established<K> {
    current: Option<Session<K>>,
    previous: [Option<Opener<K>>; 2],
    unconfirmed: [Option<Unconfirmed>; 2],
}

impl<K> Established<K> {
    /// None.
    pub const fn new() -> Self {
        Self {
            current: None,
            previous: [None, None],
            unconfirmed: [None, None],
        }
    }

    /// The session to send under.
    pub fn current_mut(&mut self) -> Option<&mut Session<K>> {
        self.current.as_mut()
    }

    /// Whether there is a session to send under.
    pub fn is_connected(&self) -> bool {
        self.current.is_some()
    }

    /// When the session to send under ends.
    pub fn ends(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.opener.expires)
    }

    /// When the next of the other sessions ends.
    pub fn next_expiry(&self) -> Option<Instant> {
        let previous = self.previous.iter().flatten().map(|opener| opener.expires);
        let unconfirmed = self
            .unconfirmed
            .iter()
            .flatten()
            .map(|unconfirmed| unconfirmed.established + REJECT_AFTER);
        previous.chain(unconfirmed).min()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Forgets the sessions not sent under that are too old.
    pub fn expire(&mut self, now: Instant) {
        for previous in &mut self.previous {
            previous.take_if(|opener| now >= opener.expires);
        }
        for unconfirmed in &mut self.unconfirmed {
            unconfirmed.take_if(|unconfirmed| now >= unconfirmed.established + REJECT_AFTER);
        }
    }

    /// Whether one of our sessions has this name.
    pub fn is_named(&self, local: u32) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.opener.local == local)
            || self
                .previous
                .iter()
                .flatten()
                .any(|opener| opener.local == local)
            || self
                .unconfirmed
                .iter()
                .flatten()
                .any(|unconfirmed| unconfirmed.local == local)
    }
}

impl<K: CipherKey> Established<K> {
    /// Opens a datagram under whichever session it names. `Some` with the peer's life if it is the
    /// first under a session that the peer began: the session is to be [`Self::install`]ed.
    pub fn open(
        &mut self,
        now: Instant,
        sealed: &mut Sealed<'_>,
    ) -> Result<Option<(Session<K>, Life)>, Dropped> {
        let current = self.current.as_mut().map(|current| &mut current.opener);
        let mut openers = current
            .into_iter()
            .chain(self.previous.iter_mut().flatten());
        if let Some(opener) = openers.find(|opener| opener.local == sealed.receiver) {
            return opener.open(now, sealed).map(|()| None);
        }
        for place in &mut self.unconfirmed {
            let Some(held) = place.as_ref().filter(|held| held.local == sealed.receiver) else {
                continue;
            };
            let mut session = Session::new(&held.keys, held.local, held.remote, held.established)
                .ok_or(Dropped::Cipher)?;
            session.opener.open(now, sealed)?;
            let life = held.life;
            *place = None;
            return Ok(Some((session, life)));
        }
        Err(Dropped::UnknownSession)
    }

    /// Holds a session that we answered until the initiator uses it.
    pub fn hold(
        &mut self,
        keys: SessionKeys,
        local: u32,
        remote: u32,
        life: Life,
        established: Instant,
    ) {
        let [newer, older] = &mut self.unconfirmed;
        *older = newer.replace(Unconfirmed {
            keys,
            local,
            remote,
            life,
            established,
        });
    }

    /// Makes `session` the one to send under. Those of another life of the peer go at once.
    pub fn install(&mut self, session: Session<K>, life: Life, is_same_life: bool) {
        let replaced = self
            .current
            .replace(session)
            .map(|replaced| replaced.opener);
        let [first, second] = &mut self.previous;
        if is_same_life {
            let (older, oldest) = (first.take(), second.take());
            let older_is_best = older.as_ref().map(|opener| opener.heard)
                >= oldest.as_ref().map(|opener| opener.heard);
            *second = if older_is_best { older } else { oldest };
            *first = replaced;
        } else {
            (*first, *second) = (None, None);
        }
        for unconfirmed in &mut self.unconfirmed {
            unconfirmed.take_if(|unconfirmed| unconfirmed.life != life);
        }
    }
}
