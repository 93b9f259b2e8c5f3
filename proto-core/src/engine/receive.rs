//! What comes in: one datagram from one configured peer.

use super::Engine;
use super::remote::Announced;
use crate::boundary::{Arrival, Mark, PeerSlot};
use crate::content::ContentId;
use crate::pull;
use crate::pull::{Arrived, Pulls};
use crate::session::CipherKey;
use crate::session::Incoming;
use crate::time::{Duration, Instant};
use crate::wire::announce::Announce;
use crate::wire::block::Block;
use crate::wire::draft::Draft;
use crate::wire::page::Page;
use crate::wire::refuse::{Refuse, RefuseReason};
use crate::wire::request::Request;
use crate::wire::{Message, ObjectId};

/// What a datagram brought for the driver, borrowing the datagram.
#[derive(Debug)]
pub enum Delivery<'a> {
    /// Bytes of a piece: write them at once.
    Arrival(Arrival<'a>),
    /// The newest entries of a peer's journal, told with an announcement; they continue what we
    /// have read. A page taken is followed by [`Engine::set_cursor`].
    Page {
        /// Whose.
        peer: PeerSlot,
        /// The entries.
        page: Page<'a>,
        /// Contents of tiny files among them, as [`crate::wire::announce::contents`] reads them: not verified.
        contents: &'a [u8],
    },
    /// A large file that a peer is hashing.
    Draft {
        /// Who.
        peer: PeerSlot,
        /// By what it is asked for until it has its name.
        id: ContentId,
        /// What it told of it.
        draft: Draft<'a>,
    },
}

