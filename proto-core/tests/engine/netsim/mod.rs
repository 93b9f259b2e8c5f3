//! Nodes under one simulated clock: hosts with an [`Engine`] each, and members of the group that behave
//! as a test wants them to. What hosts serve is made from a seed, what arrives is collected and compared.

mod host;
mod library;
mod member;
mod net;
mod random;

pub use host::Host;
pub use library::{Content, Library, Serving, Shrinking};
pub use member::{Answer, Member};
pub use net::{Net, Path};
pub use random::Random;

use host::Truth;
use proto_core::boundary::PeerSlot;
use proto_core::engine::{Config, Engine, Limits};
use proto_core::index::entry::IndexId;
use proto_core::pull::Want;
use proto_core::session::{Config as SessionConfig, Entropy};
use proto_core::time::Instant;
use proto_core::wire::ObjectId;
use std::collections::BTreeSet;

/// Payload of a UDP datagram on Ethernet, as path MTU probing finds it.
pub const DATAGRAM: usize = 1452;
pub const KEY: [u8; 32] = [7; 32];
pub const MB: usize = 1_000_000;
/// Microseconds.
pub const SECOND: u64 = 1_000_000;

/// The slot that every host has for a node.
pub fn slot(node: usize) -> PeerSlot {
    PeerSlot::new(node).unwrap()
}

pub fn instant(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

/// The index of a node.
pub fn index_of(node: usize) -> IndexId {
    IndexId(0x1000 + node as u64)
}

fn entropy(seed: u64, host: usize, boot: u32) -> Entropy {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8] = host as u8;
    bytes[9..13].copy_from_slice(&boot.to_be_bytes());
    Entropy::new(&bytes)
}

enum Node {
    Host(Box<Host>),
    Member(Box<Member>),
}

/// The simulation.
pub struct Sim {
    /// Microseconds.
    pub now: u64,
    pub net: Net,
    nodes: Vec<Node>,
    /// Bytes that the kernel of each host buffers; for hosts that are added after it is set.
    pub receive_buffer: usize,
    /// Longest datagrams that each host asks for; for hosts that are added after it is set.
    pub datagram: usize,
    /// What each host may send and receive; for hosts that are added after it is set.
    pub limits: Limits,
    truth: Truth,
    seed: u64,
}

impl Sim {
    /// Nobody yet.
    pub fn new(seed: u64, usual: Path) -> Self {
        Self {
            now: SECOND,
            net: Net::new(seed, usual),
            nodes: Vec::new(),
            receive_buffer: 4 * 1024 * 1024,
            datagram: DATAGRAM,
            limits: Limits::default(),
            truth: Truth::new(),
            seed,
        }
    }

    /// `count` hosts, each with all others as configured peers.
    pub fn group(seed: u64, usual: Path, count: usize) -> Self {
        let mut sim = Self::new(seed, usual);
        for host in 0..count {
            sim.add_host((0..count).filter(|other| *other != host));
        }
        sim
    }

    fn engine(&self, index: IndexId, host: usize, boot: u32, told: u64) -> Box<Engine> {
        let config = Config {
            session: SessionConfig {
                key: KEY,
                index_id: index,
                boot_id: boot,
                aegis: false,
            },
            receive_buffer: self.receive_buffer,
            datagram: self.datagram,
            told,
            limits: self.limits,
        };
        Box::new(Engine::new(config, entropy(self.seed, host, boot)))
    }

    /// Adds a host with these nodes as configured peers; its number.
    pub fn add_host(&mut self, peers: impl IntoIterator<Item = usize>) -> usize {
        let host = self.nodes.len();
        let mut engine = self.engine(index_of(host), host, 1, 0);
        for peer in peers {
            assert!(engine.add_peer(slot(peer), self.now, None));
        }
        let host_node = Host::new(engine, index_of(host));
        self.nodes.push(Node::Host(Box::new(host_node)));
        host
    }

    /// Adds a member without an engine; its number.
    pub fn add_member(&mut self, member: Member) -> usize {
        self.nodes.push(Node::Member(Box::new(member)));
        self.nodes.len() - 1
    }

    pub fn host(&mut self, host: usize) -> &mut Host {
        match &mut self.nodes[host] {
            Node::Host(host) => host,
            Node::Member(_) => panic!("{host} is no host"),
        }
    }

    pub fn member(&mut self, member: usize) -> &mut Member {
        match &mut self.nodes[member] {
            Node::Member(member) => member,
            Node::Host(_) => panic!("{member} is no member"),
        }
    }

    /// Makes a content and gives it to some hosts; the pieces that it is pulled in.
    pub fn add_content(&mut self, seed: u64, size: usize, owners: &[usize]) -> Vec<Want> {
        let content = Content::new(seed, size);
        let object = ObjectId::Content(content.id);
        for owner in owners {
            let library = &mut self.host(*owner).library;
            library.contents.insert(content.id, content.clone());
        }
        self.truth.insert(content.id, content);
        // Chunks as content-defined cutting makes them: 16 to 240 KB.
        let mut random = Random(seed);
        let (mut start, mut wants) = (0, Vec::new());
        while start < size {
            let length = (16 * 1024 + random.below(224 * 1024) as usize).min(size - start);
            wants.push(Want {
                object,
                start: start as u64,
                length: length as u32,
                only: None,
                prefer: None,
            });
            start += length;
        }
        wants
    }

    /// Lets a host pull pieces, as many at a time as there are places.
    pub fn want(&mut self, host: usize, wants: &[Want]) {
        self.host(host).todo.extend(wants.iter().copied());
        self.work(host);
    }

