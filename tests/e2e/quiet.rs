//! When all is in sync, nothing goes on but heartbeats.

use crate::harness::folder::random_bytes;
use crate::harness::{Group, seconds};
use std::thread::sleep;
use std::time::Duration;

#[test]
fn what_landed_is_not_taken_for_a_change() {
    let mut group = Group::on_loopback("quiet", 3);
    for peer in &mut group.peers {
        // Scans too must find nothing new.
        peer.options = vec!["--scan-interval".to_owned(), "1".to_owned()];
    }
    group.start();
    for number in 0..300 {
        group[number % 3].write(
            &format!("folder {}/{number}", number % 7),
            &random_bytes(number as u64, 4_000),
        );
    }
    group[0].write("5 MB", &random_bytes(999, 5_000_000));
    group.wait_until("all have all", seconds(30), |group| {
        group.peers.iter().all(|peer| {
            peer.status()
                .is_ok_and(|status| status.files == 301 && status.pending == 0)
        })
    });
    group.wait_equal_to(0, seconds(20));
    group.wait_in_sync(seconds(10));

    let before: Vec<_> = group
        .peers
        .iter()
        .map(super::harness::Peer::status_now)
        .collect();
    // A stretch of time is what this is about: several heartbeats and several scans.
    let stretch = Duration::from_secs(6);
    sleep(stretch);
    for (peer, before) in group.peers.iter().zip(&before) {
        let after = peer.status_now();
        assert_eq!(
            after.sequence, before.sequence,
            "{} counted a change",
            peer.name
        );
        let sent = after.sent() - before.sent();
        // To each of two peers at most two full datagrams a second, where the folder has 6 MB.
        let bound = stretch.as_secs() * 2 * 2 * 1500;
        assert!(
            sent <= bound,
            "{} sent {sent} bytes in {stretch:?}\n{}",
            peer.name,
            peer.report()
        );
    }
}
