//! One handshake step by step.

use super::network::{Network, Side, Weather};
use crate::index::entry::IndexId;
use crate::session::DatagramKind;
use crate::session::{Dropped, INITIATION_LEN, OVERHEAD, RESPONSE_LEN, SealError, receiver_prefix};
use crate::time::{Duration, Instant};

#[test]
fn connects_in_one_round_trip_with_every_pair_of_processors() {
    for (initiator_aegis, responder_aegis) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let now = Instant::from_micros(5);
        let (mut a, mut b) = (Side::new(0, 1, None), Side::new(1, 1, None));
        (a.config.aegis, b.config.aegis) = (initiator_aegis, responder_aegis);
        assert_eq!(
            a.sessions.poll_timeout(),
            Instant::ZERO,
            "not connected: initiate at once"
        );
        let initiation = a.transmits(now).remove(0);
        b.transmits(now);
        assert_eq!(initiation.len(), INITIATION_LEN);
        assert_eq!(b.receive(now, &initiation), Ok(None));
        assert_eq!(
            b.sessions.poll_timeout(),
            Instant::ZERO,
            "an answer is owed"
        );
        let response = b.transmits(now).remove(0);
        assert_eq!(
            (response.len(), receiver_prefix(&response)),
            (RESPONSE_LEN, Some(0))
        );
        assert!(
            !b.sessions.is_connected(),
            "the initiator has proven nothing yet"
        );
        assert_eq!(b.sessions.incarnation(), 0);
        assert_eq!(a.receive(now, &response), Ok(None));
        assert!(a.sessions.is_connected());
        let confirmation = a.transmits(now).remove(0);
        assert_eq!(confirmation.len(), OVERHEAD);
        assert_eq!(b.receive(now, &confirmation), Ok(None));
        assert!(b.sessions.is_connected());
        assert_eq!(a.transmits(now).len() + b.transmits(now).len(), 0);
        for (from, to) in [(0, 1), (1, 0)] {
            let sides = [&mut a, &mut b];
            let datagram = sides[from].seal(now, b"a message").unwrap();
            assert!(!datagram.windows(9).any(|bytes| bytes == b"a message"));
            assert_eq!(
                sides[to].receive(now, &datagram),
                Ok(Some(b"a message".to_vec()))
            );
        }
        for (side, remote) in [(&a, IndexId(101)), (&b, IndexId(100))] {
            assert_eq!(side.sessions.remote_index_id(), Some(remote));
            assert_eq!(
                (side.sessions.incarnation(), side.sessions.established_at()),
                (1, Some(now))
            );
        }
        assert_eq!(b.sessions.last_seen_initiation(), Some((IndexId(100), 1)));
    }
}

#[test]
fn a_message_confirms_as_well_as_the_empty_one() {
    let now = Instant::from_micros(5);
    let (mut a, mut b) = (Side::new(0, 1, None), Side::new(1, 1, None));
    let initiation = a.transmits(now).remove(0);
    b.receive(now, &initiation).unwrap();
    let response = b.transmits(now).remove(0);
    a.receive(now, &response).unwrap();
    let message = a.seal(now, b"first").unwrap();
    assert_eq!(a.transmits(now).len(), 0, "no confirmation beside it");
    assert_eq!(b.receive(now, &message), Ok(Some(b"first".to_vec())));
    assert!(b.sessions.is_connected());
}

#[test]
fn another_group_gets_no_answer_and_changes_nothing() {
    let now = Instant::from_micros(5);
    let (mut stranger, mut b) = (Side::new(0, 1, None), Side::new(1, 1, None));
    stranger.config.key = [0x43; 32];
    b.transmits(now);
    let before = b.sessions.poll_timeout();
    let initiation = stranger.transmits(now).remove(0);
    assert_eq!(b.receive(now, &initiation), Err(Dropped::BadTag));
    assert_eq!(b.transmits(now).len(), 0);
    assert_eq!(
        (b.sessions.poll_timeout(), b.sessions.last_seen_initiation()),
        (before, None)
    );
    assert!(!b.sessions.is_connected());
}

