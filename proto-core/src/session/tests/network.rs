//! Two sides, a clock, and a network between them that loses, doubles and reorders by a seed.

use super::std::vec::Vec;
use crate::index::entry::IndexId;
use crate::session::{
    CipherKey, CipherKind, Config, DatagramKind, Dropped, Entropy, Incoming, OVERHEAD,
    PeerSessions, PureRust, SEALED_HEADER, Seen, TAG,
};
use crate::time::{Duration, Instant};

pub const KEY: [u8; 32] = [0x42; 32];
/// Bytes of room for what the tests send.
const ROOM: usize = 256;

/// Both ciphers, as a driver has them; what passes for AEGIS-128L here is ChaCha20-Poly1305 under another
/// key, so sides that do not agree on the cipher understand nothing.
pub struct EitherKey(PureRust);

impl CipherKey for EitherKey {
    fn new(cipher: CipherKind, key: &[u8; 32]) -> Option<Self> {
        let key = match cipher {
            CipherKind::Aegis128L => key.map(|byte| !byte),
            CipherKind::ChaCha20Poly1305 => *key,
        };
        PureRust::new(CipherKind::ChaCha20Poly1305, &key).map(Self)
    }

    fn seal(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
        self.0.seal(nonce, header, text)
    }

    fn open(&self, nonce: [u8; 12], header: &[u8], text: &mut [u8], tag: [u8; TAG]) -> bool {
        self.0.open(nonce, header, text, tag)
    }
}

/// One peer.
pub struct Side {
    pub sessions: PeerSessions<EitherKey>,
    pub config: Config,
    pub entropy: Entropy,
}

impl Side {
    pub fn new(number: u8, counter: u64, last_seen: Option<Seen>) -> Self {
        Self {
            sessions: PeerSessions::new(number, counter, last_seen),
            config: Config {
                key: KEY,
                index_id: IndexId(u64::from(number) + 100),
                boot_id: 7,
                aegis: true,
            },
            entropy: Entropy::new(&[number; 32]),
        }
    }

    /// Everything that it wants to send now as part of handshakes.
    pub fn transmits(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        let mut out = [0; ROOM];
        while let Some(len) =
            self.sessions
                .poll_transmit(now, &self.config, &mut self.entropy, &mut out)
        {
            sent.push(out[..len].to_vec());
            assert!(
                sent.len() <= 3,
                "an answer, a confirmation and an INITIATION at most"
            );
        }
        sent
    }

    /// Hands a datagram in; the message that it brought, or `None` for a part of a handshake.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<Option<Vec<u8>>, Dropped> {
        let mut datagram = datagram.to_vec();
        match self
            .sessions
            .handle_datagram(now, &self.config, &mut self.entropy, &mut datagram)?
        {
            Incoming::Handshake => Ok(None),
            Incoming::Message(text) => Ok(Some(text.to_vec())),
        }
    }

    pub fn seal(&mut self, now: Instant, text: &[u8]) -> Option<Vec<u8>> {
        let mut datagram = [0; ROOM];
        datagram[SEALED_HEADER..SEALED_HEADER + text.len()].copy_from_slice(text);
        let len = self.sessions.seal(now, &mut datagram, text.len()).ok()?;
        assert_eq!(len, text.len() + OVERHEAD);
        Some(datagram[..len].to_vec())
    }
}

/// What the network does.
#[derive(Clone, Copy)]
pub struct Weather {
    /// Lost datagrams out of a hundred, for each direction by its receiver.
    pub loss: [u64; 2],
    /// Doubled datagrams out of a hundred.
    pub doubled: u64,
    /// Least and most milliseconds under way.
    pub delay: (u64, u64),
}

impl Weather {
    pub const FINE: Self = Self {
        loss: [0, 0],
        doubled: 0,
        delay: (50, 50),
    };
}

pub struct Network {
    pub now: Instant,
    pub sides: [Side; 2],
    pub weather: Weather,
    /// Time between the messages of each side; heartbeats come every second in life.
    pub heartbeat: Duration,
    /// Under way: when it comes, to whom, what.
    flying: Vec<(Instant, usize, Vec<u8>)>,
    next_heartbeat: [Instant; 2],
    seed: u64,
    /// Everything that was delivered.
    pub captured: Vec<(usize, Vec<u8>)>,
    /// Messages that came, by receiver.
    pub messages: [Vec<u64>; 2],
    /// Messages that were sent, by sender.
    pub sent: [u64; 2],
    /// What was dropped by whom.
    pub dropped: Vec<(usize, DatagramKind, Dropped)>,
}

