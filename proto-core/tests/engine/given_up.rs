//! Sources that answer, but not with what is waited for: they are given up, and their places are free for others.

use crate::netsim::{Answer, MB, Member, Path, SECOND, Serving, Sim, index_of, slot};
use proto_core::content::ContentId;
use proto_core::pull::{Failure, Want};
use proto_core::time::Instant;
use proto_core::wire::block::Block;
use proto_core::wire::encoding::Encoding;
use proto_core::wire::{BundleId, Message, ObjectId};

/// Sends the first segment of whatever it is asked for, and then nothing.
fn first_segment_only() -> Answer {
    Box::new(|_: Instant, message: &Message<'_>| {
        let Message::Request(request) = message else {
            return Vec::new();
        };
        let first = request.items().filter(|item| item.wanted[0] & 0x80 != 0);
        let block = |item: proto_core::wire::request::RequestItem<'_>| {
            let payload = usize::from(request.segment()).min(item.length as usize);
            let mut out = vec![0x5a; Block::HEADER_LEN + payload];
            let header = Block {
                encoding: Encoding::NONE,
                segment: 0,
                tag: item.tag,
                length: item.length,
            };
            header.emit_header(&mut out).unwrap();
            out
        };
        first.map(block).collect()
    })
}

/// Host 0 with host 1 and two members that send first segments.
fn group() -> Sim {
    let mut sim = Sim::new(1, Path::of_rate(100, 1000, 0));
    sim.add_host([1, 2, 3]);
    sim.add_host([0]);
    for member in [2, 3] {
        sim.add_member(Member::of_group(0, index_of(member), first_segment_only()));
    }
    sim.connect();
    sim
}

fn bundle(number: u64) -> Want {
    Want {
        object: ObjectId::Bundle(BundleId::new(index_of(2), 1 + number * 1000).unwrap()),
        start: 0,
        length: 262_144,
        only: Some(slot(2)),
        prefer: None,
    }
}

fn content(number: u8) -> Want {
    Want {
        object: ObjectId::Content(ContentId([number; 32])),
        start: 0,
        length: 16_000,
        only: None,
        prefer: Some(slot(2)),
    }
}

#[test]
fn a_peer_that_sends_only_beginnings_keeps_no_place_for_good() {
    let mut sim = group();
    let wants: Vec<Want> = (0..8).map(bundle).chain((0..48).map(content)).collect();
    sim.want(0, &wants);
    sim.run_ms(2000);
    assert!(sim.host(0).failed.is_empty(), "too soon");
    let all = wants.len();
    let took = sim.until(200, |sim| sim.host(0).failed.len() == all);
    assert!(took.is_some(), "{} of {all}", sim.host(0).failed.len());
    let failed = &sim.host(0).failed;
    assert!(failed.iter().all(|(_, why)| *why == Failure::Silent));
    assert_eq!(sim.host(0).engine.free_pulls(), 60);
}

#[test]
fn what_another_one_has_comes_from_there_long_before() {
    let mut sim = group();
    let mut wants = sim.add_content(1, MB, &[1]);
    for want in &mut wants {
        want.prefer = Some(slot(2));
    }
    sim.pull_all(0, &wants, 5);
}

#[test]
fn a_peer_that_is_to_answer_later_is_asked_again_when_it_connects_anew() {
    let mut sim = Sim::group(1, Path::of_rate(100, 1000, 0), 2);
    let wants = sim.add_content(1, 100_000, &[1]);
    sim.host(1).library.serving = Serving::NotYet;
    sim.connect();
    sim.want(0, &wants);
    let all = wants.len();
    let silent = sim.until(30, |sim| sim.host(0).failed.len() == all);
    assert!(silent.is_some_and(|took| took > 5 * SECOND), "{silent:?}");
    sim.host(1).library.serving = Serving::Ready;
    sim.pull_all(0, &wants, 5);
}

#[test]
fn who_sends_slowly_is_not_given_up() {
    let path = Path {
        delay: 20_000,
        rate: 64_000,
        longest: 1480,
        queue: 64 * 1024,
        ..Path::default()
    };
    let mut sim = Sim::group(1, path, 2);
    let wants = sim.add_content(1, MB / 2, &[1]);
    sim.connect();
    sim.pull_all(0, &wants, 120);
    assert!(sim.host(0).failed.is_empty());
}