#[test]
fn every_flipped_bit_is_noticed_and_harms_nothing() {
    let now = Instant::from_micros(5);
    let (mut a, mut b) = (Side::new(0, 1, None), Side::new(1, 1, None));
    b.transmits(now);

    let initiation = a.transmits(now).remove(0);
    assert_no_flip_is_taken(&mut b, now, &initiation);
    b.receive(now, &initiation).unwrap();

    let response = b.transmits(now).remove(0);
    assert_no_flip_is_taken(&mut a, now, &response);
    assert!(!a.sessions.is_connected());
    a.receive(now, &response).unwrap();

    let confirmation = a.transmits(now).remove(0);
    assert_no_flip_is_taken(&mut b, now, &confirmation);
    assert!(!b.sessions.is_connected());
    b.receive(now, &confirmation).unwrap();

    let message = b.seal(now, b"some text of a message").unwrap();
    assert_no_flip_is_taken(&mut a, now, &message);
    assert_eq!(
        a.receive(now, &message),
        Ok(Some(b"some text of a message".to_vec()))
    );
}

fn assert_no_flip_is_taken(side: &mut Side, now: Instant, datagram: &[u8]) {
    for bit in 0..datagram.len() * 8 {
        let mut flipped = datagram.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(side.receive(now, &flipped).is_err(), "bit {bit}");
        assert_eq!(side.transmits(now).len(), 0, "bit {bit}");
    }
    for len in 0..datagram.len() {
        assert!(side.receive(now, &datagram[..len]).is_err(), "length {len}");
    }
    let mut longer = datagram.to_vec();
    longer.push(0);
    assert!(side.receive(now, &longer).is_err());
}

#[test]
fn an_initiator_refuses_a_cipher_that_it_did_not_offer() {
    let now = Instant::from_micros(5);
    let (mut a, mut b) = (Side::new(0, 1, None), Side::new(1, 1, None));
    let initiation = a.transmits(now).remove(0);
    b.receive(now, &initiation).unwrap();
    let response = b.transmits(now).remove(0);
    a.config.aegis = false;
    assert_eq!(a.receive(now, &response), Err(Dropped::Cipher));
    assert!(!a.sessions.is_connected());
}

#[test]
fn a_burst_of_initiations_costs_one_answer() {
    let (mut a, mut b) = (Side::new(0, 1, None), Side::new(1, 1, None));
    let mut now = Instant::from_micros(5);
    b.transmits(now);
    for _ in 0..10 {
        now = now.max(a.sessions.poll_timeout());
        for datagram in a.transmits(now) {
            b.receive(Instant::from_micros(5), &datagram).unwrap();
        }
    }
    assert_eq!(b.transmits(Instant::from_micros(5)).len(), 1);
}

#[test]
fn an_address_that_sends_back_what_it_gets_is_found_out_and_given_up() {
    let now = Instant::from_micros(5);
    let mut a = Side::new(0, 1, None);
    let initiation = a.transmits(now).remove(0);
    assert_eq!(a.receive(now, &initiation), Err(Dropped::Ourselves));
    assert!(a.sessions.is_echo());
    assert_eq!(a.transmits(now + Duration::from_secs(299)).len(), 0);

    // The address passed to another machine, which initiates.
    let mut b = Side::new(1, 1, None);
    let initiation = b.transmits(now).remove(0);
    assert_eq!(a.receive(now, &initiation), Ok(None));
    let response = a.transmits(now).remove(0);
    b.receive(now, &response).unwrap();
    let confirmation = b.transmits(now).remove(0);
    a.receive(now, &confirmation).unwrap();
    assert!(a.sessions.is_connected() && !a.sessions.is_echo());
}