impl<K: CipherKey> Engine<K> {
    /// Takes a datagram that came from the address of `peer`, with what the network wrote on it. Whatever it holds,
    /// at worst nothing happens.
    pub fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        datagram: &'a mut [u8],
        mark: Mark,
    ) -> Option<Delivery<'a>> {
        self.askable = None;
        let datagram_len = datagram.len();
        let remote = self.remotes.get_mut(peer.place())?.as_mut()?;
        let incoming =
            remote
                .sessions
                .handle_datagram(now, &self.config.session, &mut self.entropy, datagram);
        let incoming = match incoming {
            Ok(incoming) => incoming,
            Err(dropped) => {
                if !remote.sessions.is_connected() {
                    remote.troubles.note_dropped(dropped, &remote.sessions);
                }
                return None;
            }
        };
        remote.bytes_received = remote.bytes_received.saturating_add(datagram_len as u64);
        let Incoming::Message(plaintext) = incoming else {
            return None;
        };
        // A life not yet told to the driver: `poll_event` comes first; its sender repeats everything.
        if remote.reported != Some(remote.sessions.incarnation()) {
            return None;
        }
        let message = Message::decode(plaintext).ok()?;
        if let Some(down) = &mut self.down
            && !is_bulk(&self.pulls, &message)
        {
            down.spend(now, datagram_len);
        }
        match message {
            Message::Announce(announce) => self.handle_announce(now, peer, &announce),
            Message::Request(request) => {
                self.handle_request(now, peer, &request);
                None
            }
            Message::Block(block, payload) => {
                remote.mtu.arrived(now, datagram_len);
                if mark == Mark::Congestion {
                    remote.flow.marked(payload.len());
                }
                self.handle_block(now, peer, &block, payload)
            }
            Message::Have(have) => {
                self.handle_have(now, peer, &have);
                None
            }
            Message::Refuse(refuse) => {
                self.handle_refuse(now, peer, &refuse);
                None
            }
            Message::Goodbye => {
                remote.sessions.close(now);
                None
            }
            Message::Probe(probe) => {
                remote.ecn = probe.ecn;
                // What is too much is dropped, and asked for again.
                let _ = remote.probes.push_back(probe);
                None
            }
            Message::Padding(padding) => {
                remote.paddings = remote.paddings.saturating_add(1);
                remote.mtu.answered(now, padding.tag, datagram_len);
                None
            }
            Message::Draft(draft) => self.handle_draft(peer, draft),
        }
    }

    fn handle_request(&mut self, now: Instant, peer: PeerSlot, request: &Request<'_>) {
        if request.object() == ObjectId::Journal(self.config.session.index_id) {
            let mut pages = request.items();
            if pages.any(|page| self.knows_what_was_lost(peer, page.start)) {
                return;
            }
        }
        if let Some(remote) = self.remotes.get_mut(peer.place()).and_then(Option::as_mut) {
            remote.serve.request(request);
            self.demand.note(now, peer, request);
        }
    }

    fn handle_announce<'a>(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        announce: &Announce<'a>,
    ) -> Option<Delivery<'a>> {
        let remote = self.remotes.get_mut(peer.place())?.as_mut()?;
        if remote.sessions.remote_index_id() != Some(announce.index_id) {
            return None;
        }
        if announce.echo != 0 {
            // Both are our own clock, which wraps after 71 minutes.
            let round = (now.as_micros() as u32)
                .wrapping_sub(announce.echo)
                .wrapping_sub(announce.echo_delay);
            remote.flow.echoed(
                now,
                Duration::from_micros(u64::from(round)).min(Duration::from_secs(2)),
            );
        }
        remote.echo = Some((announce.sent_at, now));
        remote.announced = Some(Announced {
            index: announce.index_id,
            sequence: announce.sequence,
            seen_index: announce.seen_index_id,
            seen_sequence: announce.seen_sequence,
            pending: announce.pending,
            busy: announce.busy,
            bridge: announce.bridge,
            leads: announce.leads,
        });
        let (read, cursor) = (remote.has_seen(self.config.session.index_id), remote.cursor);
        // It may tell of what we did and do not know of.
        if self.knows_what_was_lost(peer, read) {
            return None;
        }
        let cursor = cursor?;
        let page = Page::parse(announce.page).ok().filter(|page| {
            page.index_id == announce.index_id && page.after <= cursor && page.through > cursor
        });
        match page {
            Some(page) => Some(Delivery::Page {
                peer,
                page,
                contents: announce.contents,
            }),
            None => {
                self.pull_journals(now);
                None
            }
        }
    }

    fn handle_block<'a>(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        block: &Block,
        payload: &'a [u8],
    ) -> Option<Delivery<'a>> {
        let pull = pull::id(block.tag);
        let piece = self.pulls.get_mut(pull)?;
        // Only whom we asked may answer: so a peer cannot spoil what another one sends.
        if piece.source != Some(peer) {
            return None;
        }
        let remote = self.remotes.get_mut(peer.place())?.as_mut()?;
        let (known, outstanding) = (piece.encoded().is_some(), piece.outstanding());
        let arrived = piece.arrived(
            now,
            &mut remote.flow,
            usize::from(block.segment),
            (block.encoding, block.length as usize),
            payload.len(),
        );
        let wanted = piece.want.length as usize;
        // A part of a bundle that is shorter and not encoded is only the last one.
        if let Some(sort) = piece.want.object.sort()
            && let (false, Some((encoding, length))) = (known, piece.encoded())
            && (encoding.is_shorter() || length == wanted)
        {
            self.expected.note(sort, wanted, length);
        }
        // It is shorter than what was asked for.
        let told = match piece.want.object {
            ObjectId::Content(_) => !known && piece.encoded().is_some(),
            ObjectId::Bundle(_) => true,
            ObjectId::Recipe(_) | ObjectId::Journal(_) => false,
        };
        if let (true, Some(down)) = (told, &mut self.down) {
            down.refund(outstanding.saturating_sub(piece.outstanding() + payload.len()));
        }
        match arrived {
            Arrived::New { at } => {
                remote.has_answered(now);
                Some(Delivery::Arrival(Arrival {
                    pull,
                    at,
                    bytes: payload,
                }))
            }
            Arrived::Useless => None,
        }
    }

    fn handle_refuse(&mut self, now: Instant, peer: PeerSlot, refuse: &Refuse) {
        let pull = pull::id(refuse.tag);
        let Some(piece) = self
            .pulls
            .get_mut(pull)
            .filter(|piece| piece.source == Some(peer))
        else {
            return;
        };
        let Some(remote) = self.remotes.get_mut(peer.place()).and_then(Option::as_mut) else {
            return;
        };
        if let Some(down) = &mut self.down {
            down.refund(piece.outstanding());
        }
        let busy = refuse.reason == RefuseReason::BUSY;
        // A journal that is gone: the peer's index began anew; its next announcement says so.
        piece.refused(now, &mut remote.flow, peer, busy);
        let object = piece.want.object;
        if !busy
            && let ObjectId::Content(content) = object
            && let Some(swarm) = self.swarms.get_mut(content)
        {
            swarm.refused(now, peer);
        }
        if !busy && matches!(object, ObjectId::Journal(_)) {
            self.end_pull(pull);
        }
    }
}

/// Whether a message was counted against the limit of what is received when it was asked for.
fn is_bulk(pulls: &Pulls, message: &Message<'_>) -> bool {
    let Message::Block(block, _) = message else {
        return false;
    };
    pulls.get(pull::id(block.tag)).is_some_and(|piece| {
        matches!(
            piece.want.object,
            ObjectId::Content(_) | ObjectId::Bundle(_)
        )
    })
}
