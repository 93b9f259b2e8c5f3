//! A group of peers that name each other, on loopback addresses or in network namespaces.

use super::folder::Snapshot;
use super::netns::Network;
use super::program::make_key;
use super::wait::wait_until;
use super::{Peer, Scratch, seconds};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::{Index, IndexMut};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The port that all peers of a group use: tinypeer's default.
pub const PORT: u16 = 22001;

/// Names of the peers of a group, in order.
pub const NAMES: [&str; 3] = ["peer1", "peer2", "peer3"];

/// Some peers with one key. Fields are dropped in this order: processes, network, folders.
#[derive(Debug)]
pub struct Group {
    /// The peers.
    pub peers: Vec<Peer>,
    /// The namespaces they run in, if not on loopback.
    pub network: Option<Network>,
    /// The key they share.
    pub key: PathBuf,
    /// Their folders and logs.
    pub scratch: Scratch,
}

impl Group {
    /// `count` peers that all name each other, on addresses 127.x.y.1 to N of their own, so that
    /// tests can run beside each other. None is started.
    pub fn on_loopback(test: &str, count: usize) -> Self {
        Self::in_scratch(Scratch::new(test), count)
    }

    /// The same in folders that the caller chose.
    pub fn in_scratch(scratch: Scratch, count: usize) -> Self {
        let net = loopback_net();
        let addresses = (1..=count)
            .map(|host| on_net(net, host))
            .collect::<Vec<_>>();
        Self::at(scratch, &addresses)
    }

    /// One peer for each address, all naming each other with address and port.
    pub fn at(scratch: Scratch, addresses: &[SocketAddr]) -> Self {
        let key = make_key(scratch.path(), "group.key");
        let peers = addresses.iter().zip(NAMES).map(|(address, name)| {
            let others: Vec<String> = addresses
                .iter()
                .filter(|other| *other != address)
                .map(written)
                .collect();
            Peer::new(scratch.path(), name, *address, &others, &key)
        });
        Self {
            peers: peers.collect(),
            network: None,
            key,
            scratch,
        }
    }

    /// `count` peers, each in a network namespace of its own behind one bridge. An error says why
    /// this machine cannot.
    pub fn in_namespaces(test: &str, count: usize) -> Result<Self, String> {
        let network = Network::new(count)?;
        let mut group = Self::at(Scratch::new(test), &network.addresses());
        for (place, peer) in group.peers.iter_mut().enumerate() {
            peer.namespace = Some(network.namespace(place));
        }
        group.network = Some(network);
        Ok(group)
    }

    /// Starts all peers and waits until each is connected to the others and in sync.
    #[track_caller]
    pub fn start(&mut self) {
        for peer in &mut self.peers {
            peer.start();
        }
        self.wait_until("every peer answers", seconds(10), |group| {
            group.peers.iter().all(|peer| peer.status().is_ok())
        });
        self.wait_in_sync(seconds(20));
    }

    /// Waits until each peer says that it is connected to all it names and in sync.
    #[track_caller]
    pub fn wait_in_sync(&self, bound: Duration) {
        for peer in &self.peers {
            peer.wait_in_sync(bound);
        }
    }

    /// Waits until `reached`; a failure shows what each peer says and the end of its log.
    #[track_caller]
    pub fn wait_until(
        &self,
        what: &str,
        bound: Duration,
        mut reached: impl FnMut(&Self) -> bool,
    ) -> Duration {
        wait_until(what, bound, || reached(self), || self.report())
    }

    /// Waits until every peer's `share/` is what `expected` says, times and bytes included.
    #[track_caller]
    pub fn wait_all(&self, expected: &Snapshot, bound: Duration) -> Duration {
        let rough = expected.without_hashes();
        let mut time = Duration::ZERO;
        for peer in &self.peers {
            let share = peer.share();
            // Metadata first: reading every byte at every look would be the slowest part.
            let same = || {
                Snapshot::metadata(&share).is_ok_and(|found| found == rough)
                    && Snapshot::full(&share).is_ok_and(|found| found == *expected)
            };
            let what = format!("{} has what is expected", peer.name);
            time += wait_until(&what, bound, same, || {
                let found = Snapshot::full(&share).unwrap_or_default();
                format!("{}{}", expected.difference(&found), self.report())
            });
        }
        time
    }

    /// Waits until every peer has what `place` has now.
    #[track_caller]
    pub fn wait_equal_to(&self, place: usize, bound: Duration) -> Snapshot {
        let expected = Snapshot::full(&self[place].share()).expect("read the folder");
        self.wait_all(&expected, bound);
        expected
    }

    /// What each peer says and the end of its log.
    pub fn report(&self) -> String {
        self.peers.iter().fold(String::new(), |mut text, peer| {
            let _ = writeln!(text, "{}", peer.report());
            text
        })
    }
}

impl Index<usize> for Group {
    type Output = Peer;
    fn index(&self, place: usize) -> &Peer {
        &self.peers[place]
    }
}

impl IndexMut<usize> for Group {
    fn index_mut(&mut self, place: usize) -> &mut Peer {
        &mut self.peers[place]
    }
}

/// An address as `--ip` takes it, with its port.
pub fn written(address: &SocketAddr) -> String {
    address.to_string()
}

/// A /24 of 127/8 that no other test of this process and hardly one of another uses.
pub fn loopback_net() -> [u8; 3] {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let low = u8::try_from(count % 250).expect("below 250");
        let high = u8::try_from(std::process::id() % 240 + 10).expect("below 250");
        let net = [127, high, low];
        // Another run may be there: its first peer would hold this.
        if UdpSocket::bind(on_net(net, 1)).is_ok() {
            return net;
        }
    }
}

/// Host `host` on such a net, with the group's port.
pub fn on_net(net: [u8; 3], host: usize) -> SocketAddr {
    let host = u8::try_from(host).expect("a small group");
    SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(net[0], net[1], net[2], host)),
        PORT,
    )
}
