//! Keys change under way and nobody notices.

use super::network::{Network, Weather};
use super::std::collections::BTreeSet;
use crate::session::{DatagramKind, INITIATION_LEN};
use crate::time::Duration;

/// Names of the sessions under which datagrams came to a side.
fn sessions_used(network: &Network, to: usize) -> usize {
    let sealed = network
        .captured
        .iter()
        .filter(|datagram| datagram.0 == to && datagram.1[0] == 3);
    sealed
        .map(|datagram| datagram.1[4..8].to_vec())
        .collect::<BTreeSet<_>>()
        .len()
}

#[test]
fn steady_traffic_has_no_gap() {
    for seed in 0..3 {
        let mut network = Network::new(
            seed,
            Weather {
                delay: (10, 40),
                ..Weather::FINE
            },
        );
        network.heartbeat = Duration::from_millis(20);
        network.run(Duration::from_secs(400));
        for number in 0..2 {
            assert!(sessions_used(&network, number) >= 3);
            let missing = network.sent[1 - number] - network.messages[number].len() as u64;
            assert!(missing <= 3, "only what is still under way: {missing}");
        }
        assert_eq!(network.incarnations(), [1, 1]);
        assert_eq!(network.unopened(), 0);
    }
}

#[test]
fn what_a_bad_network_delivers_can_be_opened() {
    for seed in 0..20 {
        let weather = Weather {
            loss: [10, 10],
            doubled: 5,
            delay: (0, 300),
        };
        let mut network = Network::new(seed, weather);
        network.heartbeat = Duration::from_millis(200);
        network.run(Duration::from_secs(5));
        assert!(network.both_connected());
        network.dropped.clear();
        network.run(Duration::from_secs(1500));
        assert_eq!(network.unopened(), 0, "seed {seed}");
        assert!(sessions_used(&network, 0) >= 10);
        network.assert_both_talk();
    }
}

#[test]
fn two_that_begin_at_the_same_moment_again_and_again_lose_nothing() {
    for seed in 0..20 {
        let mut network = Network::new(
            seed,
            Weather {
                loss: [5, 5],
                doubled: 5,
                delay: (0, 200),
            },
        );
        network.heartbeat = Duration::from_millis(50);
        network.run(Duration::from_secs(3));
        let incarnations = network.incarnations();
        network.dropped.clear();
        for _ in 0..20 {
            for number in 0..2 {
                let now = network.now;
                network.sides[number].sessions.rekey_at(now);
            }
            let pause = 500 + network.random(8000);
            network.run(Duration::from_millis(pause));
        }
        network.run(Duration::from_secs(5));
        assert_eq!(network.unopened(), 0, "seed {seed}");
        assert_eq!(network.incarnations(), incarnations);
        network.assert_both_talk();
    }
}

#[test]
fn the_responder_renews_the_keys_if_the_initiator_does_not() {
    let mut network = Network::connected();
    // INITIATIONs of side 0 never come: it is deaf to the answers of side 1.
    let started = network.now;
    let mut renewed = false;
    while network.now < started + Duration::from_secs(600) {
        network.run(Duration::from_secs(1));
        network.sides[0]
            .sessions
            .rekey_at(network.now + Duration::from_secs(3600));
        renewed |= sessions_used(&network, 0) > 2;
    }
    assert!(renewed);
    assert_eq!(network.unopened(), 0);
    assert_eq!(network.incarnations(), [1, 1]);
}

#[test]
fn many_datagrams_are_a_reason_too() {
    let mut network = Network::connected();
    let now = network.now;
    network.sides[1].sessions.skip_to((1 << 32) - 1);
    assert_eq!(network.sides[1].transmits(now).len(), 0);
    network.say(1);
    let sent = network.sides[1].transmits(now);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (DatagramKind::of(&sent[0]), sent[0].len()),
        (Some(DatagramKind::Initiation), INITIATION_LEN)
    );
}

#[test]
fn a_session_that_nobody_renews_ends() {
    let mut network = Network::connected();
    let nearly = network.now + Duration::from_secs(178);
    let old = network.sides[1].seal(network.now, b"old").unwrap();
    let far = nearly + Duration::from_secs(3600);
    while network.now < nearly {
        network.run(Duration::from_millis(500));
        for side in &mut network.sides {
            side.sessions.rekey_at(far);
        }
    }
    network.run(Duration::from_secs(4));
    assert!(network.sides[0].receive(network.now, &old).is_err());
    assert!(
        network.incarnations()[0] > 1,
        "connected anew under new keys"
    );
}
