//! What happened, one event after the other, and what a connection takes with it when it goes.

use super::{Engine, Event};
use crate::boundary::PeerSlot;
use crate::limits::MAX_PEERS;
use crate::session::CipherKey;

impl<K: CipherKey> Engine<K> {
    /// What happened; call until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.askable = None;
        for place in 0..MAX_PEERS {
            if let Some(event) = self.poll_remote(place) {
                return Some(event);
            }
        }
        if let Some(asked) = self.poll_asked() {
            return Some(asked);
        }
        let complete = self
            .pulls
            .iter_mut()
            .find(|(_, piece)| piece.is_complete() && !piece.reported && !piece.ended);
        if let Some((pull, piece)) = complete {
            piece.reported = true;
            return Some(Event::Complete {
                pull,
                want: piece.want,
            });
        }
        let failed = self
            .pulls
            .iter()
            .find_map(|(pull, piece)| Some((pull, piece.want, self.failure(pull)?)));
        let (pull, want, failure) = failed?;
        self.end_pull(pull);
        Some(Event::Failed {
            pull,
            want,
            failure,
        })
    }

    /// A connection that came or went since the last look.
    fn poll_remote(&mut self, place: usize) -> Option<Event> {
        let remote = self.remotes.get_mut(place)?.as_mut()?;
        let peer = remote.slot;
        if let Some((index, counter)) = remote.take_initiation() {
            return Some(Event::Initiation {
                peer,
                index,
                counter,
            });
        }
        if let Some(trouble) = remote.troubles.take() {
            return Some(Event::Trouble { peer, trouble });
        }
        let connected = remote.sessions.is_connected();
        let life = remote.sessions.incarnation();
        if remote.reported == connected.then_some(life) {
            return None;
        }
        if remote.reported.take().is_some() {
            self.forget_connection(peer);
            return Some(Event::Disconnected { peer });
        }
        let index = remote.sessions.remote_index_id()?;
        remote.reported = Some(life);
        remote.troubles.clear();
        // Who refused in an earlier life may have it now.
        for (_, piece) in self.pulls.iter_mut() {
            piece.refused_by.remove(peer);
            piece.silent.remove(peer);
        }
        Some(Event::Connected { peer, index })
    }

    fn forget_connection(&mut self, peer: PeerSlot) {
        let Some(remote) = self.remotes.get_mut(peer.place()).and_then(Option::as_mut) else {
            return;
        };
        for (_, piece) in self
            .pulls
            .iter_mut()
            .filter(|(_, piece)| piece.source == Some(peer))
        {
            piece.give_up(&mut remote.flow);
            piece.source = None;
            piece.forget_encoded();
        }
        for (_, piece) in self
            .pulls
            .iter_mut()
            .filter(|(_, piece)| piece.want.prefer == Some(peer))
        {
            piece.want.prefer = None;
        }
        if let Some(piece) = remote.journal.and_then(|pull| self.pulls.get_mut(pull)) {
            // It may be another index that comes next to this address.
            piece.ended = true;
        }
        if let Some(reader) = remote.reader {
            self.readers.note(reader, self.own.sequence);
        }
        remote.forget_connection();
        self.demand.forget(peer);
        self.forget_source(peer);
    }
}
