//! Datagrams from those who have not got the key: recorded ones played again, and noise, from a
//! stranger's address and from the addresses at which the peers expect each other.

use crate::harness::folder::random_bytes;
use crate::harness::group::{loopback_net, on_net};
use crate::harness::relay::Relay;
use crate::harness::{Group, Scratch, Snapshot, seconds};
use std::env;
use std::fs;
use std::net::UdpSocket;

/// First byte of a peer's own attempt to connect (protocol.md section 3); all else would be an answer.
const INITIATION: u8 = 1;
/// First byte of an answer to that.
const RESPONSE: u8 = 2;
/// First byte of all that follows.
const SEALED: u8 = 3;

/// Noise datagrams unless `FLOOD` says another number.
const FLOOD: u64 = 200_000;

/// A seeded generator: the noise is the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Fills `buffer` and returns how much of it to send: any length to 400 bytes, half of them with
    /// the first byte of a message, a quarter with a header and a length that would be right.
    fn datagram(&mut self, buffer: &mut [u8; 400]) -> usize {
        for bytes in buffer.chunks_mut(8) {
            bytes.copy_from_slice(&self.next().to_le_bytes()[..bytes.len()]);
        }
        let kind = self.next();
        if kind & 1 == 1 {
            buffer[0] = 1 + u8::try_from(kind >> 8 & 3).unwrap();
        }
        if kind & 6 == 6 {
            let version = u8::from(buffer[0] < 3);
            buffer[1..4].copy_from_slice(&[version, 0, 0]);
            match buffer[0] {
                1 => return 96,
                2 => return 80,
                _ => {}
            }
        }
        usize::try_from(kind >> 16).unwrap() % buffer.len() + 1
    }
}

/// Two peers that know each other only through a relay.
fn relayed(test: &str) -> (Group, Relay) {
    let net = loopback_net();
    let peers = [on_net(net, 1), on_net(net, 2)];
    let faces = [on_net(net, 12), on_net(net, 11)];
    let relay = Relay::start(faces, peers);
    let mut group = Group::at(Scratch::new(test), &peers);
    for (peer, face) in group.peers.iter_mut().zip(faces) {
        peer.others = vec![face.to_string()];
    }
    (group, relay)
}

fn shares(group: &Group) -> Vec<Snapshot> {
    let full = |place: usize| Snapshot::full(&group[place].share()).expect("read the folder");
    (0..group.peers.len()).map(full).collect()
}

fn sequences(group: &Group) -> Vec<u64> {
    group
        .peers
        .iter()
        .map(|peer| peer.status_now().sequence)
        .collect()
}

/// Cuts the two off from each other and waits until both know, so that what comes from now on can
/// only be an answer to what the test sends.
fn silence(group: &Group, relay: &Relay) {
    relay.forward(false);
    group.wait_until("both notice the silence", seconds(15), |group| {
        (0..2).all(|place| !group[place].status_now().peers[0].connected)
    });
    for place in 0..2 {
        relay.take_sent_by(place);
    }
}

/// Panics if a peer has sent anything but its own attempts to connect.
fn assert_no_answer(group: &mut Group, relay: &Relay) {
    for place in 0..2 {
        assert!(group[place].is_running(), "{}", group.report());
        // It has worked through all that came before once it answers.
        group[place].status_now();
        let kinds: Vec<u8> = relay
            .take_sent_by(place)
            .iter()
            .filter_map(|datagram| datagram.first().copied())
            .filter(|kind| *kind != INITIATION)
            .collect();
        assert!(kinds.is_empty(), "peer {place} answered: {kinds:?}");
    }
}

/// What is replayed must have handshakes and both files in it, in however long datagrams they went
/// (docs/protocol.md, "Path MTU").
fn assert_has_all_kinds(capture: &[Vec<Vec<u8>>; 2]) {
    let kinds = [INITIATION, RESPONSE, SEALED];
    let count = |kind| {
        let datagrams = capture.iter().flatten();
        datagrams
            .filter(|datagram| datagram.first() == Some(&kind))
            .count()
    };
    assert!(kinds.map(count).iter().all(|count| *count > 0), "{kinds:?}");
    let bytes: usize = capture.iter().flatten().map(Vec::len).sum();
    assert!(bytes > 500_000, "the capture has {bytes} bytes");
}

