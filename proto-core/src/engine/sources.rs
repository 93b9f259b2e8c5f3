//! Whom pieces may be asked from, and which sources are given up.

use super::{Engine, Remote};
use crate::boundary::{PeerSlot, PullId};
use crate::limits::MAX_PEERS;
use crate::pull::{Failure, PeerSet, Piece, Want};
use crate::session::CipherKey;
use crate::time::{Duration, Instant};
use crate::wire::ObjectId;

/// A piece that was given up by time this often in a row is asked from another source, if there is one.
const LEAVE: u32 = 3;
/// A source is silent from which no BLOCK came for this long, although a piece was given up so often in a row: it was
/// killed, its disk hangs, or it is behind a tunnel that large datagrams do not pass.
const SILENCE: Duration = Duration::from_millis(400);
const UNANSWERED: u32 = 2;
/// How long a silent source is asked only for what nobody else has.
const AVOIDED: Duration = Duration::from_secs(30);

/// The pieces that one peer was asked for.
#[derive(Clone, Copy, Default)]
struct Pieces {
    /// With something outstanding that needs not be built first.
    asked: usize,
    /// Of these, given up by time several times in a row.
    stalled: usize,
    /// Whether any was given up by time [`UNANSWERED`] times in a row.
    unanswered: bool,
    /// Whether any was so often that somebody else is to be asked for it.
    tired: bool,
}

impl<K: CipherKey> Remote<K> {
    fn is_silent(&self, now: Instant) -> bool {
        now < self.avoided_until
    }

    /// It sent something that was asked for.
    pub fn has_answered(&mut self, now: Instant) {
        self.answered_at = now;
        self.avoided_until = Instant::ZERO;
    }
}

impl<K: CipherKey> Engine<K> {
    /// Gives up what is lost, and sources that send nothing.
    pub(super) fn find_losses(&mut self, now: Instant) {
        self.probe_tails(now);
        let seen = self.find_lost(now);
        let mut leave = false;
        for (remote, seen) in self.remotes.iter_mut().zip(seen) {
            let Some(remote) = remote else {
                continue;
            };
            if seen.asked > 0 {
                let timeout = remote.flow.answer_timeout();
                remote.mtu.suspect(now, timeout);
                if seen.stalled == seen.asked {
                    remote.flow.stalled();
                }
            }
            if seen.unanswered && now.saturating_since(remote.answered_at) >= SILENCE {
                remote.avoided_until = now + AVOIDED;
            }
            leave |= seen.tired || remote.is_silent(now);
        }
        if leave {
            self.leave_sources(now);
        }
    }

    /// Where nothing came for long, one segment is asked for again.
    fn probe_tails(&mut self, now: Instant) {
        for remote in self.remotes.iter_mut().flatten() {
            if remote.flow.probe_at().is_some_and(|at| now >= at) {
                remote.flow.probe();
                let newest = self
                    .pulls
                    .iter_mut()
                    .filter(|(_, piece)| {
                        piece.source == Some(remote.slot) && piece.outstanding() > 0
                    })
                    .max_by_key(|(_, piece)| piece.order());
                if let Some((_, piece)) = newest {
                    piece.probe(&mut remote.flow);
                }
            }
        }
    }

    /// Gives up what is lost; what was seen of each peer by it. The pieces are gone over once, since they do not
    /// fit into the nearest cache.
    fn find_lost(&mut self, now: Instant) -> [Pieces; MAX_PEERS] {
        let mut all = [Pieces::default(); MAX_PEERS];
        for (_, piece) in self.pulls.iter_mut() {
            let Some(source) = piece.source else {
                continue;
            };
            let (Some(Some(remote)), Some(seen)) = (
                self.remotes.get_mut(source.place()),
                all.get_mut(source.place()),
            ) else {
                continue;
            };
            if piece.outstanding() > 0 {
                if piece.has_waited(now) {
                    piece.give_up_source(now, &mut remote.flow, source);
                } else if piece.is_building() {
                    piece.find_lost(now, &mut remote.flow);
                } else {
                    seen.asked += 1;
                    seen.stalled += usize::from(piece.find_lost(now, &mut remote.flow));
                }
            }
            if piece.source.is_some() {
                seen.unanswered |= piece.timeouts() >= UNANSWERED;
                seen.tired |= piece.timeouts() >= LEAVE || piece.is_hopeless();
            }
        }
        all
    }

