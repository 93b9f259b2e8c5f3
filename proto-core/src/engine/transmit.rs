//! What goes out: handshakes first, then small messages, then requests, then bursts of BLOCKs.

use super::Engine;
use super::remote::Remote;
use super::sources::may_ask;
use crate::boundary::{Objects, PeerSlot, PullId, Transmit};
use crate::flow::Room;
use crate::limits::{MAX_PEERS, MAX_PULLS, MIN_DATAGRAM};
use crate::pull;
use crate::pull::{PeerSet, Piece, Pulls};
use crate::serve::Built;
use crate::session;
use crate::session::CipherKey;
use crate::storage::segment_bitmap::SegmentBitmap;
use crate::time::Instant;
use crate::wire::announce::Announce;
use crate::wire::block::Block;
use crate::wire::path_probe::Padding;
use crate::wire::request::RequestWriter;
use crate::wire::{ObjectId, goodbye};
use heapless::Vec;

/// What is the same for all peers while one of them is looked for that something can be asked of.
#[derive(Clone, Copy, Debug)]
struct Asking {
    /// Nobody else may be asked for any piece.
    candidates: PeerSet,
    /// Not silent.
    speaking: PeerSet,
    /// Bytes left of what may wait in the receive buffer.
    budget: usize,
    /// The paths set the pace, not a limit.
    paced: bool,
}

/// Bytes of a sealed datagram that are not plaintext.
const SEAL: usize = session::OVERHEAD;
/// Where the plaintext begins.
const PLAINTEXT: usize = session::SEALED_HEADER;
/// Segments to ask for of a piece of which nothing came: it may never be answered. More than one,
/// so that the loss of one answer is not silence again.
const PROBE: usize = 4;

