//! From which of our addresses each peer is answered: the one that it sends to, for it drops what
//! comes from an address that it does not know.

use proto_core::limits::MAX_PEERS;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Our side of the way to each peer. Only for a socket on all addresses; else the kernel knows.
#[derive(Debug)]
pub(super) struct Sources {
    on_all: bool,
    is_v6: bool,
    known: [Option<(SocketAddr, IpAddr)>; MAX_PEERS],
}

impl Sources {
    /// For a socket that is bound to `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            on_all: address.ip().is_unspecified(),
            is_v6: address.is_ipv6(),
            known: [None; MAX_PEERS],
        }
    }

    /// A datagram of `peer` that proved to be its came to our address `own`.
    pub fn note(&mut self, peer: SocketAddr, own: Option<IpAddr>) {
        let Some(own) = own.filter(|own| self.on_all && is_one(own.to_canonical())) else {
            return;
        };
        let own = match own {
            IpAddr::V4(v4) if self.is_v6 => IpAddr::V6(v4.to_ipv6_mapped()),
            other => other,
        };
        let place = self
            .place(peer)
            .or_else(|| self.known.iter().position(Option::is_none));
        if let Some(slot) = place.and_then(|place| self.known.get_mut(place)) {
            *slot = Some((peer, own));
        }
    }

    /// What datagrams to `peer` are to come from, in the socket's own kind of address; `None` leaves
    /// it to the kernel.
    pub fn of(&self, peer: SocketAddr) -> Option<IpAddr> {
        if !self.on_all {
            return None;
        }
        let slot = self.known.get(self.place(peer)?)?;
        slot.map(|(_, own)| own)
    }

    /// That address is no longer ours.
    pub fn forget(&mut self, peer: SocketAddr) {
        if let Some(slot) = self.place(peer).and_then(|place| self.known.get_mut(place)) {
            *slot = None;
        }
    }

    fn place(&self, peer: SocketAddr) -> Option<usize> {
        self.known
            .iter()
            .position(|slot| slot.is_some_and(|(known, _)| known == peer))
    }
}

/// Whether an address can be sent from.
fn is_one(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}
