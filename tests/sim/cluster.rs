//! A cluster of whole peers on simulated disks, one clock and one network: step, drive, drive bounded.

use crate::disk::SimDisk;
use crate::network::Network;
use crate::original::Original;
use crate::rng::Rng;
use peer_mio::clock::Now;
use peer_mio::legacy::{Legacy, Via};
use peer_mio::net::cipher::is_fast_at_aegis;
use peer_mio::peer::{Config, Flushing, Peer, guard};
use peer_mio::watch::scan::Symlinks;
use proto_core::boundary::Mark;
use proto_core::engine::Limits;
use proto_core::index::entry::Timestamp;
use proto_core::legacy::{BLOCK_PORT, INFORMATION_PORT};
use proto_core::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

/// What one slice of work costs in simulated time, if nothing else is said.
const SLICE: Duration = Duration::from_micros(50);
/// How often the kernels write everything to the disks by themselves.
const WRITEBACK: Duration = Duration::from_secs(30);
/// Slices in a row before others have their turn: a livelock ends at a bound of time.
const SLICES: usize = 2_000;
/// Time of day at the start.
const START: i64 = 1_700_000_000;
/// One burst.
const BURST: usize = 65_507;

/// One machine: its disk stays, the peer on it comes and goes.
pub struct Machine {
    /// Where its peer listens.
    pub address: SocketAddr,
    /// The user's and the harness's handle.
    pub disk: SimDisk,
    /// The running peer.
    pub peer: Option<Peer<SimDisk>>,
    /// The ancestors that it is a bridge to.
    pub ancestors: Vec<Ipv4Addr>,
    /// The bridge, while its peer runs.
    pub bridge: Option<Legacy<SimDisk>>,
    /// Seconds by which its time of day is off.
    pub clock_offset: i64,
    /// File system events of 1000 that nobody tells of.
    pub missed_events: u64,
    /// Directories that its kernel watches at most; that it tells of the others nevertheless is up to `missed_events`.
    pub max_watches: usize,
}

/// All machines.
pub struct Cluster {
    /// The machines.
    pub machines: Vec<Machine>,
    /// Ancestors.
    pub originals: Vec<Original>,
    /// Between them.
    pub network: Network,
    /// `--max-delete` of every peer.
    pub max_delete: u8,
    /// `--durability` of every peer.
    pub flushing: Flushing,
    /// What its peers do with symlinks.
    pub symlinks: Symlinks,
    /// Slices of work that a machine does before the others have their turn.
    pub slices: usize,
    /// What one costs in simulated time.
    pub slice: Duration,
    /// Whether one had more to do after them.
    busy: bool,
    /// `--limit-up` and `--limit-down` of every peer.
    pub limits: Limits,
    now: Instant,
    rng: Rng,
    buffer: Vec<u8>,
    trace: bool,
    written_back: Instant,
}

impl Cluster {
    /// Machines without running peers.
    #[must_use]
    pub fn new(count: u8, rng: &mut Rng) -> Self {
        let machines = (1..=count).map(|number| Machine {
            address: SocketAddr::new(Ipv4Addr::new(10, 0, 0, number).into(), 22001),
            disk: SimDisk::new(),
            peer: None,
            ancestors: Vec::new(),
            bridge: None,
            clock_offset: 0,
            missed_events: 0,
            max_watches: usize::MAX,
        });
        Self {
            machines: machines.collect(),
            originals: Vec::new(),
            network: Network::new(rng.fork()),
            slices: SLICES,
            slice: SLICE,
            busy: false,
            max_delete: guard::HALF,
            flushing: Flushing::default(),
            symlinks: Symlinks::default(),
            limits: Limits::default(),
            now: Instant::from_micros(1_000_000),
            rng: rng.fork(),
            buffer: vec![0; BURST],
            trace: std::env::var_os("TRACE").is_some(),
            written_back: Instant::ZERO,
        }
    }