impl Network {
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            sides: [Side::new(0, 1000, None), Side::new(1, 1000, None)],
            weather,
            heartbeat: Duration::from_secs(1),
            flying: Vec::new(),
            next_heartbeat: [Instant::ZERO; 2],
            seed: seed.wrapping_mul(2).wrapping_add(1),
            captured: Vec::new(),
            messages: [Vec::new(), Vec::new()],
            sent: [0; 2],
            dropped: Vec::new(),
        }
    }

    /// A network whose two sides are connected and quiet.
    pub fn connected() -> Self {
        let mut network = Self::new(1, Weather::FINE);
        network.run(Duration::from_secs(2));
        assert!(network.both_connected());
        network
    }

    /// A number below `below` (splitmix64).
    pub fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    pub fn both_connected(&self) -> bool {
        self.sides.iter().all(|side| side.sessions.is_connected())
    }

    pub fn incarnations(&self) -> [u32; 2] {
        [
            self.sides[0].sessions.incarnation(),
            self.sides[1].sessions.incarnation(),
        ]
    }

    /// Sends to `to` what the weather lets through.
    pub fn send(&mut self, to: usize, datagram: &[u8]) {
        let copies = if self.random(100) < self.weather.doubled {
            2
        } else {
            1
        };
        for _ in 0..copies {
            if self.random(100) < self.weather.loss[to] {
                continue;
            }
            let (least, most) = self.weather.delay;
            let delay = Duration::from_millis(least + self.random(most - least + 1));
            self.flying.push((self.now + delay, to, datagram.to_vec()));
        }
    }

    /// Runs for this long, from event to event.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns_at_once = 0;
        self.turn();
        loop {
            let timers = self
                .sides
                .iter()
                .map(|side| side.sessions.poll_timeout())
                .chain(self.next_heartbeat);
            let next = timers
                .chain(self.flying.iter().map(|flight| flight.0))
                .min()
                .unwrap();
            if next > end {
                self.now = end;
                return;
            }
            turns_at_once = if next > self.now {
                0
            } else {
                turns_at_once + 1
            };
            assert!(turns_at_once < 100, "a timer that never ends");
            self.now = self.now.max(next);
            self.turn();
        }
    }

    /// Everything that is due now.
    fn turn(&mut self) {
        while let Some(at) = self.flying.iter().position(|flight| flight.0 <= self.now) {
            let (_, to, datagram) = self.flying.remove(at);
            self.deliver(to, &datagram);
            self.flush(to);
        }
        for number in 0..2 {
            self.sides[number].sessions.handle_timeout(self.now);
            if self.next_heartbeat[number] <= self.now {
                self.next_heartbeat[number] = self.now + self.heartbeat;
                self.say(number);
            }
            self.flush(number);
        }
    }

    fn flush(&mut self, number: usize) {
        for datagram in self.sides[number].transmits(self.now) {
            self.send(1 - number, &datagram);
        }
    }

    /// Sends the next message of a side, if it is connected.
    pub fn say(&mut self, number: usize) {
        let text = self.sent[number].to_be_bytes();
        if let Some(datagram) = self.sides[number].seal(self.now, &text) {
            self.sent[number] += 1;
            self.send(1 - number, &datagram);
        }
    }

    fn deliver(&mut self, to: usize, datagram: &[u8]) {
        self.captured.push((to, datagram.to_vec()));
        match self.sides[to].receive(self.now, datagram) {
            Ok(Some(text)) => self.messages[to].push(u64::from_be_bytes(text.try_into().unwrap())),
            Ok(None) => {}
            Err(why) => self
                .dropped
                .push((to, DatagramKind::of(datagram).unwrap(), why)),
        }
    }

    /// SEALED datagrams that came and could not be opened, though they were not doubles.
    pub fn unopened(&self) -> usize {
        let is_unopened = |dropped: &&(usize, DatagramKind, Dropped)| {
            dropped.1 == DatagramKind::Sealed && dropped.2 != Dropped::Replayed
        };
        self.dropped.iter().filter(is_unopened).count()
    }

    /// Both are connected and a message of each reaches the other now.
    pub fn assert_both_talk(&mut self) {
        assert!(self.both_connected());
        for number in 0..2 {
            let text = self.sent[number].to_be_bytes();
            let datagram = self.sides[number].seal(self.now, &text).unwrap();
            self.sent[number] += 1;
            assert_eq!(
                self.sides[1 - number].receive(self.now, &datagram),
                Ok(Some(text.to_vec()))
            );
            let remote = self.sides[number].sessions.remote_index_id();
            assert_eq!(remote, Some(self.sides[1 - number].config.index_id));
        }
    }
}
