//! Bytes of a stranger who knows everything but the key.

use super::network::Network;
use super::std::vec::Vec;

#[test]
fn a_hundred_thousand_random_datagrams_change_nothing() {
    let mut network = Network::connected();
    let now = network.now;
    let names: Vec<Vec<u8>> = network
        .captured
        .iter()
        .filter(|datagram| datagram.1[0] != 1)
        .map(|datagram| datagram.1[..12].to_vec())
        .collect();
    let before = network.sides[0].sessions.poll_timeout();
    for _ in 0..100_000 {
        let len = match network.random(4) {
            0 => 96,
            1 => 80,
            _ => network.random(200) as usize,
        };
        let mut datagram: Vec<u8> = (0..len).map(|_| network.random(256) as u8).collect();
        if network.random(2) == 0 {
            // The beginning of a true one.
            let name = &names[network.random(names.len() as u64) as usize];
            let true_len = name.len().min(len);
            datagram[..true_len].copy_from_slice(&name[..true_len]);
        } else if let [kind, version, zero, zeros, ..] = datagram.as_mut_slice() {
            (*kind, *version, *zero, *zeros) = (1 + (*kind % 3), u8::from(*kind % 3 != 2), 0, 0);
        }
        assert!(network.sides[0].receive(now, &datagram).is_err());
    }
    assert_eq!(network.sides[0].transmits(now).len(), 0);
    assert_eq!(network.sides[0].sessions.poll_timeout(), before);
    network.assert_both_talk();
}