    /// Simulated time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Says what happens, if somebody wants to see it.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>12} {}", self.now.as_micros(), what());
        }
    }

    fn wall(&self, machine: &Machine) -> Timestamp {
        let micros = self.now.as_micros();
        Timestamp {
            sec: START + machine.clock_offset + i64::try_from(micros / 1_000_000).unwrap_or(0),
            nsec: u32::try_from(micros % 1_000_000).unwrap_or(0) * 1000,
        }
    }

    fn now_at(&self, place: usize) -> Now {
        let wall = self
            .machines
            .get(place)
            .map_or_else(Timestamp::default, |machine| self.wall(machine));
        Now {
            mono: self.now,
            wall,
        }
    }

    /// Sets the clocks of all disks.
    pub fn set_clocks(&self) {
        for machine in &self.machines {
            machine.disk.set_now(self.wall(machine));
        }
    }

    /// Starts the peer of a machine, if it does not run. False if it cannot start.
    pub fn start(&mut self, place: usize) -> bool {
        self.set_clocks();
        let now = self.now_at(place);
        let seed = self.rng.seed();
        let others: Vec<SocketAddr> = self
            .machines
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place)
            .map(|(_, machine)| machine.address)
            .collect();
        let Some(machine) = self.machines.get_mut(place) else {
            return false;
        };
        if machine.peer.is_some() {
            return true;
        }
        let config = Config {
            peers: others,
            key: [7; 32],
            symlinks: self.symlinks,
            scan_interval: Duration::from_secs(60),
            max_delete: self.max_delete,
            flushing: self.flushing,
            seed,
            receive_buffer: 2 * 1024 * 1024,
            datagram: 1200,
            limits: self.limits,
            aegis: is_fast_at_aegis() && place.is_multiple_of(2),
            is_own_address: |_| false,
        };
        let _ = machine.disk.take_events();
        let (limit, mut watched) = (machine.max_watches, BTreeSet::new());
        let watch = Box::new(move |path: &[u8]| {
            let room = watched.len() < limit || watched.contains(path);
            if room {
                watched.insert(path.to_vec());
            }
            room
        });
        match Peer::start(machine.disk.handle(), config, now, watch) {
            Ok(started) => {
                let ancestors = &machine.ancestors;
                machine.bridge = (!ancestors.is_empty())
                    .then(|| Legacy::new(now.mono, &started.peer, ancestors));
                machine.peer = Some(started.peer);
                true
            }
            Err(error) => {
                let error = error.to_string();
                self.trace(|| format!("peer {place} cannot start: {error}"));
                false
            }
        }
    }

    /// Kills the peer of a machine; with `power`, its machine loses its power.
    pub fn crash(&mut self, place: usize, power: bool) {
        let mut rng = self.rng.fork();
        if let Some(machine) = self.machines.get_mut(place) {
            machine.disk.fail(0, rng.fork());
            if power {
                machine.disk.power_cut(&mut rng);
            } else {
                machine.disk.kill();
            }
            (machine.peer, machine.bridge) = (None, None);
        }
    }

    /// Jumps to the next moment at which anything happens, and lets it happen.
    pub fn step(&mut self, limit: Instant) {
        let wakes = self
            .machines
            .iter()
            .filter_map(|machine| machine.peer.as_ref().map(Peer::next_wake));
        let busy = std::mem::take(&mut self.busy).then_some(self.now);
        let bridges = self
            .machines
            .iter()
            .filter_map(|machine| machine.bridge.as_ref().map(Legacy::next_wake));
        let next = wakes
            .chain(busy)
            .chain(bridges)
            .chain(self.originals.iter().map(Original::next_wake))
            .chain(self.network.next_arrival())
            .min()
            .unwrap_or(limit)
            .min(limit);
        // A deadline in the past still costs time, so that nothing can stand still.
        self.now = next.max(self.now + Duration::from_micros(10));
        self.set_clocks();
        if self.now.saturating_since(self.written_back) >= WRITEBACK {
            self.written_back = self.now;
            for machine in &self.machines {
                machine.disk.write_back();
            }
        }
        while let Some((from, to, mut datagram)) = self.network.pop_due(self.now) {
            if self.take_legacy(from, to, &datagram) {
                continue;
            }
            if let Some(place) = self
                .machines
                .iter()
                .position(|machine| machine.address == to)
            {
                let now = self.now_at(place);
                if let Some(peer) = self
                    .machines
                    .get_mut(place)
                    .and_then(|machine| machine.peer.as_mut())
                {
                    peer.handle_datagrams(now, from, [&mut datagram[..]].into_iter(), Mark::None);
                }
            }
        }
        for place in 0..self.machines.len() {
            self.turn(place);
        }
        for original in &mut self.originals {
            for (port, to, datagram) in original.work(self.now) {
                let from = SocketAddr::new(original.ip.into(), port);
                self.network.send(self.now, from, to, &datagram);
            }
        }
    }

    /// A datagram to or from an ancestor. False if it is none.
    fn take_legacy(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> bool {
        let mut originals = self.originals.iter_mut();
        if let Some(original) = originals.find(|original| original.ip == to.ip()) {
            original.handle(self.now, from, to.port(), datagram);
            return true;
        }
        let ours = |machine: &&mut Machine| machine.address.ip() == to.ip();
        let now = self.now_at(0);
        let Some(machine) = self.machines.iter_mut().find(ours) else {
            return false;
        };
        match (&mut machine.bridge, to.port(), datagram.first()) {
            (Some(bridge), INFORMATION_PORT, _) => bridge.handle_information(now, from, datagram),
            (Some(bridge), BLOCK_PORT, Some(0)) => bridge.handle_blocks(now, from, datagram),
            (_, port, _) => return port == INFORMATION_PORT,
        }
        true
    }

    /// One machine does what it has to do.
    fn turn(&mut self, place: usize) {
        for _ in 0..self.slices {
            let now = self.now_at(place);
            let Some(machine) = self.machines.get_mut(place) else {
                return;
            };
            let events = machine.disk.take_events();
            let Some(peer) = machine.peer.as_mut() else {
                return;
            };
            for event in events {
                if !self.rng.chance(machine.missed_events) {
                    if event.directory {
                        peer.handle_directory(&event.path);
                    }
                    peer.handle_change(now, &event.path, event.settled);
                }
            }
            if self.trace {
                log::debug!("-- {place} at {}", now.mono.as_micros());
            }
            let more = peer.work(now);
            let from = machine.address;
            while let Some((to, transmit)) = peer.poll_transmit(now, &mut self.buffer) {
                let datagrams = self.buffer.get(..transmit.len).unwrap_or_default();
                for datagram in datagrams.chunks(transmit.segment_size.max(1)) {
                    self.network.send(now.mono, from, to, datagram);
                }
            }
            let mut more = more;
            if let Some(bridge) = machine.bridge.as_mut() {
                more |= bridge.work(now, peer);
                while let Some((via, to, len)) = bridge.poll_transmit(now, peer, &mut self.buffer) {
                    let port = match via {
                        Via::Information => INFORMATION_PORT,
                        Via::Blocks => BLOCK_PORT,
                    };
                    let from = SocketAddr::new(from.ip(), port);
                    let datagram = self.buffer.get(..len).unwrap_or_default();
                    self.network.send(now.mono, from, to, datagram);
                }
            }
            if peer.must_restart() {
                (machine.peer, machine.bridge) = (None, None);
                self.start(place);
                return;
            }
            if !more {
                return;
            }
            self.now += self.slice;
            self.set_clocks();
        }
        self.busy = true;
    }

    /// Lets time pass.
    pub fn drive(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step(until);
        }
    }

    /// Lets time pass until something is so. False if it is not within the bound.
    pub fn drive_until(&mut self, bound: Duration, mut so: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now + bound;
        while self.now < until {
            if so(self) {
                return true;
            }
            self.step(until);
        }
        so(self)
    }

    /// Whether every machine's peer runs and says that all is the same.
    #[must_use]
    pub fn in_sync(&self) -> bool {
        self.machines
            .iter()
            .all(|machine| machine.peer.as_ref().is_some_and(Peer::in_sync))
    }
}
