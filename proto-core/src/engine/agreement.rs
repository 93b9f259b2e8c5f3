//! How far peers have read one another.

use super::Engine;
use super::remote::Remote;
use crate::boundary::PeerSlot;
use crate::index::entry::Sequence;
use crate::session::{CipherKey, PeerSessions};

impl<K: CipherKey> Engine<K> {
    /// Whether every configured peer is connected, has read all of our journal and wants nothing,
    /// and we have read all of theirs. (Whether we want nothing, the driver knows.)
    #[must_use]
    pub fn in_sync(&self) -> bool {
        self.remotes
            .iter()
            .flatten()
            .filter(|remote| !remote.is_self())
            .all(|remote| remote.in_sync_with(self.config.session.index_id, self.own.sequence))
    }

    /// Whether every configured peer is connected.
    #[must_use]
    pub fn are_all_connected(&self) -> bool {
        let mut others = self.remotes.iter().flatten();
        others.all(|remote| remote.is_self() || remote.is_connected())
    }

    /// Whether the journals of all connected peers have been read as far as they told of them.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.remotes
            .iter()
            .flatten()
            .filter(|remote| remote.is_connected())
            .all(|remote| {
                remote
                    .announced
                    .is_some_and(|told| remote.cursor.is_some_and(|cursor| cursor >= told.sequence))
            })
    }

    /// Whether every configured peer is connected and has read our journal up to `sequence`.
    #[must_use]
    pub fn all_have_seen(&self, sequence: Sequence) -> bool {
        self.remotes
            .iter()
            .flatten()
            .filter(|remote| !remote.is_self())
            .all(|remote| remote.has_seen(self.config.session.index_id) >= sequence)
    }

    /// Whether every configured peer is connected, has read our journal up to `sequence` and wants nothing any more.
    #[must_use]
    pub fn nobody_lacks(&self, sequence: Sequence) -> bool {
        let mut others = self.remotes.iter().flatten();
        self.all_have_seen(sequence)
            && others.all(|remote| {
                remote.is_self() || remote.announced.is_some_and(|told| told.pending == 0)
            })
    }

    /// Whether a connected peer still wants entries.
    #[must_use]
    pub fn is_pulled_by_somebody(&self) -> bool {
        self.remotes.iter().flatten().any(Remote::pulls)
    }

    /// How many of the connected peers that still want entries, `source` aside, have a lesser index id than we, and how many
    /// they are with us: so each takes another part of what all want of `source` first.
    #[must_use]
    pub fn place_among_pullers(&self, source: PeerSlot) -> (usize, usize) {
        let own = self.config.session.index_id;
        let (mut before, mut all) = (0, 1);
        for (place, remote) in self.remotes.iter().enumerate() {
            let pulls = |remote: &&Remote<K>| place != source.place() && remote.pulls();
            let index = remote.as_ref().filter(pulls).map(|it| &it.sessions);
            if let Some(index) = index.and_then(PeerSessions::remote_index_id) {
                before += usize::from(index < own);
                all += 1;
            }
        }
        (before, all)
    }

    /// Whether a connected peer that is this bridge too leads it, or is to: of two that do or of two that do not the one with the
    /// lesser index id (docs/legacy.md, "Two bridges"). `None` if none is, but one that is not connected may be.
    #[must_use]
    pub fn is_led(&self, bridge: u8) -> Option<bool> {
        let own = self.config.session.index_id;
        let mut all_known = true;
        for remote in self.remotes.iter().flatten() {
            match remote.announced.filter(|_| remote.is_connected()) {
                Some(told) => {
                    let before = match (told.leads, self.own.leads) {
                        (true, false) => true,
                        (false, true) => false,
                        _ => told.index < own,
                    };
                    if told.bridge == bridge && before {
                        return Some(true);
                    }
                }
                None => all_known &= remote.is_self(),
            }
        }
        all_known.then_some(false)
    }

    /// Whether a peer told to have read further in our journal than it goes.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        let own = self.config.session.index_id;
        let mut others = self.remotes.iter().flatten();
        others.any(|remote| remote.has_seen(own) > self.own.sequence)
    }

    /// How far every configured peer has read our journal, while all are connected; else 0.
    #[must_use]
    pub fn seen_by_all(&self) -> Sequence {
        let others = self.remotes.iter().flatten();
        others
            .filter(|remote| !remote.is_self())
            .map(|remote| remote.has_seen(self.config.session.index_id))
            .min()
            .unwrap_or(0)
    }
}
