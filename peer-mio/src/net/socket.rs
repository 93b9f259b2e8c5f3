//! The UDP socket: datagrams in batches, bursts out by segmentation offload (quinn-udp).

use super::burst::{self, Sender, is_loss};
use super::sources::Sources;
use crate::sys::fragment::allow_fragments;
use mio::net::UdpSocket;
use proto_core::boundary::Mark;
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockAddr, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::slice::ChunksMut;

/// Messages taken in one call; with receive offload each may hold many datagrams.
const BATCH: usize = 8;

/// Bytes of each receive buffer: the largest that receive offload puts together.
const BUFFER: usize = 64 * 1024;

/// What is asked of SO_RCVBUF and SO_SNDBUF: 30 ms at 1 Gbit/s. The kernel grants at most
/// `net.core.rmem_max` and `wmem_max`.
const KERNEL_BUFFER: usize = 4 * 1024 * 1024;

/// How far [`Socket::send`] came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendOutcome {
    /// All datagrams are sent, or lost on the way.
    Sent,
    /// The kernel's buffer is full. The first `taken` bytes (whole datagrams) need not be sent
    /// again; the rest should be when the socket is writable.
    WouldBlock {
        /// Bytes from the start.
        taken: usize,
    },
}

/// Whether an address is one of this machine's own: only then can a socket be bound to it.
#[must_use]
pub fn is_own_address(address: SocketAddr) -> bool {
    std::net::UdpSocket::bind(SocketAddr::new(address.ip(), 0)).is_ok()
}

/// A bound UDP socket. To be registered for read and write; with mio's edge-triggered poll,
/// [`Self::receive`] until it says that nothing is left.
#[derive(Debug)]
pub struct Socket {
    io: UdpSocket,
    offload: UdpSocketState,
    is_v6: bool,
    receive_buffer: usize,
    buffers: Vec<Box<[u8]>>,
    lost: Option<io::Error>,
    sources: Sources,
}

