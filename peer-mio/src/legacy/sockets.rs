//! The sockets of the bridge: 22002 for information, and 22001 for blocks unless that is where tinypeer listens
//! anyway.

use super::Via;
use crate::net::socket::{SendOutcome, Socket};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use proto_core::legacy::{BLOCK_PORT, INFORMATION_PORT};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Longest datagram that is taken.
const LONGEST: usize = 65_535;
/// What is asked of the kernel to hold of what arrives: a window of blocks.
const KERNEL_BUFFER: usize = 1024 * 1024;

/// The sockets.
pub struct Sockets {
    information: UdpSocket,
    /// `None`: tinypeer's own socket takes them.
    blocks: Option<UdpSocket>,
    buffer: Box<[u8]>,
}

fn bind(ip: IpAddr, port: u16) -> Result<UdpSocket, String> {
    let address = SocketAddr::new(ip, port);
    let bound = || {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        socket.set_nonblocking(true)?;
        // What the kernel refuses is only slower.
        let _granted = socket.set_recv_buffer_size(KERNEL_BUFFER);
        socket.bind(&address.into())?;
        Ok(UdpSocket::from_std(socket.into()))
    };
    bound().map_err(|error: io::Error| {
        format!("--legacy: cannot listen on {address}: {error}; the ancestor's ports are fixed")
    })
}

impl Sockets {
    /// Binds them beside a socket that listens on `own`.
    ///
    /// # Errors
    /// A sentence.
    pub fn bind(own: SocketAddr) -> Result<Self, String> {
        let ip = match own.ip() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        // Only a socket for all addresses takes IPv4 beside IPv6.
        let hears = own.is_ipv4() || own.ip().is_unspecified();
        let shared = own.port() == BLOCK_PORT && hears;
        Ok(Self {
            information: bind(ip, INFORMATION_PORT)?,
            blocks: if shared {
                None
            } else {
                Some(bind(ip, BLOCK_PORT)?)
            },
            buffer: vec![0; LONGEST].into_boxed_slice(),
        })
    }

    /// Registers them.
    ///
    /// # Errors
    /// Those of epoll.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.information, token, Interest::READABLE)?;
        match &mut self.blocks {
            Some(blocks) => registry.register(blocks, token, Interest::READABLE),
            None => Ok(()),
        }
    }

    /// Takes one datagram from each socket. False if there was none.
    pub fn receive(&mut self, sink: &mut dyn FnMut(Via, SocketAddr, &[u8])) -> bool {
        let sockets = [
            (Via::Information, Some(&self.information)),
            (Via::Blocks, self.blocks.as_ref()),
        ];
        let mut any = false;
        for (via, socket) in sockets {
            let Some(socket) = socket else {
                continue;
            };
            match socket.recv_from(&mut self.buffer) {
                Ok((len, from)) => {
                    any = true;
                    sink(via, from, self.buffer.get(..len).unwrap_or_default());
                }
                // An ICMP message about an earlier datagram.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => any = true,
                Err(_) => {}
            }
        }
        any
    }

    /// Sends one datagram. What the kernel does not take is lost, as anything may be on the way.
    pub fn send(&self, own: &mut Socket, via: Via, to: SocketAddr, datagram: &[u8]) {
        let sent = match (via, &self.blocks) {
            (Via::Information, _) => self.information.send_to(datagram, to).map(drop),
            (Via::Blocks, Some(blocks)) => blocks.send_to(datagram, to).map(drop),
            (Via::Blocks, None) => own.send_in_fragments(to, datagram).map(|outcome| {
                if outcome != SendOutcome::Sent {
                    log::debug!("{to}: the kernel has no room for a block");
                }
            }),
        };
        if let Err(error) = sent {
            log::debug!("{to}: {error}");
        }
    }
}
