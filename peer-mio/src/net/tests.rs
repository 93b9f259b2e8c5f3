//! Bursts against a sender that fails on demand, and the socket over loopback.

use super::burst::{Progress, Sender, send_all};
use super::socket::{SendOutcome, Socket};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

/// A kernel that takes bursts, or fails as it is told.
#[derive(Default)]
struct Script {
    max_segments: usize,
    /// The error of each of the next calls; 0 for none.
    errors: VecDeque<i32>,
    /// Like quinn-udp: EIO and EINVAL end offload.
    gives_up_offload: bool,
    datagrams: Vec<Vec<u8>>,
    calls: usize,
    largest: usize,
}

impl Sender for Script {
    fn max_segments(&self) -> usize {
        self.max_segments
    }

    fn send(&mut self, burst: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        self.calls += 1;
        self.largest = self.largest.max(burst.len());
        let size = segment_size.unwrap_or(burst.len());
        assert!(!burst.is_empty() && burst.len().div_ceil(size) <= self.max_segments.max(1));
        match self.errors.pop_front().unwrap_or(0) {
            0 => self
                .datagrams
                .extend(burst.chunks(size).map(<[u8]>::to_vec)),
            errno => {
                if self.gives_up_offload && matches!(errno, libc::EIO | libc::EINVAL) {
                    self.max_segments = 1;
                }
                return Err(io::Error::from_raw_os_error(errno));
            }
        }
        Ok(())
    }
}

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

fn whole(progress: &Progress, len: usize) -> bool {
    progress.taken == len && progress.lost.is_none() && progress.stopped.is_none()
}

#[test]
fn a_run_longer_than_a_burst_is_cut_at_datagrams() {
    let mut sender = Script {
        max_segments: 64,
        ..Script::default()
    };
    let datagrams = numbered(100 * 1452 + 7);
    assert!(whole(
        &send_all(&mut sender, &datagrams, 1452),
        datagrams.len()
    ));
    assert_eq!(sender.calls, 3, "45 datagrams are 65,340 bytes");
    assert!(sender.largest <= 65_507);
    assert_eq!(
        sender.datagrams,
        datagrams
            .chunks(1452)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    );
}

#[test]
fn datagrams_as_large_as_a_burst_go_one_by_one() {
    let mut sender = Script {
        max_segments: 64,
        ..Script::default()
    };
    let datagrams = numbered(3 * 60_000);
    assert!(whole(
        &send_all(&mut sender, &datagrams, 60_000),
        datagrams.len()
    ));
    assert_eq!(sender.calls, 3);
}

#[test]
fn when_offload_fails_the_burst_is_sent_again_one_by_one() {
    for errno in [libc::EIO, libc::EINVAL] {
        let mut sender = Script {
            max_segments: 10,
            errors: [0, errno].into(),
            gives_up_offload: true,
            ..Script::default()
        };
        let datagrams = numbered(35 * 100);
        assert!(whole(
            &send_all(&mut sender, &datagrams, 100),
            datagrams.len()
        ));
        assert_eq!(
            sender.datagrams,
            datagrams
                .chunks(100)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        );
        assert_eq!(sender.calls, 1 + 1 + 25, "no burst any more");
    }
}

#[test]
fn a_burst_wider_than_the_path_costs_only_itself() {
    let errors = std::iter::repeat_n(libc::EMSGSIZE, 11).collect();
    let mut sender = Script {
        max_segments: 10,
        errors,
        ..Script::default()
    };
    let progress = send_all(&mut sender, &numbered(30 * 100), 100);
    assert_eq!(
        (progress.taken, progress.lost.unwrap().raw_os_error()),
        (3000, Some(libc::EMSGSIZE))
    );
    assert!(progress.stopped.is_none());
    assert_eq!(
        (sender.datagrams.len(), sender.calls),
        (20, 1 + 10 + 2),
        "bursts again behind it"
    );
}

