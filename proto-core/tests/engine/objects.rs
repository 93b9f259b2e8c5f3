//! Pieces of all kinds, and each REFUSE reason (docs/protocol.md, "Refuse").

use crate::netsim::{Answer, DATAGRAM, MB, Member, Path, SECOND, Serving, Sim, index_of, slot};
use proto_core::content::ContentId;
use proto_core::pull::{Failure, Want};
use proto_core::session::OVERHEAD;
use proto_core::storage::segment_bitmap::SegmentBitmap;
use proto_core::time::Instant;
use proto_core::wire::refuse::{Refuse, RefuseReason};
use proto_core::wire::request::RequestWriter;
use proto_core::wire::{Message, ObjectId};
use std::cell::Cell;
use std::rc::Rc;

/// Blocks of the recipe of a content, each asked for with the most it may have.
fn recipe(content: &[Want], blocks: u64) -> Vec<Want> {
    let ObjectId::Content(id) = content[0].object else {
        panic!("a content")
    };
    let block = |start| Want {
        object: ObjectId::Recipe(id),
        start,
        length: 128 * 36,
        only: None,
        prefer: None,
    };
    (0..blocks).map(block).collect()
}

/// Answers every item of a REQUEST with a REFUSE, and counts them.
fn refuse_all(reason: RefuseReason, count: &Rc<Cell<u64>>) -> Answer {
    let count = Rc::clone(count);
    Box::new(move |_: Instant, message: &Message<'_>| {
        let Message::Request(request) = message else {
            return Vec::new();
        };
        let refuse = |tag| {
            count.set(count.get() + 1);
            let mut out = vec![0; 8];
            let len = Refuse { reason, tag }.emit(&mut out).unwrap();
            out.truncate(len);
            out
        };
        request.items().map(|item| refuse(item.tag)).collect()
    })
}

#[test]
fn blocks_of_a_recipe_have_the_length_that_the_source_says() {
    for loss in [0, 100] {
        let mut sim = Sim::group(1, Path::of_rate(100, 1000, loss), 2);
        // 306 chunks: two full blocks and one of 50.
        let wants = sim.add_content(1, 20 * MB, &[1]);
        let blocks = recipe(&wants, 3);
        sim.connect();
        sim.pull_all(0, &blocks, 20);
        assert_eq!(sim.host(0).new_bytes, 306 * 36);
        let beyond = recipe(&wants, 4).pop().unwrap();
        sim.want(0, &[beyond]);
        sim.until(5, |sim| !sim.host(0).failed.is_empty()).unwrap();
        assert_eq!(sim.host(0).failed, [(beyond, Failure::Gone)]);
    }
}

#[test]
fn who_refuses_for_good_is_asked_once_and_then_another() {
    for reason in [1, 2, 4, 0, 5, 255] {
        let count = Rc::new(Cell::new(0));
        let mut sim = Sim::new(1, Path::of_rate(100, 1000, 0));
        sim.add_host([1, 2]);
        sim.add_host([0]);
        let answer = refuse_all(RefuseReason(reason), &count);
        sim.add_member(Member::of_group(0, index_of(2), answer));
        let mut wants = sim.add_content(1, 5 * MB, &[1]);
        for want in &mut wants {
            want.prefer = Some(slot(2));
        }
        sim.connect();
        let took = sim.pull_all(0, &wants, 5);
        assert!(took < SECOND, "{reason}: {took}");
        // A piece for which there was room only in part was asked for twice before the answer came.
        let refused = count.get();
        assert!(refused <= wants.len() as u64 * 5 / 4, "{reason}: {refused}");
        // Only from the one that refuses: gone.
        let only = Want {
            only: Some(slot(2)),
            ..wants[0]
        };
        sim.want(0, &[only]);
        sim.run_ms(100);
        assert_eq!(sim.host(0).failed, [(only, Failure::Gone)]);
        assert_eq!(count.get(), refused + 1, "{reason}");
    }
}

#[test]
fn who_is_busy_is_left_for_another_that_is_not() {
    let count = Rc::new(Cell::new(0));
    let mut sim = Sim::new(1, Path::of_rate(100, 1000, 0));
    sim.add_host([1, 2]);
    sim.add_host([0]);
    sim.add_member(Member::of_group(
        0,
        index_of(2),
        refuse_all(RefuseReason::BUSY, &count),
    ));
    let wants = sim.add_content(1, 5 * MB, &[1]);
    sim.connect();
    // Either of the two may be asked next.
    sim.pull_all(0, &wants, 60);
    assert!(sim.host(0).failed.is_empty());
}

#[test]
fn a_refusal_that_is_lost_is_asked_for_again() {
    for seed in 0..5 {
        let mut sim = Sim::group(seed, Path::of_rate(100, 1000, 200), 2);
        let wants = sim.add_content(1, 3 * MB, &[1]);
        sim.host(1).library.serving = Serving::Gone;
        sim.connect();
        sim.want(0, &wants);
        let all = wants.len();
        let took = sim.until(30, |sim| sim.host(0).failed.len() == all);
        assert!(took.is_some_and(|took| took < 20 * SECOND), "{took:?}");
        assert!(
            sim.host(0)
                .failed
                .iter()
                .all(|(_, failure)| *failure == Failure::Gone)
        );
    }
}

