//! What goes out as a REQUEST: of which object, how many of its pieces, how many segments of each.

use super::Engine;
use super::sources::may_ask;
use super::transmit::{PLAINTEXT, SEAL};
use crate::boundary::{PeerSlot, PullId};
use crate::flow::Room;
use crate::limits::{MAX_PULLS, MIN_DATAGRAM};
use crate::pull;
use crate::pull::{PeerSet, Piece, Pulls};
use crate::session::CipherKey;
use crate::storage::segment_bitmap::SegmentBitmap;
use crate::time::Instant;
use crate::wire::ObjectId;
use crate::wire::block::Block;
use crate::wire::request::RequestWriter;
use heapless::Vec;

/// What is the same for all peers while one of them is looked for that something can be asked of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// Nobody else may be asked for any piece.
    pub candidates: PeerSet,
    /// Not silent.
    speaking: PeerSet,
    /// Bytes left of what may wait in the receive buffer.
    budget: usize,
    /// The paths set the pace, not a limit.
    paced: bool,
}

/// Segments to ask for of a piece of which nothing came: it may never be answered. More than one,
/// so that the loss of one answer is not silence again.
const PROBE: usize = 4;

impl<K: CipherKey> Engine<K> {
    /// What holds for all peers that may be asked now.
    pub(super) fn asking(&self, now: Instant) -> Asking {
        let mut candidates = PeerSet::EMPTY;
        for (_, piece) in self.pulls.iter() {
            candidates.join(piece.candidates(now));
        }
        Asking {
            candidates,
            speaking: self.speaking(now),
            budget: self.receive_budget(),
            paced: !self.down.is_some_and(|down| down.binds(self.rate(now))),
        }
    }

    /// Bytes of the receive buffer that nothing under way may need.
    fn receive_budget(&self) -> usize {
        let queued: usize = self
            .remotes
            .iter()
            .flatten()
            .map(|remote| remote.flow.queued())
            .sum();
        self.config.receive_buffer.saturating_sub(queued)
    }

    /// Bytes that lately came from all peers in a second.
    fn rate(&self, now: Instant) -> u64 {
        let remotes = self.remotes.iter().flatten();
        remotes.map(|remote| remote.flow.rate(now)).sum()
    }

