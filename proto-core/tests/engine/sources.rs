//! Whom a piece is asked from: refusals, sources that vanish, wrong bytes, a full table.

use crate::netsim::{MB, Member, Path, Serving, Sim, index_of, slot};
use proto_core::content::ContentId;
use proto_core::engine::Event;
use proto_core::pull::{Failure, Want};
use proto_core::wire::refuse::{Refuse, RefuseReason};
use proto_core::wire::{Message, ObjectId};
use std::cell::RefCell;
use std::rc::Rc;

const UNKNOWN: Want = Want {
    object: ObjectId::Content(ContentId([0xee; 32])),
    start: 0,
    length: 100_000,
    only: None,
    prefer: None,
};

fn group(count: usize) -> Sim {
    Sim::group(1, Path::of_rate(1000, 1000, 0), count)
}

#[test]
fn who_refuses_is_passed_over_for_the_next() {
    for serving in [Serving::Gone, Serving::Changed] {
        let mut sim = group(3);
        let wants = sim.add_content(1, MB, &[1, 2]);
        sim.host(1).library.serving = serving;
        sim.connect();
        let took = sim.pull_all(0, &wants, 5);
        assert!(took < 100_000, "{took}");
        assert!(sim.host(0).failed.is_empty());
    }
}

#[test]
fn a_piece_that_all_refuse_is_gone() {
    let mut sim = group(3);
    sim.connect();
    sim.want(0, &[UNKNOWN]);
    sim.run_ms(50);
    assert_eq!(sim.host(0).failed, [(UNKNOWN, Failure::Gone)]);
    let free = sim.host(0).engine.free_pulls();
    assert_eq!(free, 60, "its place is free again");
}

#[test]
fn a_piece_wanted_while_nobody_is_connected_fails() {
    let mut sim = group(2);
    sim.want(0, &[UNKNOWN]);
    assert_eq!(sim.host(0).failed, [(UNKNOWN, Failure::Disconnected)]);
}

#[test]
fn a_busy_peer_is_asked_again_after_growing_pauses() {
    let mut sim = Sim::new(1, Path::default());
    let host = sim.add_host([1]);
    let asked = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&asked);
    sim.add_member(Member::of_group(
        host,
        index_of(1),
        Box::new(move |now, message| {
            let Message::Request(request) = message else {
                return Vec::new();
            };
            noted.borrow_mut().push(now.as_micros());
            let refuse = |tag| {
                let mut out = vec![0; 8];
                let reason = RefuseReason::BUSY;
                let len = Refuse { reason, tag }.emit(&mut out).unwrap();
                out.truncate(len);
                out
            };
            request.items().map(|item| refuse(item.tag)).collect()
        }),
    ));
    sim.connect();
    sim.want(host, &[UNKNOWN]);
    sim.run_ms(20_000);
    let asked = asked.borrow();
    let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((5..15).contains(&pauses.len()), "{pauses:?}");
    assert!(pauses[0] >= 100_000, "{pauses:?}");
    assert!(
        pauses.windows(2).all(|pair| pair[1] + 1000 >= pair[0]),
        "{pauses:?}"
    );
    assert!(pauses[pauses.len() - 1] >= 2_000_000, "{pauses:?}");
    assert!(sim.host(host).failed.is_empty());
}

#[test]
fn another_source_takes_over_when_one_vanishes() {
    let mut sim = Sim::group(1, Path::of_rate(100, 1000, 0), 3);
    let mut wants = sim.add_content(1, 10 * MB, &[1, 2]);
    for want in &mut wants {
        want.prefer = Some(slot(1));
    }
    sim.connect();
    sim.want(0, &wants);
    sim.run_ms(300);
    let before = sim.host(0).done.len();
    assert!(before > 0 && before < wants.len());
    sim.kill(1);
    let all = wants.len();
    let took = sim.until(30, |sim| sim.host(0).done.len() == all);
    assert!(took.is_some_and(|took| took < 8_000_000), "{took:?}");
    assert!(sim.host(0).failed.is_empty());
}

#[test]
fn a_transfer_fails_when_its_only_source_vanishes() {
    let mut sim = Sim::group(1, Path::of_rate(100, 1000, 0), 2);
    let wants = sim.add_content(1, 10 * MB, &[1]);
    sim.connect();
    sim.want(0, &wants);
    sim.run_ms(300);
    sim.kill(1);
    sim.run_ms(10_000);
    let host = sim.host(0);
    assert_eq!(host.done.len() + host.failed.len(), wants.len());
    assert!(
        host.failed
            .iter()
            .all(|(_, failure)| *failure == Failure::Disconnected)
    );
    assert!(
        host.events
            .iter()
            .any(|(_, event)| *event == Event::Disconnected { peer: slot(1) })
    );
}

#[test]
fn a_preferred_peer_that_is_not_there_keeps_nobody_waiting() {
    let mut sim = group(3);
    let mut wants = sim.add_content(1, MB, &[1, 2]);
    for want in &mut wants {
        want.prefer = Some(slot(2));
    }
    sim.kill(2);
    sim.connect();
    let took = sim.pull_all(0, &wants, 5);
    assert!(took < 100_000, "{took}");
}

