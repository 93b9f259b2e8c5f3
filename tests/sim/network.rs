//! The simulated network: loss, delay, duplication, reordering and partitions, from a seed.

use crate::rng::Rng;
use proto_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Datagrams of 1000 that are lost.
    pub loss: u64,
    /// Datagrams of 1000 that come twice.
    pub duplication: u64,
    /// Least time under way.
    pub delay: Duration,
    /// Random time on top of it, which reorders.
    pub jitter: Duration,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            loss: 0,
            duplication: 0,
            delay: Duration::from_micros(200),
            jitter: Duration::ZERO,
        }
    }
}

/// A datagram under way: from whom, to whom, its bytes.
pub type Datagram = (SocketAddr, SocketAddr, Vec<u8>);

/// All datagrams under way.
#[derive(Debug)]
pub struct Network {
    rng: Rng,
    /// How bad it is now.
    pub weather: Weather,
    /// Bytes per second that each machine can send; 0: any.
    pub uplink: u64,
    /// The same of one machine.
    pub uplink_of: Option<(SocketAddr, u64)>,
    /// When the last datagram of each has left it.
    free_at: BTreeMap<SocketAddr, Instant>,
    under_way: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
    /// Ways that are cut, each in one direction.
    cut: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Bytes sent in all.
    pub bytes: u64,
    sent_by: BTreeMap<SocketAddr, u64>,
    /// Bytes that were sent to each address.
    pub sent_to: BTreeMap<SocketAddr, usize>,
}

impl Network {
    /// A good network.
    #[must_use]
    pub fn new(rng: Rng) -> Self {
        Self {
            rng,
            weather: Weather::default(),
            uplink: 0,
            uplink_of: None,
            free_at: BTreeMap::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            bytes: 0,
            sent_by: BTreeMap::new(),
            sent_to: BTreeMap::new(),
        }
    }

    /// A peer sends a datagram.
    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        self.bytes += datagram.len() as u64;
        *self.sent_by.entry(from).or_default() += datagram.len() as u64;
        *self.sent_to.entry(to).or_default() += datagram.len();
        let left = self.leaves(now, from, datagram.len());
        if self.cut.contains(&(from, to)) || self.rng.chance(self.weather.loss) {
            return;
        }
        let copies = if self.rng.chance(self.weather.duplication) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let jitter = u64::try_from(self.weather.jitter.as_micros()).unwrap_or(0);
            let arrival =
                left + self.weather.delay + Duration::from_micros(self.rng.below(jitter + 1));
            self.sent += 1;
            self.under_way
                .insert((arrival, self.sent), (from, to, datagram.to_vec()));
        }
    }

    /// When a datagram has left its sender, behind all that it sent before.
    fn leaves(&mut self, now: Instant, from: SocketAddr, len: usize) -> Instant {
        let own = self.uplink_of.filter(|(of, _)| *of == from);
        let uplink = own.map_or(self.uplink, |(_, uplink)| uplink);
        let Some(micros) = (len as u64 * 1_000_000).checked_div(uplink) else {
            return now;
        };
        let free_at = self.free_at.entry(from).or_default();
        *free_at = (*free_at).max(now) + Duration::from_micros(micros);
        *free_at
    }

    /// Bytes that one sent.
    #[must_use]
    pub fn sent_by(&self, from: SocketAddr) -> u64 {
        self.sent_by.get(&from).copied().unwrap_or_default()
    }

    /// Datagrams that were sent and not lost, in all.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// Takes a datagram that has arrived.
    pub fn pop_due(&mut self, now: Instant) -> Option<Datagram> {
        let first = self.under_way.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        Some(first.remove())
    }

    /// Cuts the way from one to another.
    pub fn cut(&mut self, from: SocketAddr, to: SocketAddr) {
        self.cut.insert((from, to));
    }

    /// All ways are open.
    pub fn heal(&mut self) {
        self.cut.clear();
    }
}