    /// Pieces whose source sends nothing are asked from others.
    fn leave_sources(&mut self, now: Instant) {
        let speaking = self.speaking(now);
        for remote in self.remotes.iter_mut().flatten() {
            let silent = remote.is_silent(now);
            for (_, piece) in self.pulls.iter_mut() {
                if piece.source == Some(remote.slot) && (silent || piece.timeouts() >= LEAVE) {
                    if let Some(other) = piece.other_source(speaking, remote.slot) {
                        piece.leave(&mut remote.flow, other);
                    }
                } else if silent && piece.source.is_none() && piece.want.prefer == Some(remote.slot)
                {
                    piece.want.prefer = piece.other_source(speaking, remote.slot);
                }
                if piece.source == Some(remote.slot) && piece.is_hopeless() {
                    piece.give_up_source(now, &mut remote.flow, remote.slot);
                    if let ObjectId::Content(content) = piece.want.object
                        && let Some(swarm) = self.swarms.get_mut(content)
                    {
                        swarm.forget(remote.slot);
                    }
                }
            }
        }
    }

    /// Connected peers that are not silent.
    pub(super) fn speaking(&self, now: Instant) -> PeerSet {
        let mut speaking = PeerSet::EMPTY;
        for remote in self.remotes.iter().flatten() {
            if remote.is_connected() && !remote.is_silent(now) {
                speaking.insert(remote.slot);
            }
        }
        speaking
    }

    /// [`Self::pull`] that never asks some peers.
    pub fn pull_without(&mut self, want: Want, not_from: PeerSet) -> Option<PullId> {
        let pull = self.pull(want)?;
        if let Some(piece) = self.pulls.get_mut(pull) {
            for peer in not_from.iter() {
                piece.refused_by.insert(peer);
            }
        }
        Some(pull)
    }

    /// Who sent what is here of a piece.
    #[must_use]
    pub fn senders(&self, pull: PullId) -> PeerSet {
        self.pulls
            .get(pull)
            .map_or(PeerSet::EMPTY, |piece| piece.senders)
    }

    /// Whether there is any peer to ask.
    #[must_use]
    pub fn is_any_connected(&self) -> bool {
        self.remotes.iter().flatten().any(Remote::is_connected)
    }

    /// Whether there is more than one peer to ask.
    #[must_use]
    pub fn has_several_connected(&self) -> bool {
        let connected = self.remotes.iter().flatten().filter(|it| it.is_connected());
        connected.count() > 1
    }

    /// Why a piece cannot be had, if so.
    pub(super) fn failure(&self, pull: PullId) -> Option<Failure> {
        let piece = self.pulls.get(pull)?;
        if piece.ended {
            return Some(Failure::Disconnected);
        }
        if piece.is_complete() {
            return None;
        }
        let mut refused = false;
        for remote in self
            .remotes
            .iter()
            .flatten()
            .filter(|remote| remote.is_connected())
        {
            if piece.want.only.is_some_and(|only| only != remote.slot) {
                continue;
            }
            if !piece.refused_by.contains(remote.slot) {
                return None;
            }
            refused = true;
        }
        Some(match refused {
            false => Failure::Disconnected,
            true if piece.silent.is_empty() => Failure::Gone,
            true => Failure::Silent,
        })
    }
}

/// Whether `peer` may be asked for `piece`, with `speaking` the peers that are not silent.
pub(super) fn may_ask(piece: &Piece, now: Instant, peer: PeerSlot, speaking: PeerSet) -> bool {
    piece.may_ask(now, peer)
        && (speaking.contains(peer)
            || piece.source == Some(peer)
            || piece.other_source(speaking, peer).is_none())
}