#[test]
fn a_replayed_capture_changes_nothing() {
    let (mut group, relay) = relayed("replayed");
    group.start();
    group[0].write("kept", &random_bytes(1, 300_000));
    group[1].write("deleted later", &random_bytes(2, 200_000));
    group.wait_until("both have both", seconds(10), |group| {
        (0..2).all(|place| fs::read_dir(group[place].share()).unwrap().count() == 2)
    });
    group.wait_in_sync(seconds(10));
    fs::remove_file(group[0].path("deleted later")).unwrap();
    group.wait_until("it is deleted", seconds(10), |group| {
        !group[1].path("deleted later").exists()
    });
    group.wait_in_sync(seconds(10));
    let before = (shares(&group), sequences(&group));

    let capture = [relay.take_sent_by(0), relay.take_sent_by(1)];
    assert_has_all_kinds(&capture);
    // To the one it was for, while the session lives and when it is over, and back to its sender.
    let play = |relay: &Relay| {
        for (sender, datagrams) in capture.iter().enumerate() {
            for datagram in datagrams {
                relay.send_to(1 - sender, datagram);
                relay.send_to(sender, datagram);
            }
        }
    };
    play(&relay);
    group.wait_in_sync(seconds(10));
    assert_eq!((shares(&group), sequences(&group)), before);

    silence(&group, &relay);
    play(&relay);
    assert_no_answer(&mut group, &relay);
    for place in 0..2 {
        assert!(
            !group[place].status_now().peers[0].connected,
            "a replayed handshake was taken: {}",
            group.report()
        );
    }
    assert_eq!((shares(&group), sequences(&group)), before);

    // New peers with new ephemeral keys have no memory of what they have seen.
    group[0].kill();
    group[0].start_and_wait(seconds(10));
    relay.take_sent_by(0);
    play(&relay);
    assert_no_answer(&mut group, &relay);
    assert_eq!((shares(&group), sequences(&group)), before);

    relay.forward(true);
    group.wait_in_sync(seconds(20));
    assert_eq!(shares(&group), before.0);
}

#[test]
fn noise_changes_nothing() {
    let (mut group, relay) = relayed("noise");
    group.start();
    group[0].write("file", &random_bytes(3, 100_000));
    group.wait_equal_to(0, seconds(10));
    group.wait_in_sync(seconds(10));
    let before = (shares(&group), sequences(&group));
    silence(&group, &relay);

    let count = env::var("FLOOD").map_or(FLOOD, |text| text.parse().expect("FLOOD is a number"));
    let target = group[0].listen;
    let mut address = target;
    address.set_ip(match target.ip() {
        std::net::IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            [a, b, c, 250].into()
        }
        std::net::IpAddr::V6(_) => panic!("loopback groups are IPv4"),
    });
    let stranger = UdpSocket::bind(address).expect("an address nearby");
    stranger.set_nonblocking(true).unwrap();
    let mut noise = Noise(88_172_645_463_325_252);
    let mut buffer = [0; 400];
    for number in 0..count {
        let len = noise.datagram(&mut buffer);
        if number % 4 == 0 {
            // A full buffer of the receiver drops it, which is no answer either.
            let _ = stranger.send_to(&buffer[..len], target);
        } else {
            relay.send_to(0, &buffer[..len]);
        }
    }
    assert_no_answer(&mut group, &relay);
    let answer = stranger.recv_from(&mut buffer);
    assert!(answer.is_err(), "the stranger got {answer:?}");
    assert_eq!((shares(&group), sequences(&group)), before);
    assert!(
        group[0].peak_memory() < 16 * 1024,
        "{} KB",
        group[0].peak_memory()
    );

    relay.forward(true);
    group.wait_in_sync(seconds(20));
}
