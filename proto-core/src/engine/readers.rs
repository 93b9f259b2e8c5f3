//! How far others may have read our journal: who has read further knows changes of ours that are lost
//! (docs/architecture.md, section 2).

use super::Engine;
use super::trouble::Trouble;
use crate::boundary::PeerSlot;
use crate::index::entry::{IndexId, Sequence};
use crate::limits::MAX_PEERS;
use crate::session::CipherKey;
use heapless::LinearMap;

/// Indexes that are remembered.
const MOST: usize = 2 * MAX_PEERS;

/// How far each index may have read, in this life of our program and in those before.
#[derive(Debug)]
pub(super) struct Readers {
    /// In the lives before.
    before: Sequence,
    now: LinearMap<IndexId, Sequence, MOST>,
    forgot: bool,
}

impl Readers {
    pub fn new(before: Sequence) -> Self {
        Self {
            before,
            now: LinearMap::new(),
            forgot: false,
        }
    }

    /// How far an index may have read that has not been connected since.
    fn may_have_read(&self, reader: IndexId) -> Sequence {
        match self.now.get(&reader) {
            Some(read) => self.before.max(*read),
            None if self.forgot => Sequence::MAX,
            None => self.before,
        }
    }

    /// An index was connected, and our journal had come so far.
    pub fn note(&mut self, reader: IndexId, newest: Sequence) {
        self.forgot |= self.now.insert(reader, newest).is_err();
    }
}

impl<K: CipherKey> Engine<K> {
    /// Whether a connected peer, which says to have read our journal so far, knows of changes that we lost. From its
    /// first word on it may read all that there is.
    pub(super) fn knows_what_was_lost(&mut self, peer: PeerSlot, read: Sequence) -> bool {
        let remote = self.remote(peer);
        let Some(index) = remote.and_then(|remote| remote.sessions.remote_index_id()) else {
            return false;
        };
        // Over this connection, or over one to another address of the same machine.
        let mut others = self.remotes.iter().flatten();
        let reads = others.any(|remote| remote.reader == Some(index));
        let may_have_read = match reads {
            true => self.own.sequence,
            false => self.readers.may_have_read(index).min(self.own.sequence),
        };
        let lost = read > may_have_read;
        if let Some(remote) = self.remote_mut(peer) {
            if lost {
                remote.troubles.note(Trouble::IndexWentBack);
            } else {
                remote.reader = Some(index);
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_at_the_start_and_what_came_while_it_was_connected_may_have_been_read() {
        let mut readers = Readers::new(10);
        let (one, other) = (IndexId(1), IndexId(2));
        readers.note(one, 15);
        assert_eq!(readers.may_have_read(one), 15);
        assert_eq!(readers.may_have_read(other), 10);
        readers.note(other, 5);
        assert_eq!(readers.may_have_read(other), 10);
    }

    #[test]
    fn of_one_that_is_forgotten_nothing_is_said() {
        let mut readers = Readers::new(10);
        for number in 0..MOST as u64 {
            readers.note(IndexId(number), 15);
        }
        let unknown = IndexId(MOST as u64);
        assert_eq!(readers.may_have_read(unknown), 10);
        readers.note(unknown, 15);
        assert_eq!(readers.may_have_read(unknown), Sequence::MAX);
        assert_eq!(readers.may_have_read(IndexId(0)), 15);
    }
}
