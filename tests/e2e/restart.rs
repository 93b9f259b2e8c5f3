//! Peers that are killed in the middle of a transfer: it goes on where it was.

use crate::harness::folder::write_random;
use crate::harness::{Group, Scratch, seconds, skip, wait_until};
use std::fs;

const SIZE: u64 = 200_000_000;

/// A slow enough network that a kill falls into the middle: namespaces at 400 Mbit/s.
fn slow_group(case: &str) -> Option<Group> {
    let group = Group::in_namespaces(case, 2).and_then(|group| {
        let Some(network) = &group.network else {
            return Err("no network".to_owned());
        };
        network.limit(400)?;
        Ok(group)
    });
    group.inspect_err(|why| skip(case, why)).ok()
}

/// Starts the transfer from peer 1 and waits until peer 2 has about `share` of it.
fn begin(group: &mut Group, share: f64) {
    group.start();
    let source = group.scratch.path().join("200 MB");
    write_random(&source, 7, SIZE);
    fs::rename(source, group[0].path("200 MB")).unwrap();
    wait_for_share(group, share);
}

fn received(group: &Group) -> u64 {
    group
        .network
        .as_ref()
        .expect("played in namespaces")
        .received(1)
}

fn wait_for_share(group: &Group, share: f64) {
    let enough = (SIZE as f64 * share) as u64;
    let what = format!("{enough} bytes have reached peer 2");
    group.wait_until(&what, seconds(60), |group| received(group) >= enough);
    assert!(
        group[1].read("200 MB").is_none(),
        "the transfer was over too soon to be broken"
    );
}

/// The file arrives, and what came over the wire for it in all stays near its size.
fn finish(group: &Group) {
    group.wait_equal_to(0, seconds(90));
    let received = received(group);
    let bound = SIZE + SIZE * 15 / 100;
    assert!(
        received <= bound,
        "{received} bytes came in for a file of {SIZE}\n{}",
        group.report()
    );
}

#[test]
fn the_receiver_is_killed_and_goes_on() {
    let Some(mut group) = slow_group("restart-receiver") else {
        return;
    };
    begin(&mut group, 0.3);
    group[1].kill();
    group[1].start();
    wait_for_share(&group, 0.6);
    group[1].kill();
    group[1].start();
    finish(&group);
}

#[test]
fn the_sender_is_killed_and_goes_on() {
    let Some(mut group) = slow_group("restart-sender") else {
        return;
    };
    begin(&mut group, 0.4);
    group[0].kill();
    group[0].start();
    finish(&group);
}

#[test]
fn a_peer_killed_at_any_moment_on_loopback_still_ends_equal() {
    // No share of the transfer is waited for: whatever the moment, the end is the same.
    let mut group = Group::in_scratch(Scratch::new("kill-often"), 2);
    group.start();
    write_random(&group[0].path("60 MB"), 8, 60_000_000);
    for small in 0..200 {
        group[0].write(
            &format!("small/{small}"),
            format!("file {small}").as_bytes(),
        );
    }
    for round in 0..6 {
        let place = round % 2;
        group[place].kill();
        group[place].start();
        let what = format!("peer {} answers after kill {round}", place + 1);
        wait_until(
            &what,
            seconds(10),
            || group[place].status().is_ok(),
            || group.report(),
        );
    }
    group.wait_equal_to(0, seconds(60));
    group.wait_in_sync(seconds(20));
    assert!(
        group
            .peers
            .iter()
            .all(|peer| peer.status_now().conflicts == 0),
        "{}",
        group.report()
    );
}

#[test]
fn a_lost_index_costs_a_scan_and_nothing_else() {
    let mut group = Group::on_loopback("lost-index", 2);
    group.start();
    for number in 0..50 {
        group[0].write(
            &format!("folder/{number}"),
            format!("file {number}").as_bytes(),
        );
    }
    let before = group.wait_equal_to(0, seconds(10));
    group[1].terminate(seconds(10));
    for child in fs::read_dir(group[1].dir.join(".tinypeer"))
        .unwrap()
        .flatten()
    {
        if child.path().is_file() {
            fs::remove_file(child.path()).unwrap();
        }
    }
    group[1].start();
    group.wait_until("peer 2 answers", seconds(10), |group| {
        group[1].status().is_ok()
    });
    group.wait_in_sync(seconds(20));
    group.wait_all(&before, seconds(10));
    assert!(
        group
            .peers
            .iter()
            .all(|peer| peer.status_now().conflicts == 0),
        "{}",
        group.report()
    );
}
