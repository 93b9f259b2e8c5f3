//! One peer among others that are nothing but an engine and a file, and may lie about it.

use crate::fetching::random;
use peer_mio::clock::Now;
use peer_mio::jobs::encode::{Encoder, longest};
use peer_mio::jobs::hash::content_of;
use peer_mio::peer::{Config, Flushing, Peer, guard};
use peer_mio::watch::scan::Symlinks;
use proto_core::boundary::{Asked, Mark, Objects, PeerSlot, Read};
use proto_core::content::ContentId;
use proto_core::engine::{self, Engine, Limits, Own};
use proto_core::index::entry::{Entry, IndexId, Kind, Sequence, Timestamp};
use proto_core::index::version_vector::VersionVector;
use proto_core::limits::MAX_PIECE;
use proto_core::session::{self, Entropy};
use proto_core::time::{Duration, Instant};
use proto_core::wire::ObjectId;
use proto_core::wire::draft::Draft;
use proto_core::wire::encoding::Encoding;
use proto_core::wire::page::PageWriter;
use sim::disk::SimDisk;
use std::net::{Ipv4Addr, SocketAddr};

/// Bytes of the file.
pub const SIZE: u64 = 500_000;
const KEY: [u8; 32] = [7; 32];
const TICK: Duration = Duration::from_millis(1);

/// What is wrong with what one sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// Nothing.
    None,
    /// A bit of the recipe.
    Recipe,
    /// The recipe never ends, with a chunk for each byte.
    Bytewise,
    /// A bit of the second chunk.
    Chunk,
    /// Chunks come encoded, and become a million times as long.
    Bomb,
    /// Chunks come encoded, as what decodes to nothing.
    Garbled,
}

/// A file and its lies.
pub struct Library {
    lie: Lie,
    content: ContentId,
    bytes: Vec<u8>,
    recipe: Vec<u8>,
    page: Vec<u8>,
    /// A megabyte of zeros, encoded.
    bomb: Vec<u8>,
    /// Bytes of pieces that were sent: of what is encoded, as many as it stands for. One piece may be asked for in
    /// several parts.
    served: u64,
}

/// What somebody serves.
pub trait Shelf {
    /// The objects.
    fn objects(&mut self) -> &mut dyn Objects;
    /// The newest sequence of its journal.
    fn newest(&self) -> Sequence;
    /// Entries that it says to want.
    fn pending(&self) -> u32 {
        0
    }
}

impl Shelf for Library {
    fn objects(&mut self) -> &mut dyn Objects {
        self
    }

    fn newest(&self) -> Sequence {
        1
    }
}

/// Somebody who has something.
pub struct Liar<S> {
    engine: Box<Engine>,
    /// What.
    pub shelf: S,
    on: bool,
}

/// A peer and those whom it fetches from.
pub struct Meeting<S = Library> {
    /// The peer.
    pub peer: Peer<SimDisk>,
    /// Its disk.
    pub disk: SimDisk,
    /// The others.
    pub liars: Vec<Liar<S>>,
    now: Instant,
    buffer: Vec<u8>,
}

fn address(place: usize) -> SocketAddr {
    let host = u8::try_from(place + 1).unwrap();
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, host).into(), 22001)
}

fn slot(place: usize) -> PeerSlot {
    PeerSlot::new(place).unwrap()
}

impl Library {
    fn new(lie: Lie, index: IndexId, author: IndexId) -> Self {
        let bytes = random(SIZE);
        let (content, list) = content_of(&bytes);
        let entry = Entry {
            kind: Kind::File,
            mode: 0o644,
            size: SIZE,
            mtime: Timestamp::default(),
            content,
            modified_by: author,
            version: VersionVector::from_sorted([(author, 1)]).unwrap(),
            sequence: 1,
        };
        let mut page = vec![0; 1000];
        let mut writer = PageWriter::new(&mut page, index, 0).unwrap();
        writer.push(&entry, b"file", b"").unwrap();
        let len = writer.finish(1, 1);
        page.truncate(len);
        let mut library = Self {
            lie,
            content,
            bytes,
            recipe: list,
            page,
            bomb: bomb(),
            served: 0,
        };
        match lie {
            Lie::None | Lie::Bomb | Lie::Garbled => {}
            Lie::Recipe => library.recipe[10] ^= 1,
            Lie::Bytewise => library.recipe = [&[0, 0, 0, 1][..], &[0; 32]].concat().repeat(1792),
            Lie::Chunk => library.bytes[100_000] ^= 1,
        }
        library
    }

