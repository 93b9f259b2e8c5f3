//! A member of the group without an engine: it holds a session and says what a test wants it to say.

use super::KEY;
use proto_core::index::entry::IndexId;
use proto_core::session::{Config, Entropy, Incoming, PeerSessions, SEALED_HEADER};
use proto_core::time::{Duration, Instant};
use proto_core::wire::Message;
use proto_core::wire::announce::Announce;

/// Makes answers to a message: each a plaintext.
pub type Answer = Box<dyn FnMut(Instant, &Message<'_>) -> Vec<Vec<u8>>>;

pub struct Member {
    sessions: PeerSessions,
    config: Config,
    entropy: Entropy,
    /// The only host that it talks with.
    peer: usize,
    answer: Answer,
    outbox: Vec<Vec<u8>>,
    heartbeat_at: Instant,
    /// Datagrams received, and those under a session.
    pub received: u64,
    pub sealed: u64,
}

impl Member {
    pub fn new(peer: usize, index: IndexId, key: [u8; 32], answer: Answer) -> Self {
        Self {
            sessions: PeerSessions::new(1, 1_000_000, None),
            config: Config {
                key,
                index_id: index,
                boot_id: 1,
                aegis: false,
            },
            entropy: Entropy::new(&[index.0 as u8; 32]),
            peer,
            answer,
            outbox: Vec::new(),
            heartbeat_at: Instant::ZERO,
            received: 0,
            sealed: 0,
        }
    }

    /// One with the group key.
    pub fn of_group(peer: usize, index: IndexId, answer: Answer) -> Self {
        Self::new(peer, index, KEY, answer)
    }

    pub fn say(&mut self, plaintext: Vec<u8>) {
        self.outbox.push(plaintext);
    }

    pub fn is_connected(&self) -> bool {
        self.sessions.is_connected()
    }

    pub fn receive(&mut self, now: Instant, from: usize, bytes: &mut [u8]) {
        assert_eq!(from, self.peer);
        self.received += 1;
        self.sealed += u64::from(bytes[0] == 3);
        let incoming = self
            .sessions
            .handle_datagram(now, &self.config, &mut self.entropy, bytes);
        if let Ok(Incoming::Message(plaintext)) = incoming
            && let Ok(message) = Message::decode(plaintext)
        {
            self.outbox.extend((self.answer)(now, &message));
        }
    }

    pub fn work(&mut self, now: Instant, mut send: impl FnMut(&[u8], usize)) {
        self.sessions.handle_timeout(now);
        let mut buffer = vec![0; 64 * 1024];
        while let Some(len) =
            self.sessions
                .poll_transmit(now, &self.config, &mut self.entropy, &mut buffer)
        {
            send(&buffer[..len], self.peer);
        }
        if !self.sessions.is_connected() {
            return;
        }
        if now >= self.heartbeat_at {
            self.heartbeat_at = now + Duration::from_secs(1);
            let mut out = vec![0; 200];
            let len = Announce {
                busy: false,
                bridge: 0,
                leads: false,
                index_id: self.config.index_id,
                sequence: 0,
                seen_index_id: IndexId(0),
                seen_sequence: 0,
                pending: 0,
                sent_at: 1,
                echo: 0,
                echo_delay: 0,
                page: &[],
                contents: &[],
            }
            .emit(&mut out)
            .unwrap();
            out.truncate(len);
            self.outbox.push(out);
        }
        for plaintext in self.outbox.drain(..) {
            buffer[SEALED_HEADER..SEALED_HEADER + plaintext.len()].copy_from_slice(&plaintext);
            if let Ok(len) = self.sessions.seal(now, &mut buffer, plaintext.len()) {
                send(&buffer[..len], self.peer);
            }
        }
    }

    pub fn timeout(&self) -> u64 {
        let heartbeat = if self.is_connected() {
            self.heartbeat_at
        } else {
            Instant::FAR_FUTURE
        };
        self.sessions.poll_timeout().min(heartbeat).as_micros()
    }
}