#[test]
fn a_full_buffer_tells_how_much_was_taken() {
    let mut sender = Script {
        max_segments: 4,
        errors: [0, libc::EAGAIN].into(),
        ..Script::default()
    };
    let progress = send_all(&mut sender, &numbered(1000), 100);
    assert_eq!(progress.taken, 400);
    assert_eq!(progress.stopped.unwrap().kind(), io::ErrorKind::WouldBlock);
    // Also in the midst of sending again one by one.
    let errors = [libc::EIO, 0, 0, libc::EAGAIN].into();
    let mut sender = Script {
        max_segments: 4,
        errors,
        ..Script::default()
    };
    let progress = send_all(&mut sender, &numbered(1000), 100);
    assert_eq!(progress.taken, 200);
    assert_eq!(progress.stopped.unwrap().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn an_unreachable_peer_is_loss_and_costs_one_call_a_burst() {
    for errno in [
        libc::ECONNREFUSED,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EPERM,
    ] {
        let mut sender = Script {
            max_segments: 10,
            errors: [errno, errno].into(),
            ..Script::default()
        };
        let progress = send_all(&mut sender, &numbered(2000), 100);
        assert_eq!((progress.taken, sender.calls), (2000, 2));
        assert_eq!(progress.lost.unwrap().raw_os_error(), Some(errno));
        assert!(progress.stopped.is_none());
    }
}

#[test]
fn an_error_of_the_socket_itself_stops() {
    let mut sender = Script {
        max_segments: 1,
        errors: [0, libc::EBADF].into(),
        ..Script::default()
    };
    let progress = send_all(&mut sender, &numbered(1000), 100);
    assert_eq!(progress.taken, 100);
    assert_eq!(progress.stopped.unwrap().raw_os_error(), Some(libc::EBADF));
}

proptest! {
    #[test]
    fn whatever_fails_every_datagram_is_sent_once_or_counted(
        len in 0_usize..5000,
        segment_size in 0_usize..700,
        max_segments in 0_usize..20,
        gives_up_offload: bool,
        errors in prop::collection::vec(
            prop_oneof![4 => Just(0), 1 => prop::sample::select(vec![
                libc::EIO, libc::EINVAL, libc::EAGAIN, libc::EMSGSIZE, libc::ENETUNREACH, libc::EBADF,
            ])], 0..40),
    ) {
        let mut sender =
            Script { max_segments, errors: errors.into(), gives_up_offload, ..Script::default() };
        let datagrams = numbered(len);
        let progress = send_all(&mut sender, &datagrams, segment_size);
        let size = segment_size.max(1);
        prop_assert!(progress.taken == len || progress.stopped.is_some());
        prop_assert!(progress.taken % size == 0 || progress.taken == len);
        let expected: Vec<&[u8]> = datagrams[..progress.taken].chunks(size).collect();
        if progress.lost.is_none() {
            prop_assert_eq!(&sender.datagrams, &expected);
        } else {
            // In order, none twice.
            let mut rest = expected.iter();
            prop_assert!(sender.datagrams.iter().all(|sent| rest.any(|&one| one == sent)));
        }
    }
}

fn bound(address: &str) -> Option<Socket> {
    match Socket::bind(address.parse().unwrap()) {
        Ok(socket) => Some(socket),
        Err(error) => {
            println!("not tested with {address}: {error}");
            None
        }
    }
}

/// All that has come. Over loopback a datagram is there when the call that sent it returns.
fn receive_all(socket: &mut Socket) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut received = Vec::new();
    while socket
        .receive(&mut |from, datagrams, _| {
            received.extend(datagrams.map(|datagram| (from, datagram.to_vec())));
            true
        })
        .unwrap()
    {}
    received
}

fn exchange(sender: &mut Socket, receiver: &mut Socket, to: SocketAddr, from: SocketAddr) {
    assert!(receive_all(receiver).is_empty());
    for (count, segment_size, last) in [
        (1, 1, 1),
        (1, 1200, 1200),
        (2, 1200, 1),
        (10, 1452, 1452),
        (44, 1452, 77),
        (64, 512, 512),
        (65, 1000, 9),
        (3, 60_000, 4),
    ] {
        let datagrams = numbered((count - 1) * segment_size + last);
        let outcome = sender.send(to, &datagrams, segment_size, true).unwrap();
        assert_eq!(outcome, SendOutcome::Sent);
        let received = receive_all(receiver);
        assert_eq!(received.len(), count, "{count} of {segment_size}");
        for ((source, datagram), expected) in received.iter().zip(datagrams.chunks(segment_size)) {
            assert_eq!(*source, from);
            assert!(datagram == expected);
        }
    }
    assert!(sender.take_lost().is_none());
}

#[test]
fn bursts_of_every_size_arrive_over_ipv4() {
    let (mut a, mut b) = (bound("127.0.0.1:0").unwrap(), bound("127.0.0.1:0").unwrap());
    let (a_at, b_at) = (a.local_addr().unwrap(), b.local_addr().unwrap());
    exchange(&mut a, &mut b, b_at, a_at);
    exchange(&mut b, &mut a, a_at, b_at);
    assert!(a.receive_buffer() >= 64 * 1024, "{}", a.receive_buffer());
    assert!(a.max_segments() >= 1);
}

#[test]
fn bursts_of_every_size_arrive_over_ipv6() {
    let (Some(mut a), Some(mut b)) = (bound("[::1]:0"), bound("[::1]:0")) else {
        return;
    };
    let (a_at, b_at) = (a.local_addr().unwrap(), b.local_addr().unwrap());
    exchange(&mut a, &mut b, b_at, a_at);
}

#[test]
fn a_socket_on_any_address_speaks_both_families_and_names_ipv4_as_such() {
    let (mut any, mut v4) = (bound("[::]:0").unwrap(), bound("127.0.0.1:0").unwrap());
    let port = any.local_addr().unwrap().port();
    let any_v4 = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
    let v4_at = v4.local_addr().unwrap();
    exchange(&mut any, &mut v4, v4_at, any_v4);
    exchange(&mut v4, &mut any, any_v4, v4_at);
    if any.local_addr().unwrap().is_ipv6()
        && let Some(mut v6) = bound("[::1]:0")
    {
        let v6_at = v6.local_addr().unwrap();
        exchange(
            &mut v6,
            &mut any,
            SocketAddr::new("::1".parse().unwrap(), port),
            v6_at,
        );
    }
}

#[test]
fn an_answer_leaves_from_the_address_that_was_sent_to() {
    for any in ["0.0.0.0:0", "[::]:0"] {
        let (mut any, mut peer) = (bound(any).unwrap(), bound("127.0.0.1:0").unwrap());
        let peer_at = peer.local_addr().unwrap();
        // Not what the kernel takes by itself for 127.0.0.1.
        let second = SocketAddr::new(
            "127.0.0.77".parse().unwrap(),
            any.local_addr().unwrap().port(),
        );
        for proven in [false, true] {
            peer.send(second, b"who is there", 100, false).unwrap();
            let mut heard = 0;
            let more = any.receive(&mut |from, datagrams, _| {
                assert_eq!(from, peer_at);
                heard += datagrams.count();
                proven
            });
            assert!(!more.unwrap(), "a call that is not full has taken all");
            assert_eq!(heard, 1);
            any.send(peer_at, &numbered(300), 100, false).unwrap();
            let received = receive_all(&mut peer);
            assert_eq!(received.len(), 3);
            for (from, _) in received {
                // What anybody may have sent moves nothing.
                assert_eq!(from == second, proven, "{from}");
            }
        }
    }
}

#[test]
fn what_cannot_be_reached_is_lost_and_not_fatal() {
    let mut socket = bound("127.0.0.1:0").unwrap();
    let gone = bound("127.0.0.1:0").unwrap().local_addr().unwrap();
    for to in [
        gone,
        "[::1]:9".parse().unwrap(),
        "127.0.0.1:0".parse().unwrap(),
        "203.0.113.1:9".parse().unwrap(),
    ] {
        for count in [1, 3] {
            assert_eq!(
                socket.send(to, &numbered(count * 100), 100, true).unwrap(),
                SendOutcome::Sent
            );
        }
        assert!(receive_all(&mut socket).is_empty());
    }
    assert!(socket.take_lost().is_some());
    assert!(socket.take_lost().is_none());
    assert_eq!(
        socket.send(gone, &[], 100, false).unwrap(),
        SendOutcome::Sent
    );
    // Larger than any datagram, and empty ones that a stranger may send.
    assert_eq!(
        socket.send(gone, &numbered(70_000), 70_000, false).unwrap(),
        SendOutcome::Sent
    );
    let own = socket.local_addr().unwrap();
    std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .send_to(&[], own)
        .unwrap();
    assert!(receive_all(&mut socket).is_empty());
    let mut other = bound("127.0.0.1:0").unwrap();
    let other_at = other.local_addr().unwrap();
    exchange(&mut other, &mut socket, own, other_at);
}

#[test]
fn an_address_in_use_is_an_error() {
    let socket = bound("127.0.0.1:0").unwrap();
    let error = Socket::bind(socket.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
