//! Both sides begin at once, in every order and in every weather.

use super::network::{Network, Side, Weather};
use super::std::vec::Vec;
use crate::index::entry::IndexId;
use crate::time::Duration;

/// Both initiate; then the datagrams are delivered or lost in the order that `choices` says, at one
/// moment. Gives the number of options at each choice.
fn play(choices: &[usize]) -> (Network, Vec<usize>) {
    let mut network = Network::new(1, Weather::FINE);
    let now = network.now;
    let mut flying: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut options = Vec::new();
    for number in 0..2 {
        flying.extend(
            network.sides[number]
                .transmits(now)
                .into_iter()
                .map(|datagram| (1 - number, datagram)),
        );
    }
    while !flying.is_empty() {
        let choice = choices.get(options.len()).copied().unwrap_or(0);
        options.push(flying.len() * 2);
        let (to, datagram) = flying.remove(choice / 2);
        if choice % 2 == 1 {
            continue;
        }
        let _ = network.sides[to].receive(now, &datagram);
        flying.extend(
            network.sides[to]
                .transmits(now)
                .into_iter()
                .map(|datagram| (1 - to, datagram)),
        );
    }
    (network, options)
}

#[test]
fn every_order_and_every_loss_of_a_simultaneous_handshake_ends_connected() {
    let mut choices: Vec<usize> = Vec::new();
    let mut plays = 0;
    loop {
        let (mut network, options) = play(&choices);
        network.run(Duration::from_secs(8));
        network.assert_both_talk();
        let incarnations = network.incarnations();
        network.run(Duration::from_secs(300));
        network.assert_both_talk();
        assert_eq!(network.incarnations(), incarnations, "{choices:?}");
        plays += 1;
        // The next choices, as a number whose digits have these bases.
        choices.resize(options.len(), 0);
        loop {
            let Some(last) = choices.pop() else {
                assert!(plays > 100, "{plays}");
                return;
            };
            if last + 1 < options[choices.len()] {
                choices.push(last + 1);
                break;
            }
        }
    }
}

#[test]
fn bad_weather_ends_connected_once_it_is_over() {
    for seed in 0..400 {
        let mut network = Network::new(seed, Weather::FINE);
        let (loss, most) = (network.random(60), network.random(1500));
        let doubled = network.random(40);
        network.weather = Weather {
            loss: [loss, loss / 2],
            doubled,
            delay: (0, most),
        };
        network.run(Duration::from_secs(20));
        network.weather = Weather::FINE;
        network.run(Duration::from_secs(12));
        let incarnations = network.incarnations();
        network.run(Duration::from_secs(10));
        network.assert_both_talk();
        assert_eq!(network.incarnations(), incarnations, "seed {seed}");
    }
}

#[test]
fn a_round_trip_of_three_seconds_still_connects() {
    for seed in 0..20 {
        let mut network = Network::new(
            seed,
            Weather {
                delay: (1400, 1500),
                ..Weather::FINE
            },
        );
        network.run(Duration::from_secs(12));
        network.assert_both_talk();
    }
}

#[test]
fn a_restarted_peer_is_back_within_one_round_trip() {
    for restarted in 0..2 {
        let mut network = Network::connected();
        network.run(Duration::from_secs(30));
        let before = network.incarnations();
        let counter = network.sides[restarted].sessions.initiation_counter() + 1;
        let seen = network.sides[restarted].sessions.last_seen_initiation();
        let number = u8::try_from(restarted).unwrap();
        network.sides[restarted] = Side::new(number, counter, seen);
        network.sides[restarted].config.boot_id = 99;
        network.sides[restarted].entropy = crate::session::Entropy::new(&[99; 32]);
        network.run(Duration::from_millis(100));
        assert!(network.sides[restarted].sessions.is_connected());
        network.run(Duration::from_millis(50));
        network.assert_both_talk();
        let other = 1 - restarted;
        assert_eq!(network.incarnations()[other], before[other] + 1);
        assert_eq!(network.incarnations()[restarted], 1);
        network.run(Duration::from_secs(300));
        network.assert_both_talk();
        assert_eq!(network.incarnations()[other], before[other] + 1);
    }
}

#[test]
fn a_lost_index_is_a_new_peer() {
    let mut network = Network::connected();
    let mut renewed = Side::new(0, 1, None);
    renewed.config.index_id = IndexId(7777);
    network.sides[0] = renewed;
    network.run(Duration::from_secs(2));
    network.assert_both_talk();
    assert_eq!(
        network.sides[1].sessions.last_seen_initiation().unwrap().0,
        IndexId(7777)
    );
}

#[test]
fn two_whose_clocks_both_went_back_meet_at_once() {
    let mut network = Network::new(1, Weather::FINE);
    let year = 365 * 24 * 3600 * 1_000_000;
    network.sides[0] = Side::new(0, 1000, Some((IndexId(101), year)));
    network.sides[1] = Side::new(1, 1000, Some((IndexId(100), 2 * year)));
    network.run(Duration::from_millis(700));
    network.assert_both_talk();
    assert!(
        network
            .sides
            .iter()
            .any(|side| side.sessions.initiation_counter() > year)
    );
}