    /// Adds a change to the journal of a host and tells the others.
    pub fn change(&mut self, host: usize, path: &str) {
        self.host(host).library.change(path);
        self.tell_change(host);
    }

    /// Tells the others what was added last to the journal of a host.
    pub fn tell_change(&mut self, host: usize) {
        let now = instant(self.now);
        let this = self.host(host);
        this.own.sequence = this.library.journal.len() as u64;
        let own = this.own;
        this.engine.set_own(now, own);
        self.work(host);
    }

    /// Adds `count` changes to the journal of a host.
    pub fn changes(&mut self, host: usize, count: usize) {
        for change in 0..count {
            self.change(host, &format!("directory/file number {change}"));
        }
    }

    /// How many entries of the index of `of` the host has read.
    pub fn learned(&mut self, host: usize, of: usize) -> usize {
        let learned = &self.host(host).learned;
        learned.get(&index_of(of)).map_or(0, Vec::len)
    }

    /// Stops a host without a word.
    pub fn kill(&mut self, host: usize) {
        self.host(host).alive = false;
    }

    /// Starts a host that was killed; its library and cursors are as they were.
    pub fn restart(&mut self, host: usize, peers: &[usize]) {
        let boot = self.host(host).boot + 1;
        let (index, told) = (self.host(host).library.index, self.host(host).own.sequence);
        let mut engine = self.engine(index, host, boot, told);
        for peer in peers {
            assert!(engine.add_peer(slot(*peer), self.now, None));
        }
        let now = instant(self.now);
        self.host(host).restart(now, boot, engine);
        self.work(host);
    }

    /// Tells all others that a host leaves, and stops it.
    pub fn leave(&mut self, host: usize) {
        self.host(host).engine.shut_down();
        self.work(host);
        self.kill(host);
    }

    /// Lets a node work: everything that a driver does after an input.
    pub fn work(&mut self, at: usize) {
        let now = self.now;
        let net = &mut self.net;
        match &mut self.nodes[at] {
            Node::Member(member) => {
                member.work(instant(now), |bytes, to| {
                    net.send(now, at, to, bytes, false);
                });
            }
            Node::Host(host) if host.alive => host.work(now, at, &self.truth, net),
            Node::Host(_) => {}
        }
    }

    fn timeout(&self, at: usize) -> u64 {
        match &self.nodes[at] {
            Node::Host(host) => host.timeout(),
            Node::Member(member) => member.timeout(),
        }
    }

    /// Runs to the next moment at which something happens, at most to `end`; false if that is `end`.
    pub fn step(&mut self, end: u64) -> bool {
        let timers = (0..self.nodes.len()).map(|at| self.timeout(at)).min();
        let next = timers
            .unwrap_or(u64::MAX)
            .min(self.net.next().unwrap_or(u64::MAX));
        if next > end {
            self.now = end;
            return false;
        }
        self.now = self.now.max(next);
        // As a driver does it: first all that lies in the socket, then the work.
        let mut touched = BTreeSet::new();
        while let Some(mut flying) = self.net.arrived(self.now) {
            let mark = flying.mark;
            self.receive(flying.from, flying.to, &mut flying.bytes, mark);
            touched.insert(flying.to);
        }
        for at in 0..self.nodes.len() {
            if touched.contains(&at) || self.timeout(at) <= self.now {
                self.work(at);
            }
        }
        true
    }

    fn receive(&mut self, from: usize, to: usize, bytes: &mut [u8], mark: bool) {
        let now = instant(self.now);
        match &mut self.nodes[to] {
            Node::Host(host) if host.alive => host.receive(now, from, bytes, mark),
            Node::Host(_) => {}
            Node::Member(member) => member.receive(now, from, bytes),
        }
    }

    /// A datagram arrives, and its receiver works.
    pub fn deliver(&mut self, from: usize, to: usize, bytes: &mut [u8]) {
        self.receive(from, to, bytes, false);
        self.work(to);
    }

    /// Runs for some simulated milliseconds.
    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now + ms * 1000;
        while self.step(end) {}
    }

    /// Runs until a condition holds, at most some simulated seconds; the microseconds it took.
    pub fn until(&mut self, seconds: u64, mut holds: impl FnMut(&mut Self) -> bool) -> Option<u64> {
        let (begin, end) = (self.now, self.now + seconds * SECOND);
        while !holds(self) {
            if !self.step(end) {
                return None;
            }
        }
        Some(self.now - begin)
    }

    /// Runs three seconds, in which all hosts that can get to know each other, and how long datagrams may be.
    pub fn connect(&mut self) {
        for at in 0..self.nodes.len() {
            self.work(at);
        }
        self.run_ms(3000);
    }

    /// Pulls all of `wants` to `host`; the microseconds it took.
    pub fn pull_all(&mut self, host: usize, wants: &[Want], seconds: u64) -> u64 {
        self.want(host, wants);
        self.until_done(host, wants.len(), seconds)
    }

    /// Runs until a host has nothing to pull any more and all `wants` pieces of it are there; the
    /// microseconds it took.
    pub fn until_done(&mut self, host: usize, wants: usize, seconds: u64) -> u64 {
        let already = self.host(host).done.len();
        let took = self.until(seconds, |sim| sim.host(host).done.len() == already + wants);
        match took {
            Some(took) => took,
            None => panic!(
                "{} of {wants} pieces after {seconds} s, failed: {:?}",
                self.host(host).done.len() - already,
                self.host(host).failed
            ),
        }
    }

    /// Whether a host has a session with a peer that is alive.
    pub fn is_connected(&mut self, host: usize, peer: usize) -> bool {
        self.host(host)
            .engine
            .status(slot(peer))
            .is_some_and(|status| status.connected)
    }
}
