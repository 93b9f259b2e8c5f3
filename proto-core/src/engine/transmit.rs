//! What goes out: handshakes first, then small messages, then requests, then bursts of BLOCKs.

use super::Engine;
use super::build_request::Asking;
use super::remote::Remote;
use crate::boundary::{Objects, PeerSlot, Transmit};
use crate::limits::{MAX_PEERS, MIN_DATAGRAM};
use crate::serve::Built;
use crate::session;
use crate::session::CipherKey;
use crate::time::Instant;
use crate::wire::announce::Announce;
use crate::wire::goodbye;
use crate::wire::path_probe::Padding;

/// Bytes of a sealed datagram that are not plaintext.
pub(super) const SEAL: usize = session::OVERHEAD;
/// Where the plaintext begins.
pub(super) const PLAINTEXT: usize = session::SEALED_HEADER;

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
        if let Some(len) = self.build_draft(now, peer, buffer.get_mut(PLAINTEXT..end)?) {
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

    /// BLOCKs of one burst, sealed one behind the other.
    fn build_burst(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        buffer: &mut [u8],
        objects: &mut impl Objects,
    ) -> Option<Transmit> {
        let remote = self.remotes.get_mut(peer.place())?.as_mut()?;
        let rate = self.demand.rate(now, peer);
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
                    .build(objects, rate, body, first.map(|first| first - SEAL))
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