    /// A REQUEST for pieces of one object, as many as there is room for.
    pub(super) fn build_request(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        asking: &Asking,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let speaking = asking.speaking;
        let remote = self.remotes.get_mut(peer.place())?.as_mut()?;
        remote.ask_at = Instant::FAR_FUTURE;
        let longest = remote.mtu.size().saturating_sub(SEAL + Block::HEADER_LEN);
        let object = Some(peer)
            .filter(|peer| asking.candidates.contains(*peer))
            .and_then(|peer| next_object(&self.pulls, now, peer, speaking));
        let Some(object) = object else {
            remote.flow.idle();
            return None;
        };
        let outstanding = remote.flow.outstanding();
        let mut room = match remote.flow.room(now, longest, asking.budget, asking.paced) {
            Room::Bytes(room) => room,
            Room::At(ready) => {
                remote.ask_at = ready;
                return None;
            }
            Room::Full => return None,
        };
        if let Some(down) = &self.down {
            let datagrams = down.room(now).div_ceil(longest + Block::HEADER_LEN + SEAL);
            if datagrams == 0 {
                // What comes now is less than the path could carry.
                remote.flow.idle();
                remote.ask_at = down.ready_at();
                return None;
            }
            room = room.min(datagrams * longest);
        }
        let mut candidates: Vec<(u64, PullId), MAX_PULLS> = Vec::new();
        for (id, piece) in self.pulls.iter() {
            if piece.want.object == object && may_ask(piece, now, peer, speaking) {
                let _ = candidates.push((piece.want.start, id));
            }
        }
        candidates.sort_unstable_by_key(|(start, _)| *start);
        // What was begun in shorter segments goes on in them: what is here of it stays. All of a REQUEST are alike.
        let begun = candidates
            .first()
            .and_then(|(_, id)| self.pulls.get(*id))
            .map_or(0, Piece::segment);
        let segment = if begun == 0 {
            longest
        } else {
            begun.min(longest)
        };
        let end = MIN_DATAGRAM - SEAL + PLAINTEXT;
        let mut writer = RequestWriter::new(
            buffer.get_mut(PLAINTEXT..end)?,
            object,
            u16::try_from(segment).ok()?,
        )
        .ok()?;
        if object.sort().is_some() {
            writer.set_rate(remote.flow.link_rate(now));
        }
        for (start, id) in candidates {
            let piece = self.pulls.get_mut(id)?;
            if piece.segment() > longest {
                // The path carries no such long ones.
                piece.ask_anew(&mut remote.flow);
            } else if piece.segment() != 0 && piece.segment() != segment {
                continue;
            }
            if room < segment && !(outstanding == 0 && writer.is_empty()) {
                break;
            }
            if !writer.has_room(piece.named_length().div_ceil(segment.max(1))) {
                break;
            }
            let mut wanted = SegmentBitmap::new();
            let room_for_it = if piece.timeouts() > 0 {
                room.min(PROBE * segment)
            } else {
                room
            };
            piece.guess_length(&self.expected);
            let missing = piece.ask(peer, segment, room_for_it, &mut wanted);
            if missing.segments == 0 {
                continue;
            }
            remote.mtu.asked(now, remote.flow.outstanding() == 0);
            let order = remote.flow.asked(now, missing.bytes);
            piece.asked(now, order, &wanted);
            room = room.saturating_sub(missing.bytes);
            if let Some(down) = &mut self.down
                && matches!(object, ObjectId::Content(_) | ObjectId::Bundle(_))
            {
                // Only of these it is known how long the answer is, or will be given back.
                let heads = missing.segments * (Block::HEADER_LEN + SEAL);
                down.spend(now, missing.bytes + heads);
            }
            let named = piece.named_length();
            let length = u32::try_from(named).unwrap_or(u32::MAX);
            let segments = named.div_ceil(segment.max(1));
            let encoding = piece.asked_encoding();
            if writer
                .push_encoded(pull::tag(id), (start, length), encoding, segments, &wanted)
                .is_err()
            {
                break;
            }
        }
        if writer.is_empty() {
            None
        } else {
            Some(writer.finish())
        }
    }
}

/// An object of which a peer was asked for something, or may be.
struct Turn {
    object: ObjectId,
    may_ask: bool,
    /// When it was last asked for any of it.
    asked: Option<u64>,
}

/// The object to ask a peer for next: its journal, else what was not asked for the longest, so that
/// nothing waits for a large content to be whole, or for one that is never answered. The pieces are gone over once, since they do
/// not fit into the nearest cache.
fn next_object(pulls: &Pulls, now: Instant, peer: PeerSlot, speaking: PeerSet) -> Option<ObjectId> {
    let mut turns: Vec<Turn, MAX_PULLS> = Vec::new();
    for (_, piece) in pulls.iter() {
        let object = piece.want.object;
        let asked = (piece.source == Some(peer)).then(|| piece.order());
        if let Some(turn) = turns.iter_mut().find(|turn| turn.object == object) {
            turn.asked = turn.asked.max(asked);
            turn.may_ask = turn.may_ask || may_ask(piece, now, peer, speaking);
            continue;
        }
        let may_ask = may_ask(piece, now, peer, speaking);
        if asked.is_some() || may_ask {
            // There is room for as many as there are pieces.
            let _ = turns.push(Turn {
                object,
                may_ask,
                asked,
            });
        }
    }
    let turn = |turn: &&Turn| (!matches!(turn.object, ObjectId::Journal(_)), turn.asked);
    let next = turns.iter().filter(|turn| turn.may_ask).min_by_key(turn);
    next.map(|turn| turn.object)
}
