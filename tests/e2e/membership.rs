//! Who is there: one after the other, one away, one between two others, and one who has no business here.

use crate::harness::folder::random_bytes;
use crate::harness::group::{loopback_net, on_net};
use crate::harness::program::make_key;
use crate::harness::{Group, Scratch, seconds, skip};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

#[test]
fn two_peers_that_do_not_name_each_other_meet_through_a_third() {
    let mut group = Group::on_loopback("relay", 3);
    let middle = group[1].listen.to_string();
    group[0].others = vec![middle.clone()];
    group[2].others = vec![middle];
    group.start();
    group[0].write("from peer 1", &random_bytes(1, 2_000_000));
    group.wait_equal_to(0, seconds(20));
    group[2].write("from peer 1", b"changed on peer 3");
    group[2].write("from peer 3", b"new on peer 3");
    group.wait_equal_to(2, seconds(20));
    fs::remove_file(group[0].path("from peer 3")).unwrap();
    group.wait_until("the deletion reaches peer 3", seconds(20), |group| {
        group[2].read("from peer 3").is_none()
    });
    assert_eq!(
        group[0].status_now().peers.len(),
        1,
        "peer 1 knows the middle alone"
    );
}

#[test]
fn one_that_was_away_catches_up_and_brings_nothing_back() {
    let mut group = Group::on_loopback("away", 3);
    group.start();
    for number in 0..20 {
        group[0].write(
            &format!("folder/{number}"),
            format!("file {number}").as_bytes(),
        );
    }
    group[0].write("stays", b"as it is");
    group.wait_equal_to(0, seconds(20));
    group[2].terminate(seconds(10));

    fs::remove_dir_all(group[0].path("folder")).unwrap();
    fs::rename(group[0].path("stays"), group[0].path("renamed")).unwrap();
    group[0].write("new", b"made while peer 3 was away");
    group.wait_until("peer 2 has it", seconds(10), |group| {
        group[1].has("new", b"made while peer 3 was away") && !group[1].path("folder").exists()
    });
    // Peer 1 goes too: peer 3 learns all of it from peer 2.
    group[0].terminate(seconds(10));
    group[2].start();
    group.wait_until("peer 3 has caught up", seconds(20), |group| {
        group[2].has("new", b"made while peer 3 was away")
            && group[2].has("renamed", b"as it is")
            && !group[2].path("folder").exists()
            && !group[2].path("stays").exists()
    });
    group[0].start();
    group.wait_until("peer 1 answers", seconds(10), |group| {
        group[0].status().is_ok()
    });
    group.wait_in_sync(seconds(20));
    let end = group.wait_equal_to(0, seconds(10));
    assert_eq!(end.paths().len(), 2, "nothing came back: {:?}", end.paths());
}

#[test]
fn peers_may_start_in_any_order() {
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut group = Group::on_loopback("order", 3);
        for (place, peer) in group.peers.iter().enumerate() {
            peer.write(
                &format!("of peer {place}"),
                &random_bytes(place as u64, 100_000),
            );
            peer.write("the same everywhere", b"no conflict");
        }
        for place in order {
            group[place].start_and_wait(seconds(10));
        }
        group.wait_until(
            &format!("all have all, started as {order:?}"),
            seconds(20),
            |group| {
                group
                    .peers
                    .iter()
                    .all(|peer| fs::read_dir(peer.share()).unwrap().count() == 4)
            },
        );
        group.wait_in_sync(seconds(10));
    }
}

#[test]
fn ipv6_with_a_port_for_each_peer() {
    let sockets: Vec<UdpSocket> = (0..3)
        .filter_map(|_| UdpSocket::bind("[::1]:0").ok())
        .collect();
    let addresses: Vec<SocketAddr> = sockets
        .iter()
        .filter_map(|socket| socket.local_addr().ok())
        .collect();
    if addresses.len() < 3 {
        skip("ipv6", "no address ::1 on this machine");
        return;
    }
    drop(sockets);
    let mut group = Group::at(Scratch::new("ipv6"), &addresses);
    group.start();
    group[1].write("over IPv6", &random_bytes(6, 3_000_000));
    group.wait_equal_to(1, seconds(20));
    assert!(
        group[0].status_now().peers[0].address.starts_with("[::1]:"),
        "{}",
        group.report()
    );
}

#[test]
fn a_stranger_gets_no_answer() {
    let mut group = Group::on_loopback("stranger", 2);
    group.start();
    let target = group[0].listen;
    let SocketAddr::V4(v4) = target else {
        panic!("loopback groups are IPv4")
    };
    let octets = v4.ip().octets();
    let stranger =
        UdpSocket::bind(on_net([octets[0], octets[1], octets[2]], 250)).expect("an address nearby");
    for (seed, len) in [
        0, 1, 2, 15, 16, 17, 32, 48, 64, 96, 148, 512, 1199, 1200, 1201, 1452, 9000, 60_000,
    ]
    .into_iter()
    .enumerate()
    {
        // Every first byte, the ancestor's 0 too; then sealed-looking noise.
        let mut datagram = random_bytes(seed as u64, len);
        for first in 0..=16 {
            if let Some(byte) = datagram.first_mut() {
                *byte = first;
            }
            stranger.send_to(&datagram, target).expect("send");
        }
    }
    // The peer has worked through all of them once it has dealt with what came later.
    group[1].write("later", b"later");
    group.wait_equal_to(1, seconds(10));
    stranger
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut buffer = [0; 2048];
    let answer = stranger.recv_from(&mut buffer);
    assert!(answer.is_err(), "the stranger got {answer:?}");
    assert!(group[0].is_running());
}

#[test]
fn a_peer_with_another_key_gets_nothing() {
    let scratch = Scratch::new("wrong-key");
    let wrong = make_key(scratch.path(), "wrong.key");
    let net = loopback_net();
    let mut group = Group::at(scratch, &[on_net(net, 1), on_net(net, 2), on_net(net, 3)]);
    group[2].key = wrong;
    for peer in &mut group.peers {
        peer.start_and_wait(seconds(10));
    }
    group[0].write("secret", b"for those with the key");
    group.wait_until("the file reaches peer 2", seconds(10), |group| {
        group[1].has("secret", b"for those with the key")
    });
    let output = group[2].ask(&["--wait", "3"]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "a peer with a wrong key is not in sync"
    );
    assert!(
        group[2].read("secret").is_none(),
        "the file came to the wrong key"
    );
    for (place, peer) in [(0, 1), (1, 1), (2, 0), (2, 1)] {
        assert!(
            !group[place].status_now().peers[peer].connected,
            "{}",
            group.report()
        );
    }
}
