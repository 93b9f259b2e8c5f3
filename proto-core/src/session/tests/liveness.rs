//! Silence, departure and return.

use super::network::{Network, Side, Weather};
use crate::session::{DEAD_AFTER, DatagramKind};
use crate::time::Duration;

const CUT: Weather = Weather {
    loss: [100, 100],
    doubled: 0,
    delay: (50, 50),
};

#[test]
fn silence_of_four_seconds_is_death_and_return_is_a_new_connection() {
    let mut network = Network::connected();
    network.weather = CUT;
    network.run(Duration::from_millis(200));
    let heard = network
        .sides
        .each_ref()
        .map(|side| side.sessions.last_heard().unwrap());
    let first = heard[0].min(heard[1]);
    network.run(first + DEAD_AFTER - network.now - Duration::from_micros(1));
    assert!(network.both_connected());
    network.run(Duration::from_secs(2));
    for side in &mut network.sides {
        assert!(!side.sessions.is_connected());
        assert_eq!(
            (side.sessions.established_at(), side.sessions.last_heard()),
            (None, None)
        );
        assert!(side.seal(network.now, b"x").is_none());
    }
    network.run(Duration::from_secs(3600));
    network.weather = Weather::FINE;
    network.run(Duration::from_secs(3));
    network.assert_both_talk();
    assert_eq!(network.incarnations(), [2, 2]);
}

#[test]
fn a_path_that_is_cut_in_one_direction_is_cut_for_both() {
    for deaf in 0..2 {
        let mut network = Network::connected();
        network.weather.loss[deaf] = 100;
        network.run(Duration::from_secs(15));
        assert!(
            !network.sides[0].sessions.is_connected() && !network.sides[1].sessions.is_connected()
        );
        network.weather = Weather::FINE;
        network.run(Duration::from_secs(4));
        network.assert_both_talk();
    }
}

#[test]
fn one_side_that_gave_up_alone_is_a_new_connection_for_both() {
    let mut network = Network::connected();
    network.weather.loss[0] = 100;
    network.run(Duration::from_millis(4200));
    assert!(!network.sides[0].sessions.is_connected() && network.sides[1].sessions.is_connected());
    network.weather = Weather::FINE;
    network.run(Duration::from_secs(3));
    network.assert_both_talk();
    assert_eq!(network.incarnations(), [2, 2]);
}

#[test]
fn a_stall_of_our_own_is_not_the_death_of_the_peer() {
    let mut network = Network::connected();
    let later = network.now + Duration::from_secs(60);
    let waiting = network.sides[1]
        .seal(network.now, b"waits in the socket")
        .unwrap();
    network.sides[0].receive(later, &waiting).unwrap();
    network.sides[0].sessions.handle_timeout(later);
    assert!(network.sides[0].sessions.is_connected());
    assert_eq!(network.sides[0].sessions.incarnation(), 1);
}

#[test]
fn a_peer_that_leaves_is_tried_again_after_a_second() {
    let mut network = Network::connected();
    let now = network.now;
    network.sides[0].sessions.close(now);
    assert!(!network.sides[0].sessions.is_connected());
    assert_eq!(
        network.sides[0]
            .transmits(now + Duration::from_millis(999))
            .len(),
        0
    );
    assert_eq!(
        network.sides[0].sessions.poll_timeout(),
        now + Duration::from_secs(1)
    );
    let sent = network.sides[0].transmits(now + Duration::from_secs(1));
    assert_eq!(DatagramKind::of(&sent[0]), Some(DatagramKind::Initiation));
}

#[test]
fn an_initiation_alone_is_no_sign_of_life() {
    let mut network = Network::connected();
    let heard = network.sides[1].sessions.last_heard();
    let seen = network.sides[0].sessions.last_seen_initiation();
    let mut restarted = Side::new(0, 1 << 40, seen);
    restarted.config.boot_id = 50;
    let initiation = restarted.transmits(network.now).remove(0);
    let later = network.now + Duration::from_secs(1);
    assert_eq!(network.sides[1].receive(later, &initiation), Ok(None));
    assert_eq!(network.sides[1].sessions.last_heard(), heard);
    assert_eq!(network.sides[1].sessions.incarnation(), 1);
}