    fn find(&self, object: ObjectId, start: u64, length: usize) -> &[u8] {
        let from = usize::try_from(start).unwrap();
        match object {
            ObjectId::Content(content) if content == self.content => {
                self.bytes.get(from..from + length).unwrap_or_default()
            }
            ObjectId::Recipe(content) if content == self.content => {
                if from > 0 && self.lie != Lie::Bytewise {
                    return &[];
                }
                self.recipe.get(..length).unwrap_or(&self.recipe)
            }
            ObjectId::Journal(_) if start == 0 => &self.page,
            _ => &[],
        }
    }

    fn encoded(&self, length: usize) -> Option<(Encoding, usize)> {
        match self.lie {
            Lie::Bomb => Some((Encoding::SMALL, self.bomb.len())),
            Lie::Garbled => Some((Encoding::FAST, length / 2)),
            _ => None,
        }
    }
}

impl Objects for Library {
    fn piece(&mut self, object: ObjectId, start: u64, length: usize) -> Read {
        match self.find(object, start, length).len() {
            0 => Read::Gone,
            len => Read::Ready(len),
        }
    }

    fn read(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        at: usize,
        buffer: &mut [u8],
    ) -> Read {
        let piece = self.find(object, start, length);
        let part = piece.get(at..at + buffer.len()).unwrap();
        buffer.copy_from_slice(part);
        self.served += buffer.len() as u64;
        Read::Ready(buffer.len())
    }

    fn encode(
        &mut self,
        object: ObjectId,
        _: u64,
        length: usize,
        _: Asked,
    ) -> Option<(Encoding, usize)> {
        matches!(object, ObjectId::Content(_))
            .then(|| self.encoded(length))
            .flatten()
    }

    fn read_encoded(
        &mut self,
        _: ObjectId,
        _: u64,
        length: usize,
        _: Encoding,
        at: usize,
        buffer: &mut [u8],
    ) -> Read {
        let (_, encoded) = self.encoded(length).unwrap();
        self.served += (buffer.len() * length / encoded) as u64;
        match self.bomb.get(at..at + buffer.len()) {
            Some(part) if self.lie == Lie::Bomb => buffer.copy_from_slice(part),
            _ => buffer.fill(0x5a),
        }
        Read::Ready(buffer.len())
    }
}

/// The index of one of the others.
pub fn index_of(place: usize) -> IndexId {
    IndexId(100 + place as u64)
}

impl<S: Shelf> Liar<S> {
    fn new(place: usize, shelf: S) -> Self {
        let index = index_of(place);
        let config = engine::Config {
            session: session::Config {
                key: KEY,
                index_id: index,
                boot_id: 1,
                aegis: false,
            },
            receive_buffer: 1_000_000,
            datagram: 1200,
            told: 0,
            limits: Limits::default(),
        };
        let seed = [u8::try_from(place).unwrap() + 1; 32];
        let mut engine = Box::new(Engine::new(config, Entropy::new(&seed)));
        assert!(engine.add_peer(slot(0), 1, None));
        Self {
            engine,
            shelf,
            on: true,
        }
    }

    fn work(&mut self, now: Instant) {
        let own = Own {
            sequence: self.shelf.newest(),
            pending: self.shelf.pending(),
            busy: false,
            bridge: 0,
            leads: false,
        };
        self.engine.set_own(now, own);
        self.engine.handle_timeout(now);
        // Without a cursor it reads nobody's journal.
        while self.engine.poll_event().is_some() {}
    }
}

impl Meeting {
    /// A peer and one machine for each lie.
    pub fn new(lies: &[Lie]) -> Self {
        let lies = lies.iter().enumerate();
        Self::with(lies.map(|(place, lie)| Library::new(*lie, index_of(place), index_of(0))))
    }

    /// Bytes of pieces that somebody sent.
    pub fn served(&self, place: usize) -> u64 {
        self.liars[place].shelf.served
    }
}