impl<K: CipherKey> Engine<K> {
    /// Builds datagrams for one peer into `buffer` (at least one largest datagram long), reading
    /// what is served straight into them; `None` if there is nothing to send now.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        objects: &mut impl Objects,
    ) -> Option<Transmit> {
        self.askable = None;
        self.pull_journals(now);
        let mut asking = self.asking(now);
        for _ in 0..MAX_PEERS {
            let place = self.turn;
            self.turn = (self.turn + 1) % MAX_PEERS;
            let Some(peer) = PeerSlot::new(place).filter(|peer| self.remote(*peer).is_some())
            else {
                continue;
            };
            if let Some(transmit) = self.transmit_to(now, peer, &mut asking, buffer, objects) {
                if let Some(up) = &mut self.up {
                    up.spend(now, transmit.len);
                }
                if let Some(remote) = self.remote_mut(peer) {
                    remote.bytes_sent = remote.bytes_sent.saturating_add(transmit.len as u64);
                }
                return Some(transmit);
            }
        }
        None
    }

    fn transmit_to(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        asking: &mut Asking,
        buffer: &mut [u8],
        objects: &mut impl Objects,
    ) -> Option<Transmit> {
        let remote = self.remotes.get_mut(peer.place())?.as_mut()?;
        if let Some(len) =
            remote
                .sessions
                .poll_transmit(now, &self.config.session, &mut self.entropy, buffer)
        {
            return Some(Transmit {
                peer,
                len,
                segment_size: len,
                ecn: false,
            });
        }
        if !remote.is_connected() {
            return None;
        }
        if self.goodbye {
            let len = goodbye::emit(buffer.get_mut(PLAINTEXT..)?).ok()?;
            let len = seal(remote, now, buffer, len)?;
            remote.sessions.close(now);
            return Some(Transmit {
                peer,
                len,
                segment_size: len,
                ecn: false,
            });
        }
        if now >= remote.announce_at {
            remote.announced_now(now);
            let own = Announce {
                busy: self.own.busy,
                bridge: self.own.bridge,
                leads: self.own.leads,
                index_id: self.config.session.index_id,
                sequence: self.own.sequence,
                seen_index_id: remote.sessions.remote_index_id().unwrap_or_default(),
                seen_sequence: remote.cursor.unwrap_or_default(),
                pending: self.own.pending,
                // 0 says "none".
                sent_at: (now.as_micros() as u32).max(1),
                echo: remote.echo.map_or(0, |(sent_at, _)| sent_at),
                echo_delay: remote
                    .echo
                    .map_or(0, |(_, at)| now.saturating_since(at).as_micros() as u32),
                page: &[],
                contents: &[],
            };
            let len = super::announcement::emit(
                remote,
                &own,
                buffer.get_mut(PLAINTEXT..MIN_DATAGRAM - SEAL + PLAINTEXT)?,
                objects,
            )?;
            let len = seal(remote, now, buffer, len)?;
            return Some(Transmit {
                peer,
                len,
                segment_size: len,
                ecn: false,
            });
        }
        let before = remote.mtu.size();
        // What looks whether BLOCKs come goes as they do (docs/protocol.md, "Flow", "Marks").
        let ecn = remote.probes.front().is_some_and(|wanted| wanted.ecn);
        let path_probe = build_path_probe(remote, now, buffer);
        if remote.mtu.size() < before {
            // All that is under way in long segments is lost, and what was waited for says nothing of the path.
            for (_, piece) in self.pulls.iter_mut() {
                if piece.source == Some(peer) {
                    piece.ask_anew(&mut remote.flow);
                }
            }
            remote.flow.stalled();
            asking.candidates.insert(peer);
        }
        if let Some(len) = path_probe {
            let sealed = self.sealed(now, peer, buffer, len);
            return sealed.map(|transmit| Transmit { ecn, ..transmit });
        }
        let end = MIN_DATAGRAM - SEAL + PLAINTEXT;
        if let Some(len) = self.build_have(now, peer, buffer.get_mut(PLAINTEXT..end)?) {
            return self.sealed(now, peer, buffer, len);
        }
        if let Some(len) = self.build_request(now, peer, asking, buffer) {
            return self.sealed(now, peer, buffer, len);
        }
        self.build_burst(now, peer, buffer, objects)
    }

    /// One datagram with a message of this many bytes.
    fn sealed(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        buffer: &mut [u8],
        plaintext: usize,
    ) -> Option<Transmit> {
        let remote = self.remotes.get_mut(peer.place())?.as_mut()?;
        let len = seal(remote, now, buffer, plaintext)?;
        Some(Transmit {
            peer,
            len,
            segment_size: len,
            ecn: false,
        })
    }

    /// What holds for all peers that may be asked now.
    fn asking(&self, now: Instant) -> Asking {
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
    fn build_request(
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

    /// BLOCKs of one burst, sealed one behind the other.
    fn build_burst(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        buffer: &mut [u8],
        objects: &mut impl Objects,
    ) -> Option<Transmit> {
        let remote = self.remotes.get_mut(peer.place())?.as_mut()?;
        let allowed = self.up.map_or(usize::MAX, |up| up.room(now));
        let (mut len, mut first) = (0, None);
        while let Some(rest) = buffer.get_mut(len..)
            && len < allowed
        {
            // The next one must fit whole, or building it would lose it.
            let Some(body) = rest.get_mut(PLAINTEXT..) else {
                break;
            };
            if first.is_some_and(|first: usize| rest_too_short(body.len(), first)) {
                break;
            }
            let Built::Message(plaintext) =
                remote
                    .serve
                    .build(objects, body, first.map(|first| first - SEAL))
            else {
                break;
            };
            let Some(sealed) = seal(remote, now, rest, plaintext) else {
                break;
            };
            len += sealed;
            match first {
                None => first = Some(sealed),
                Some(first) if sealed < first => break,
                Some(_) => {}
            }
        }
        Some(Transmit {
            peer,
            len,
            segment_size: first?,
            ecn: remote.ecn,
        })
    }
}

/// The object to ask a peer for next: its journal, else what was not asked for the longest, so that
/// nothing waits for a large content to be whole, or for one that is never answered.
fn next_object(pulls: &Pulls, now: Instant, peer: PeerSlot, speaking: PeerSet) -> Option<ObjectId> {
    let mut objects: Vec<ObjectId, MAX_PULLS> = Vec::new();
    for (_, piece) in pulls.iter() {
        let object = piece.want.object;
        if !objects.contains(&object) && may_ask(piece, now, peer, speaking) {
            // There is room for as many as there are pieces.
            let _ = objects.push(object);
        }
    }
    if let [only] = objects.as_slice() {
        return Some(*only);
    }
    let turn = |object: &ObjectId| {
        let of_it = pulls
            .iter()
            .filter(|(_, piece)| piece.source == Some(peer) && piece.want.object == *object);
        let is_journal = matches!(object, ObjectId::Journal(_));
        (!is_journal, of_it.map(|(_, piece)| piece.order()).max())
    };
    objects.iter().copied().min_by_key(turn)
}

/// A PADDING that the peer wants, or a PROBE that is due.
fn build_path_probe<K: CipherKey>(
    remote: &mut Remote<K>,
    now: Instant,
    buffer: &mut [u8],
) -> Option<usize> {
    if let Some(wanted) = remote.probes.pop_front() {
        let end = usize::from(wanted.size) - SEAL + PLAINTEXT;
        let padding = Padding { tag: wanted.tag };
        return padding.emit(buffer.get_mut(PLAINTEXT..end)?).ok();
    }
    let timeout = remote.flow.answer_timeout();
    let probe = remote.mtu.poll(now, timeout)?;
    probe.emit(buffer.get_mut(PLAINTEXT..)?).ok()
}

fn rest_too_short(body: usize, datagram: usize) -> bool {
    body + PLAINTEXT < datagram
}

fn seal<K: CipherKey>(
    remote: &mut Remote<K>,
    now: Instant,
    datagram: &mut [u8],
    plaintext: usize,
) -> Option<usize> {
    remote.sessions.seal(now, datagram, plaintext).ok()
}