#[test]
fn what_a_stranger_throws_back_does_not_pass_for_ourselves() {
    // Kept from an earlier start, or sent to another peer.
    let now = Instant::from_micros(5);
    let old = Side::new(0, 1, None).transmits(now).remove(0);
    let mut a = Side::new(0, 500, None);
    a.config.boot_id = 0x5000_0000;
    a.entropy = crate::session::Entropy::new(&[77; 32]);
    a.transmits(now);
    assert_eq!(a.receive(now, &old), Err(Dropped::SameIndex));
    assert_eq!(a.transmits(now).len(), 0);
    assert!(!a.sessions.is_echo());

    // Thrown back while connected: the renewal of the keys goes on.
    let mut network = Network::connected();
    network.weather = Weather {
        loss: [100, 100],
        ..Weather::FINE
    };
    let due = network.now + Duration::from_secs(140);
    let mut renewals = network.sides[0].transmits(due);
    let initiation = renewals.remove(0);
    assert_eq!(
        network.sides[0].receive(due, &initiation),
        Err(Dropped::Ourselves)
    );
    assert!(!network.sides[0].sessions.is_echo() && network.sides[0].sessions.is_connected());
}

/// Two programs with one index; the counters of their next INITIATIONs.
fn copies(counters: [u64; 2]) -> (Side, Side) {
    let (mut a, mut copy) = (
        Side::new(0, counters[0], None),
        Side::new(1, counters[1], None),
    );
    copy.config.index_id = a.config.index_id;
    copy.config.boot_id = 0x9000_0007;
    a.config.boot_id = 7;
    (a, copy)
}

#[test]
fn a_copy_of_our_index_is_found_out_by_the_one_that_started_later() {
    let now = Instant::from_micros(5);
    let (mut a, mut copy) = copies([500, 1]);
    let of_copy = copy.transmits(now).remove(0);
    let initiation = a.transmits(now).remove(0);
    assert_eq!(a.receive(now, &of_copy), Err(Dropped::SameIndex));
    assert_eq!(copy.receive(now, &initiation), Ok(None));
    let response = copy.transmits(now).remove(0);
    assert_eq!(a.receive(now, &response), Err(Dropped::SameIndex));
    assert!(a.sessions.met_copy() && !a.sessions.is_echo() && !a.sessions.is_connected());
    assert!(!copy.sessions.met_copy() && !copy.sessions.is_connected());
    // The same INITIATION again has no answer.
    assert_eq!(copy.receive(now, &initiation), Err(Dropped::OldInitiation));
}

#[test]
fn our_own_answer_led_back_to_us_is_no_copy() {
    // A stranger who sits between us and two of our peers sends what we sent to one from the address of the other.
    let now = Instant::from_micros(5);
    let (mut first, mut second) = (Side::new(0, 1, None), Side::new(0, 900, None));
    let initiation = first.transmits(now).remove(0);
    assert_eq!(second.receive(now, &initiation), Err(Dropped::Ourselves));
    assert!(
        second
            .transmits(now)
            .iter()
            .all(|sent| DatagramKind::of(sent) == Some(DatagramKind::Initiation))
    );
    assert!(!second.sessions.is_echo() && !second.sessions.met_copy());
}

#[test]
fn nothing_is_sealed_without_a_session_or_room() {
    let now = Instant::from_micros(5);
    let mut a = Side::new(0, 1, None);
    assert_eq!(
        a.sessions.seal(now, &mut [0; 64], 8),
        Err(SealError::NotConnected)
    );
    let mut network = Network::connected();
    let (now, sessions) = (network.now, &mut network.sides[0].sessions);
    assert_eq!(sessions.seal(now, &mut [0; 39], 8), Err(SealError::NoRoom));
    assert_eq!(
        sessions.seal(now, &mut [0; 39], usize::MAX),
        Err(SealError::NoRoom)
    );
    assert_eq!(sessions.seal(now, &mut [0; 40], 8), Ok(40));
    assert!(
        sessions
            .poll_transmit(
                now,
                &network.sides[1].config,
                &mut network.sides[1].entropy,
                &mut [0; 95]
            )
            .is_none()
    );
}