impl<S: Shelf> Meeting<S> {
    /// A peer and one machine for each of these.
    pub fn with(shelves: impl IntoIterator<Item = S>) -> Self {
        let shelves = shelves.into_iter().enumerate();
        let liars: Vec<_> = shelves.map(|(at, shelf)| Liar::new(at, shelf)).collect();
        let disk = SimDisk::new();
        let config = Config {
            peers: (0..liars.len()).map(address).collect(),
            key: KEY,
            symlinks: Symlinks::Follow,
            scan_interval: Duration::from_secs(60),
            seed: [9; 32],
            receive_buffer: 1_000_000,
            datagram: 1200,
            limits: Limits::default(),
            aegis: false,
            is_own_address: |_| false,
            max_delete: guard::HALF,
            flushing: Flushing::default(),
        };
        let now = Instant::from_micros(1_000_000);
        let started = Peer::start(disk.handle(), config, at(now), Box::new(|_| true));
        let Ok(started) = started else {
            panic!("cannot start")
        };
        Self {
            peer: started.peer,
            disk,
            liars,
            now,
            buffer: vec![0; 65_507],
        }
    }

    /// Simulated time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Somebody comes or goes.
    pub fn set_on(&mut self, place: usize, on: bool) {
        self.liars[place].on = on;
    }

    /// Somebody tells of a file that it hashes.
    pub fn tell_draft(&mut self, place: usize, draft: &Draft<'_>) {
        self.liars[place].engine.tell_draft(self.now, draft);
    }

    /// Lets time pass until something holds, or all of it; whether it holds.
    pub fn drive_until(&mut self, time: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let until = self.now + time;
        while self.now < until && !holds(self) {
            self.drive(Duration::from_millis(10));
        }
        holds(self)
    }

    /// Lets time pass.
    pub fn drive(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += TICK;
            self.disk.set_now(at(self.now).wall);
            while self.peer.work(at(self.now)) {
                self.now += Duration::from_micros(50);
            }
            while let Some((to, transmit)) = self.peer.poll_transmit(at(self.now), &mut self.buffer)
            {
                let place = (0..self.liars.len()).find(|place| address(*place) == to);
                let liar = &mut self.liars[place.unwrap()];
                for datagram in self.buffer[..transmit.len].chunks_mut(transmit.segment_size) {
                    if liar.on {
                        liar.engine
                            .handle_datagram(self.now, slot(0), datagram, Mark::None);
                    }
                }
            }
            for (place, liar) in self.liars.iter_mut().enumerate().filter(|(_, l)| l.on) {
                liar.work(self.now);
                let mut objects = Lent(liar.shelf.objects());
                while let Some(transmit) =
                    liar.engine
                        .poll_transmit(self.now, &mut self.buffer, &mut objects)
                {
                    let datagrams = self.buffer[..transmit.len].chunks_mut(transmit.segment_size);
                    self.peer
                        .handle_datagrams(at(self.now), address(place), datagrams, Mark::None);
                }
            }
        }
    }
}

/// Objects of a type that is not known here.
struct Lent<'a>(&'a mut dyn Objects);

impl Objects for Lent<'_> {
    fn piece(&mut self, object: ObjectId, start: u64, length: usize) -> Read {
        self.0.piece(object, start, length)
    }

    fn read(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        at: usize,
        buffer: &mut [u8],
    ) -> Read {
        self.0.read(object, start, length, at, buffer)
    }

    fn encode(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        asked: Asked,
    ) -> Option<(Encoding, usize)> {
        self.0.encode(object, start, length, asked)
    }

    fn read_encoded(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        encoding: Encoding,
        at: usize,
        buffer: &mut [u8],
    ) -> Read {
        self.0
            .read_encoded(object, start, length, encoding, at, buffer)
    }
}

fn bomb() -> Vec<u8> {
    let mut out = vec![0; longest(MAX_PIECE)];
    let len = Encoder::default().encode(Encoding::SMALL, &[0; MAX_PIECE], &mut out);
    out.truncate(len.unwrap());
    out
}

fn at(mono: Instant) -> Now {
    let micros = mono.as_micros();
    Now {
        mono,
        wall: Timestamp {
            sec: 1_700_000_000 + i64::try_from(micros / 1_000_000).unwrap(),
            nsec: u32::try_from(micros % 1_000_000).unwrap() * 1000,
        },
    }
}