#[test]
fn a_preferred_peer_sends_all_if_it_can() {
    let mut sim = group(3);
    let mut wants = sim.add_content(1, MB, &[1, 2]);
    for want in &mut wants {
        want.prefer = Some(slot(2));
    }
    sim.connect();
    let before = sim.net.count(1, 0).bytes;
    sim.pull_all(0, &wants, 5);
    assert!(sim.net.count(1, 0).bytes - before < 1000);
}

#[test]
fn bytes_that_do_not_verify_are_asked_from_somebody_else() {
    let mut sim = group(3);
    let mut wants = sim.add_content(1, MB, &[1, 2]);
    for want in &mut wants {
        want.prefer = Some(slot(1));
    }
    sim.host(1).library.serving = Serving::Corrupt;
    sim.connect();
    sim.want(0, &wants);
    let all = wants.len();
    assert!(sim.until(5, |sim| sim.host(0).done.len() == all).is_some());
    assert_eq!(sim.host(0).corrupted, all);
    assert!(sim.host(0).failed.is_empty());
}

#[test]
fn a_piece_that_nobody_has_right_is_gone() {
    let mut sim = group(2);
    let wants = sim.add_content(1, 50_000, &[1]);
    sim.host(1).library.serving = Serving::Corrupt;
    sim.connect();
    sim.want(0, &wants);
    sim.run_ms(1000);
    assert_eq!(sim.host(0).failed.len(), wants.len());
    assert_eq!(sim.host(0).failed[0].1, Failure::Gone);
}

#[test]
fn a_full_table_of_pulls_says_so_and_keeps_places_for_journals() {
    let mut sim = group(2);
    let wants = sim.add_content(1, 40 * MB, &[1]);
    sim.host(1).library.serving = Serving::NotYet;
    sim.connect();
    assert!(wants.len() > 64);
    sim.want(0, &wants);
    assert_eq!(sim.host(0).engine.free_pulls(), 0);
    assert_eq!(sim.host(0).engine.pull(wants[0]), None);
    for change in 0..200 {
        sim.change(1, &format!("file {change}"));
    }
    sim.run_ms(3000);
    assert_eq!(sim.host(0).learned[&index_of(1)].len(), 200);
}

#[test]
fn a_piece_that_waits_for_the_disk_does_not_block_the_others() {
    let mut sim = group(2);
    let slow = sim.add_content(1, 100_000, &[1]);
    let fast = sim.add_content(2, MB, &[1]);
    let ObjectId::Content(id) = slow[0].object else {
        panic!("a content")
    };
    sim.host(1).library.slow = Some(id);
    sim.connect();
    sim.want(0, &slow);
    let all = fast.len();
    sim.want(0, &fast);
    let took = sim.until(5, |sim| sim.host(0).done.len() == all);
    assert!(took.is_some_and(|took| took < 1_000_000), "{took:?}");
    sim.host(1).library.slow = None;
    let all = all + slow.len();
    assert!(sim.until(5, |sim| sim.host(0).done.len() == all).is_some());
}

#[test]
fn answers_to_a_pull_that_has_ended_are_ignored() {
    let mut sim = Sim::group(1, Path::of_rate(100, 20_000, 0), 2);
    let old = sim.add_content(1, 500_000, &[1]);
    let new = sim.add_content(2, 500_000, &[1]);
    sim.connect();
    let pulls: Vec<_> = old
        .iter()
        .map(|want| sim.host(0).engine.pull(*want).unwrap())
        .collect();
    sim.work(0);
    sim.run_ms(11);
    for pull in pulls {
        sim.host(0).engine.cancel(pull);
    }
    let before = sim.host(0).new_bytes;
    sim.pull_all(0, &new, 5);
    assert_eq!(sim.host(0).new_bytes - before, 500_000);
    assert_eq!(sim.host(0).corrupted, 0);
}

#[test]
fn two_sources_fill_the_receive_buffer_and_never_more() {
    let mut sim = Sim::new(1, Path::of_rate(1000, 20_000, 0));
    sim.receive_buffer = 256 * 1024;
    for host in 0..4 {
        sim.add_host((0..4).filter(|other| *other != host));
    }
    let mut wants = sim.add_content(1, 6 * MB, &[1, 2, 3]);
    for (place, want) in wants.iter_mut().enumerate() {
        want.prefer = Some(slot(1 + place % 3));
    }
    sim.connect();
    sim.want(0, &wants);
    let all = wants.len();
    let mut served = [0; 4];
    let took = sim.until(60, |sim| sim.host(0).done.len() == all);
    assert!(took.is_some());
    // What the paths themselves do not hold waits; here in front of the wire, else in the receive buffer.
    let waited: u64 = (1..4).map(|peer| sim.net.count(peer, 0).queued).sum();
    let headers = 260 * 1024 / 1200 * 100;
    assert!(waited <= 256 * 1024 + headers, "{waited}");
    for (peer, served) in served.iter_mut().enumerate().skip(1) {
        *served = sim.net.count(peer, 0).bytes;
        assert!(*served > MB as u64, "{peer} sent {served}");
    }
}