#[test]
fn a_file_that_changes_while_it_is_served_ends_the_pulls_at_once() {
    let mut sim = Sim::group(1, Path::of_rate(100, 1000, 0), 2);
    let wants = sim.add_content(1, 10 * MB, &[1]);
    sim.host(1).library.reads_left = 2000;
    sim.connect();
    sim.want(0, &wants);
    let all = wants.len();
    let took = sim.until(5, |sim| {
        sim.host(0).failed.len() + sim.host(0).done.len() == all
    });
    // 2,000 segments take a quarter of a second; no timer must be waited for after that.
    assert!(took.is_some_and(|took| took < 320_000), "{took:?}");
    assert!(sim.host(0).done.len() > 10);
}

#[test]
fn what_has_come_stays_when_the_source_changes() {
    let mut sim = Sim::group(1, Path::of_rate(100, 1000, 0), 3);
    let mut wants = sim.add_content(1, 10 * MB, &[1, 2]);
    for want in &mut wants {
        want.prefer = Some(slot(1));
    }
    sim.host(1).library.reads_left = 2000;
    sim.connect();
    let took = sim.pull_all(0, &wants, 5);
    assert!(took < 950_000, "{took}");
    assert_eq!(sim.host(0).new_bytes as usize, 10 * MB);
    // Some segments were asked for of the second before the first had sent all that it had.
    assert!(sim.host(0).useless < 60, "{}", sim.host(0).useless);
}

#[test]
fn an_unknown_recipe_or_journal_is_refused() {
    let mut sim = Sim::group(1, Path::default(), 2);
    sim.connect();
    let wants = [
        ObjectId::Recipe(ContentId([9; 32])),
        ObjectId::Content(ContentId([9; 32])),
        ObjectId::Recipe(ContentId([8; 32])),
    ]
    .map(|object| Want {
        object,
        start: 0,
        length: 1000,
        only: Some(slot(1)),
        prefer: None,
    });
    sim.want(0, &wants);
    sim.run_ms(10);
    let failed = &sim.host(0).failed;
    assert!(failed.iter().all(|(_, failure)| *failure == Failure::Gone));
    assert_eq!(failed.len(), 3);
}

/// Requests for segments that no datagram can carry do not keep the others from being served.
#[test]
fn a_segment_that_is_too_long_does_not_jam_the_queue() {
    let blocks = Rc::new(Cell::new(0));
    let counted = Rc::clone(&blocks);
    let mut sim = Sim::new(1, Path::default());
    sim.add_host([1]);
    sim.add_member(Member::of_group(
        0,
        index_of(1),
        Box::new(move |_: Instant, message: &Message<'_>| {
            if let Message::Block(..) = message {
                counted.set(counted.get() + 1);
            }
            Vec::new()
        }),
    ));
    let wants = sim.add_content(1, MB, &[0]);
    sim.connect();
    for (tag, segment) in [
        (1, 60_000),
        (2, 59_957),
        (3, (DATAGRAM - OVERHEAD - 12) as u16),
    ] {
        let mut out = vec![0; 1000];
        let mut writer = RequestWriter::new(&mut out, wants[0].object, segment).unwrap();
        let segments = 200_000_usize.div_ceil(usize::from(segment));
        let wanted = SegmentBitmap::fill(1);
        writer.push(tag, 0, 200_000, segments, &wanted).unwrap();
        let len = writer.finish();
        out.truncate(len);
        sim.member(1).say(out);
    }
    sim.work(1);
    sim.run_ms(10);
    assert_eq!(blocks.get(), 1);
}

#[test]
fn a_range_beyond_the_content_is_refused_as_malformed() {
    let refused = Rc::new(Cell::new(None));
    let noted = Rc::clone(&refused);
    let mut sim = Sim::new(1, Path::default());
    sim.add_host([1]);
    sim.add_member(Member::of_group(
        0,
        index_of(1),
        Box::new(move |_: Instant, message: &Message<'_>| {
            if let Message::Refuse(refuse) = message {
                noted.set(Some((refuse.tag, refuse.reason)));
            }
            Vec::new()
        }),
    ));
    let wants = sim.add_content(1, MB, &[0]);
    sim.connect();
    let mut out = vec![0; 1000];
    let mut writer = RequestWriter::new(&mut out, wants[0].object, 1000).unwrap();
    let wanted = SegmentBitmap::fill(1);
    writer.push(7, MB as u64 - 999, 1000, 1, &wanted).unwrap();
    let len = writer.finish();
    out.truncate(len);
    sim.member(1).say(out);
    sim.work(1);
    sim.run_ms(10);
    assert_eq!(refused.get(), Some((7, RefuseReason::MALFORMED)));
}
