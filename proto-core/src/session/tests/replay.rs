//! What was sent before, sent again.

use super::network::{Network, Side, Weather};
use super::std::vec::Vec;
use crate::session::{DatagramKind, Dropped, Entropy, REPLAY_WINDOW};
use crate::time::Duration;

/// A conversation with a change of keys, and all its datagrams.
fn recorded() -> Network {
    let mut network = Network::connected();
    network.run(Duration::from_secs(150));
    // Nothing is under way any more, so everything captured was delivered.
    network.heartbeat = Duration::from_secs(1000);
    network.run(Duration::from_secs(1));
    assert!(
        network
            .captured
            .iter()
            .filter(|datagram| datagram.1[0] == 1)
            .count()
            >= 3
    );
    network
}

#[test]
fn a_whole_capture_in_any_order_changes_nothing_and_has_no_answer() {
    for seed in 0..5 {
        let mut network = recorded();
        let now = network.now;
        let mut capture = network.captured.clone();
        for at in (1..capture.len()).rev() {
            let other = network.random(at as u64 + 1 + seed) as usize % (at + 1);
            capture.swap(at, other);
        }
        let state = |network: &Network| {
            network.sides.each_ref().map(|side| {
                let sessions = &side.sessions;
                (
                    sessions.poll_timeout(),
                    sessions.incarnation(),
                    sessions.last_heard(),
                    sessions.last_seen_initiation(),
                    sessions.initiation_counter(),
                )
            })
        };
        let before = state(&network);
        for (to, datagram) in &capture {
            for to in [*to, 1 - *to] {
                assert!(network.sides[to].receive(now, datagram).is_err());
                assert_eq!(network.sides[to].transmits(now).len(), 0);
            }
        }
        assert_eq!(state(&network), before);
        network.assert_both_talk();
    }
}

#[test]
fn after_a_restart_the_old_initiations_are_still_known() {
    let network = recorded();
    let seen = network.sides[1].sessions.last_seen_initiation();
    assert!(seen.is_some());
    let mut restarted = Side::new(1, 1 << 40, seen);
    restarted.config.boot_id = 8;
    restarted.entropy = Entropy::new(&[99; 32]);
    restarted.transmits(network.now);
    for (_, datagram) in &network.captured {
        assert!(restarted.receive(network.now, datagram).is_err());
        assert_eq!(restarted.transmits(network.now).len(), 0);
    }
}

#[test]
fn without_that_memory_a_replay_is_answered_but_connects_nobody() {
    let network = recorded();
    let mut restarted = Side::new(1, 1 << 40, None);
    restarted.config.boot_id = 8;
    restarted.entropy = Entropy::new(&[99; 32]);
    restarted.transmits(network.now);
    let mut answers = 0;
    for _ in 0..3 {
        for (_, datagram) in &network.captured {
            let _ = restarted.receive(network.now, datagram);
            answers += restarted.transmits(network.now).len();
        }
    }
    let initiations = network
        .captured
        .iter()
        .filter(|datagram| datagram.1[0] == 1)
        .count();
    assert!(answers <= initiations, "each at most once");
    assert!(!restarted.sessions.is_connected());
}

#[test]
fn an_initiation_for_another_peer_does_not_disturb_a_connection() {
    // Side 0 begins with a third peer; a stranger sends that INITIATION to side 1.
    let mut network = Network::connected();
    let now = network.now;
    let mut elsewhere = Side::new(0, 1 << 50, None);
    let stolen = elsewhere.transmits(now).remove(0);
    assert_eq!(
        network.sides[1].receive(now, &stolen),
        Err(Dropped::NotForUs)
    );
    assert_eq!(network.sides[1].transmits(now).len(), 0);
}

#[test]
fn an_initiation_that_crossed_ours_and_came_late_is_never_answered() {
    // Side 0 had sent it when the INITIATION of side 1 came, and what that began is there before it.
    let mut network = Network::new(1, Weather::FINE);
    let now = network.now;
    let [late, from_1] = [0, 1].map(|place| network.sides[place].transmits(now).remove(0));
    assert_eq!(network.sides[0].receive(now, &from_1), Ok(None));
    for datagram in network.sides[0].transmits(now) {
        assert_eq!(network.sides[1].receive(now, &datagram), Ok(None));
    }
    assert!(network.sides[1].sessions.is_connected());
    assert_eq!(network.sides[1].receive(now, &late), Err(Dropped::NotForUs));
    network.now = now + Duration::from_secs(100);
    let now = network.now;
    network.sides[1].sessions.handle_timeout(now);
    assert!(!network.sides[1].sessions.is_connected());
    assert_eq!(
        network.sides[1].receive(now, &late),
        Err(Dropped::OldInitiation)
    );
}

#[test]
fn what_a_stranger_kept_of_initiations_for_a_third_one_does_not_end_a_connection() {
    let mut network = Network::connected();
    // What both sent to a third machine, which was not there: more of it than they need for each other.
    let kept = [0, 1].map(|place| {
        let mut elsewhere = Side::new(place, 5000, None);
        let mut now = network.now;
        let mut kept = Vec::new();
        while kept.len() < 2_000 {
            kept.append(&mut elsewhere.transmits(now));
            now += Duration::from_secs(3);
        }
        kept.into_iter()
    });
    let [mut from_0, mut from_1] = kept;
    for tenth in 0..2_000 {
        network.run(Duration::from_millis(100));
        let now = network.now;
        let (thrown_at_1, thrown_at_0) = (from_0.next().unwrap(), from_1.next().unwrap());
        let _ = network.sides[1].receive(now, &thrown_at_1);
        let _ = network.sides[0].receive(now, &thrown_at_0);
        assert!(network.both_connected(), "after {tenth} tenths");
    }
}

#[test]
fn a_doubled_datagram_is_delivered_once() {
    let mut network = Network::connected();
    let now = network.now;
    let datagram = network.sides[0].seal(now, b"once").unwrap();
    assert_eq!(
        network.sides[1].receive(now, &datagram),
        Ok(Some(b"once".to_vec()))
    );
    assert_eq!(
        network.sides[1].receive(now, &datagram),
        Err(Dropped::Replayed)
    );
    assert_eq!(
        network.sides[0].receive(now, &datagram),
        Err(Dropped::UnknownSession),
        "thrown back"
    );
}

#[test]
fn reordering_within_the_window_loses_nothing_and_beyond_it_is_dropped() {
    let mut network = Network::connected();
    let now = network.now;
    let count = REPLAY_WINDOW + 100;
    let datagrams: Vec<_> = (0..count)
        .map(|_| network.sides[0].seal(now, b"x").unwrap())
        .collect();
    for (at, datagram) in datagrams.iter().enumerate().rev() {
        let wanted = if at >= 100 {
            Ok(Some(b"x".to_vec()))
        } else {
            Err(Dropped::Replayed)
        };
        assert_eq!(network.sides[1].receive(now, datagram), wanted, "{at}");
    }
}

#[test]
fn a_doubling_network_is_not_noticed() {
    let mut network = Network::new(
        3,
        Weather {
            doubled: 100,
            ..Weather::FINE
        },
    );
    network.run(Duration::from_secs(300));
    for number in 0..2 {
        let sent = network.sent[1 - number];
        let under_way = sent - network.messages[number].len() as u64;
        assert!(under_way <= 1, "{sent}");
    }
    assert_eq!(network.incarnations(), [1, 1]);
    assert!(
        network
            .dropped
            .iter()
            .any(|dropped| dropped.1 == DatagramKind::Sealed)
    );
    assert_eq!(network.unopened(), 0);
}
