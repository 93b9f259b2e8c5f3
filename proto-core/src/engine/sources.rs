//! Whom pieces may be asked from, and which sources are given up.

use super::{Engine, Remote};
use crate::boundary::{PeerSlot, PullId};
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
            let (mut stalled, mut asked) = (0, 0);
            for (_, piece) in self
                .pulls
                .iter_mut()
                .filter(|(_, piece)| piece.source == Some(remote.slot) && piece.outstanding() > 0)
            {
                if piece.has_waited(now) {
                    piece.give_up_source(now, &mut remote.flow, remote.slot);
                    continue;
                }
                if piece.is_building() {
                    piece.find_lost(now, &mut remote.flow);
                    continue;
                }
                asked += 1;
                stalled += usize::from(piece.find_lost(now, &mut remote.flow));
            }
            if asked > 0 {
                let timeout = remote.flow.answer_timeout();
                remote.mtu.suspect(now, timeout);
            }
            if asked > 0 && stalled == asked {
                remote.flow.stalled();
            }
        }
        for remote in self.remotes.iter_mut().flatten() {
            let unanswered = self.pulls.iter().any(|(_, piece)| {
                piece.source == Some(remote.slot) && piece.timeouts() >= UNANSWERED
            });
            if unanswered && now.saturating_since(remote.answered_at) >= SILENCE {
                remote.avoided_until = now + AVOIDED;
            }
        }
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