impl Socket {
    /// Binds to `address`. `[::]` takes IPv4 too, and falls back to `0.0.0.0` in a kernel without
    /// IPv6.
    ///
    /// # Errors
    /// Those of socket and bind, such as `AddrInUse`.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let any = address.is_ipv6() && address.ip().is_unspecified();
        let socket = match socket2::Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        ) {
            Err(error) if any && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                return Self::bind(SocketAddr::new(
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    address.port(),
                ));
            }
            made => made?,
        };
        if any {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        // What the kernel refuses is only slower.
        let _granted = socket.set_recv_buffer_size(KERNEL_BUFFER);
        let _granted = socket.set_send_buffer_size(KERNEL_BUFFER);
        socket.bind(&SockAddr::from(address))?;
        // The kernel doubles what was set, for its own bookkeeping, and says so (socket(7)).
        let receive_buffer = socket.recv_buffer_size()? / 2;
        let io = UdpSocket::from_std(socket.into());
        let offload = UdpSocketState::new(UdpSockRef::from(&io))?;
        let buffers = (0..BATCH)
            .map(|_| vec![0; BUFFER].into_boxed_slice())
            .collect();
        Ok(Self {
            io,
            offload,
            is_v6: address.is_ipv6(),
            receive_buffer,
            buffers,
            lost: None,
            sources: Sources::new(address),
        })
    }

    /// Where it is bound; with the port that the kernel chose if 0 was asked for.
    ///
    /// # Errors
    /// Those of getsockname.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Bytes of datagrams that the kernel holds for us before it drops some: about this much, less
    /// if they are small.
    #[must_use]
    pub const fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Most datagrams that leave in one call; 1 where segmentation offload is missing or failed.
    #[must_use]
    pub fn max_segments(&self) -> usize {
        self.offload.max_gso_segments()
    }

    /// Why the last lost datagram was lost, if one was since the last call.
    pub fn take_lost(&mut self) -> Option<io::Error> {
        self.lost.take()
    }

    /// Takes what one call gives and hands `sink` the datagrams of each source that came together, with their mark; IPv4
    /// sources are IPv4 also on an IPv6 socket. `false` if nothing is left. Empty datagrams are
    /// dropped. `sink` says whether one of them proved to be that peer's: what is sent to it then
    /// leaves from the address that it had sent to.
    ///
    /// # Errors
    /// Those of recvmsg that speak of the socket; those that an earlier datagram of ours came back
    /// with are no errors.
    pub fn receive(
        &mut self,
        sink: &mut dyn FnMut(SocketAddr, ChunksMut<'_, u8>, Mark) -> bool,
    ) -> io::Result<bool> {
        let mut about = [RecvMeta::default(); BATCH];
        let mut slices = self
            .buffers
            .iter_mut()
            .map(|buffer| IoSliceMut::new(buffer));
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let messages = match self
            .offload
            .recv(UdpSockRef::from(&self.io), &mut slices, &mut about)
        {
            Ok(messages) => messages,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if is_loss(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in about.iter().zip(&mut self.buffers).take(messages) {
            let source = match meta.addr.ip().to_canonical() {
                IpAddr::V4(mapped) => SocketAddr::new(IpAddr::V4(mapped), meta.addr.port()),
                IpAddr::V6(_) => meta.addr, // as it is: it may have a scope
            };
            let Some(received) = buffer.get_mut(..meta.len) else {
                continue;
            };
            // Receive offload joins only datagrams with the same mark.
            let mark = match meta.ecn {
                Some(EcnCodepoint::Ce) => Mark::Congestion,
                _ => Mark::None,
            };
            if sink(source, received.chunks_mut(meta.stride.max(1)), mark) {
                self.sources.note(source, meta.dst_ip);
            }
        }
        // Fewer than fit: the queue was empty, and poll tells of what comes from now on.
        Ok(messages == BATCH)
    }

    /// Sends datagrams that lie one behind the other, all of `segment_size` bytes, the last one at
    /// most that. With `ecn` they say ECT(0). A destination that cannot be reached is no error: the datagrams are lost, and
    /// [`Self::take_lost`] says why.
    ///
    /// # Errors
    /// Those of sendmsg that speak of the socket.
    pub fn send(
        &mut self,
        to: SocketAddr,
        datagrams: &[u8],
        segment_size: usize,
        ecn: bool,
    ) -> io::Result<SendOutcome> {
        let peer = to;
        let source = self.sources.of(peer);
        let offloaded = self.offload.max_gso_segments();
        let to = match to {
            SocketAddr::V4(v4) if self.is_v6 => {
                SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port())
            }
            other => other,
        };
        let mut sender = Offload {
            io: &self.io,
            state: &self.offload,
            to,
            source,
            ecn: ecn.then_some(EcnCodepoint::Ect0),
        };
        let progress = burst::send_all(&mut sender, datagrams, segment_size);
        let failed = progress.stopped.as_ref().or(progress.lost.as_ref());
        if source.is_some() && failed.is_some_and(is_of_the_source) {
            // That address has left this machine. The kernel's words for it are also those with which
            // offload fails, so offload is off now; it was not to blame.
            self.sources.forget(peer);
            if self.offload.max_gso_segments() < offloaded {
                self.offload = UdpSocketState::new(UdpSockRef::from(&self.io))?;
            }
        }
        if progress.lost.is_some() {
            self.lost = progress.lost;
        }
        match progress.stopped {
            None => Ok(SendOutcome::Sent),
            Some(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(SendOutcome::WouldBlock {
                    taken: progress.taken,
                })
            }
            Some(error) => Err(error),
        }
    }
}

impl Socket {
    /// Sends one datagram that may go in fragments: a block for an ancestor.
    ///
    /// # Errors
    /// Those of sendmsg and setsockopt.
    pub fn send_in_fragments(
        &mut self,
        to: SocketAddr,
        datagram: &[u8],
    ) -> io::Result<SendOutcome> {
        allow_fragments(&self.io, true)?;
        let sent = self.send(to, datagram, datagram.len(), false);
        allow_fragments(&self.io, false)?;
        sent
    }
}

impl mio::event::Source for Socket {
    fn register(
        &mut self,
        registry: &mio::Registry,
        token: mio::Token,
        interests: mio::Interest,
    ) -> io::Result<()> {
        self.io.register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &mio::Registry,
        token: mio::Token,
        interests: mio::Interest,
    ) -> io::Result<()> {
        self.io.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &mio::Registry) -> io::Result<()> {
        self.io.deregister(registry)
    }
}

/// quinn-udp lowers `max_gso_segments` by itself when a burst fails.
struct Offload<'a> {
    io: &'a UdpSocket,
    state: &'a UdpSocketState,
    to: SocketAddr,
    source: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
}

/// Whether an error may say that the address to send from is not this machine's.
fn is_of_the_source(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EADDRNOTAVAIL | libc::ENETUNREACH | libc::EHOSTUNREACH)
    )
}

impl Sender for Offload<'_> {
    fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn send(&mut self, burst: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.to,
            ecn: self.ecn,
            contents: burst,
            segment_size,
            src_ip: self.source,
        };
        self.state.try_send(UdpSockRef::from(self.io), &transmit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_has_left_the_machine_is_forgotten_and_offload_stays() {
        let mut any = Socket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = other.local_addr().unwrap();
        let segments = any.max_segments();
        // TEST-NET-3 (RFC 5737): never ours.
        any.sources.note(peer, Some("203.0.113.5".parse().unwrap()));
        assert_eq!(
            any.send(peer, &[7; 300], 100, false).unwrap(),
            SendOutcome::Sent
        );
        assert!(any.take_lost().is_some());
        assert_eq!(any.max_segments(), segments);
        assert_eq!(
            any.send(peer, &[7; 300], 100, false).unwrap(),
            SendOutcome::Sent
        );
        assert!(any.take_lost().is_none());
        let mut buffer = [0; 200];
        assert_eq!(other.recv(&mut buffer).unwrap(), 100);
    }
}
