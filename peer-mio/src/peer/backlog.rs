//! Pending files of peers that have as much under way as one may have while others are connected: the plan passes them by
//! and comes back to them (docs/architecture.md, "Pending").

use proto_core::boundary::PeerSlot;
use proto_core::limits::MAX_PEERS;
use proto_core::path::tree_cmp;
use proto_core::time::Duration;
use std::cmp::Ordering;

/// What a peer has beyond its share, because nobody else was connected when it began, and of which nothing came for so long
/// makes way for what others have.
pub const IN_THE_WAY: Duration = Duration::from_secs(3);

/// What a file waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// One of the bundles under way.
    Bundle,
    /// One of the transfers.
    Transfer,
}

/// The first file of a peer that was passed by.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Backlog {
    /// It is behind this path, in tree order.
    after: Option<Vec<u8>>,
    waits_for: Place,
}

/// The backlogs of all peers.
#[derive(Debug, Default)]
pub struct Backlogs {
    of: [Option<Backlog>; MAX_PEERS],
    /// Deletions were passed by too: they follow what their peer creates.
    deletions: bool,
}

impl Backlogs {
    /// A file behind `after` is passed by. The first one is remembered.
    pub fn leave(&mut self, peer: PeerSlot, after: Option<&[u8]>, waits_for: Place) {
        let Some(of) = self.of.get_mut(peer.place()) else {
            return;
        };
        if of
            .as_ref()
            .is_none_or(|it| is_before(after, it.after.as_deref()))
        {
            *of = Some(Backlog {
                after: after.map(<[u8]>::to_vec),
                waits_for,
            });
        }
    }

    /// Whether a file of a peer is left to its backlog.
    #[must_use]
    pub fn has(&self, peer: PeerSlot, path: &[u8]) -> bool {
        self.get(peer)
            .is_some_and(|it| is_before(it.after.as_deref(), Some(path)))
    }

    /// Whether a deletion that a peer told of is to wait; it is looked at again.
    pub fn keeps_deletion(&mut self, peer: PeerSlot) -> bool {
        let keeps = self.get(peer).is_some();
        self.deletions |= keeps;
        keeps
    }

    /// What the first file of a peer waits for, and behind which path it is.
    #[must_use]
    pub fn first(&self, peer: PeerSlot) -> Option<(Place, Option<Vec<u8>>)> {
        self.get(peer).map(|it| (it.waits_for, it.after.clone()))
    }

    /// All up to this path were looked at again.
    pub fn advance(&mut self, peer: PeerSlot, to: Vec<u8>) {
        if let Some(backlog) = self.of.get_mut(peer.place()).and_then(Option::as_mut) {
            backlog.after = Some(to);
        }
    }

    /// What its first file waits for now.
    pub fn wait_for(&mut self, peer: PeerSlot, place: Place) {
        if let Some(backlog) = self.of.get_mut(peer.place()).and_then(Option::as_mut) {
            backlog.waits_for = place;
        }
    }

    /// Nothing is left of a peer's. True if deletions waited for it.
    pub fn end(&mut self, peer: PeerSlot) -> bool {
        if let Some(of) = self.of.get_mut(peer.place()) {
            *of = None;
        }
        std::mem::take(&mut self.deletions)
    }

    /// All is looked at from the beginning.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of.iter().all(Option::is_none)
    }

    fn get(&self, peer: PeerSlot) -> Option<&Backlog> {
        self.of.get(peer.place())?.as_ref()
    }
}

/// Whether one place of the walk is before another; `None` is the beginning.
fn is_before(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    match (one, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(one), Some(other)) => tree_cmp(one, other) == Ordering::Less,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_first_file_that_was_passed_by_is_left_to_the_backlog() {
        let (one, other) = (PeerSlot::new(0).unwrap(), PeerSlot::new(3).unwrap());
        let mut backlogs = Backlogs::default();
        assert!(backlogs.is_empty() && !backlogs.has(one, b"a"));
        backlogs.leave(one, Some(b"b/c"), Place::Bundle);
        assert!(!backlogs.has(one, b"b/c") && !backlogs.has(one, b"a"));
        // In tree order what is in a folder comes before its longer neighbour.
        assert!(backlogs.has(one, b"b/d") && backlogs.has(one, b"b-c"));
        assert!(!backlogs.has(other, b"b/d"));
        backlogs.leave(one, Some(b"x"), Place::Transfer);
        assert_eq!(
            backlogs.first(one),
            Some((Place::Bundle, Some(b"b/c".to_vec())))
        );
        backlogs.leave(one, None, Place::Transfer);
        assert_eq!(backlogs.first(one), Some((Place::Transfer, None)));
        assert!(backlogs.has(one, b"a"));
        backlogs.advance(one, b"m".to_vec());
        assert!(!backlogs.has(one, b"a") && backlogs.has(one, b"n"));
    }

    #[test]
    fn deletions_wait_for_the_backlog_of_who_told_of_them() {
        let (one, other) = (PeerSlot::new(0).unwrap(), PeerSlot::new(3).unwrap());
        let mut backlogs = Backlogs::default();
        assert!(!backlogs.keeps_deletion(one));
        backlogs.leave(one, None, Place::Bundle);
        assert!(!backlogs.keeps_deletion(other));
        assert!(backlogs.keeps_deletion(one));
        assert!(backlogs.end(one));
        assert!(!backlogs.end(one) && backlogs.is_empty());
    }
}
