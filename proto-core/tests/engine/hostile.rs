//! A member of the group that means ill, or is broken: it costs bounded memory and work, and the
//! others are served as before.

use crate::netsim::{Answer, DATAGRAM, MB, Member, Path, Random, Sim, index_of, slot};
use proto_core::boundary::PullId;
use proto_core::content::ContentId;
use proto_core::engine::{Engine, Event};
use proto_core::pull::{Want, tag};
use proto_core::storage::segment_bitmap::SegmentBitmap;
use proto_core::time::Instant;
use proto_core::wire::announce::Announce;
use proto_core::wire::block::Block;
use proto_core::wire::encoding::Encoding;
use proto_core::wire::path_probe::Probe;
use proto_core::wire::refuse::{Refuse, RefuseReason};
use proto_core::wire::request::RequestWriter;
use proto_core::wire::{Message, ObjectId};

fn quiet() -> Answer {
    Box::new(|_: Instant, _: &Message<'_>| Vec::new())
}

/// Host 0 with host 1 and the member 2 as peers.
fn group(path: Path, answer: Answer) -> Sim {
    let mut sim = Sim::new(1, path);
    sim.add_host([1, 2]);
    sim.add_host([0]);
    sim.add_member(Member::of_group(0, index_of(2), answer));
    sim.connect();
    assert!(sim.is_connected(0, 1) && sim.is_connected(0, 2));
    sim
}

fn request(object: ObjectId, tag: u32, start: u64, length: u32, segment: u16) -> Vec<u8> {
    let mut out = vec![0; 1400];
    let segments = (length as usize).div_ceil(usize::from(segment));
    let mut writer = RequestWriter::new(&mut out, object, segment).unwrap();
    for item in 0..8 {
        let wanted = SegmentBitmap::fill(segments);
        if writer
            .push(tag + item, start, length, segments, &wanted)
            .is_err()
        {
            break;
        }
    }
    let len = writer.finish();
    out.truncate(len);
    out
}

#[test]
fn a_flood_of_requests_for_unknown_objects_starves_nobody() {
    let mut sim = group(Path::of_rate(100, 1000, 0), quiet());
    let wants = sim.add_content(1, 5 * MB, &[0]);
    sim.want(1, &wants);
    let mut random = Random(1);
    let begin = sim.now;
    while sim.host(1).done.len() < wants.len() {
        for _ in 0..5 {
            let object = ObjectId::Content(ContentId([random.next() as u8; 32]));
            let message = request(
                object,
                random.next() as u32 / 2,
                random.next(),
                1 << 20,
                1400,
            );
            sim.member(2).say(message);
        }
        sim.work(2);
        sim.run_ms(1);
        assert!(
            sim.now - begin < 5_000_000,
            "{} pieces",
            sim.host(1).done.len()
        );
    }
    // The path alone takes 420 ms.
    assert!(sim.now - begin < 700_000, "{}", sim.now - begin);
    assert!(
        sim.host(0)
            .events
            .iter()
            .all(|(_, event)| !matches!(event, Event::Disconnected { .. }))
    );
}

#[test]
fn requests_for_much_more_than_is_sent_leave_turns_to_the_others() {
    let mut sim = group(Path::default(), quiet());
    let wants = sim.add_content(1, 5 * MB, &[0]);
    let object = wants[0].object;
    sim.host(0).uplink = 1_000_000_000;
    for tag in 0..1000 {
        sim.member(2)
            .say(request(object, tag * 8, 0, 1 << 20, 1200));
    }
    sim.work(2);
    let took = sim.pull_all(1, &wants, 5);
    // Half of the link: 80 ms.
    assert!(took < 120_000, "{took}");
    // Not more is queued for it than there are places: 64 pieces of 1 MB.
    sim.run_ms(2000);
    let sent = sim.net.count(0, 2).bytes;
    assert!(sent < 70 << 20, "{sent}");
}

#[test]
fn the_smallest_segments_are_served_one_by_one() {
    let mut sim = group(Path::default(), quiet());
    let wants = sim.add_content(1, MB, &[0]);
    let before = sim.net.count(0, 2).datagrams;
    for tag in 0..64 {
        sim.member(2)
            .say(request(wants[0].object, tag * 8, 0, 900, 1));
    }
    sim.work(2);
    sim.run_ms(100);
    let datagrams = sim.net.count(0, 2).datagrams - before;
    assert!(datagrams <= 64 * 8 * 900 + 10, "{datagrams}");
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut sim = group(Path::of_rate(10, 10_000, 0), quiet());
    let wants = sim.add_content(1, 500_000, &[1]);
    let mut wants: Vec<Want> = wants;
    for want in &mut wants {
        want.only = Some(slot(1));
    }
    sim.want(0, &wants);
    let mut random = Random(1);
    for _ in 0..300 {
        for place in 0..16 {
            let tag = tag(PullId {
                slot: place,
                generation: 1,
            });
            let mut out = vec![0xee; DATAGRAM - 40];
            let block = Block {
                encoding: Encoding(random.below(4) as u8),
                segment: random.below(100) as u16,
                tag,
                length: wants[0].length,
            };
            block.emit_header(&mut out).unwrap();
            sim.member(2).say(out);
            let mut out = vec![0; 8];
            let reason = RefuseReason(random.below(6) as u8);
            Refuse { reason, tag }.emit(&mut out).unwrap();
            sim.member(2).say(out);
        }
        sim.work(2);
        sim.run_ms(1);
    }
    let all = wants.len();
    assert!(sim.until(10, |sim| sim.host(0).done.len() == all).is_some());
    assert_eq!((sim.host(0).corrupted, sim.host(0).failed.len()), (0, 0));
}

#[test]
fn a_source_that_sends_wrong_lengths_and_places_is_survived() {
    let mut random = Random(1);
    let answer = move |_: Instant, message: &Message<'_>| {
        let Message::Request(request) = message else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in request.items() {
            for _ in 0..20 {
                let mut block = vec![0; 12 + random.below(1408) as usize];
                let header = Block {
                    encoding: Encoding(random.below(4) as u8),
                    segment: random.next() as u16,
                    tag: item.tag,
                    length: random.below(1 << 21) as u32,
                };
                header.emit_header(&mut block).unwrap();
                out.push(block);
            }
        }
        out
    };
    let mut sim = group(Path::default(), Box::new(answer));
    let wants = sim.add_content(1, MB, &[1, 0]);
    for kind in [ObjectId::Content, ObjectId::Recipe] {
        let want = Want {
            object: kind(ContentId([3; 32])),
            start: 0,
            length: 200_000,
            only: Some(slot(2)),
            prefer: None,
        };
        assert!(sim.host(0).engine.pull(want).is_some());
    }
    sim.work(0);
    sim.run_ms(5000);
    sim.host(1).library.contents.clear();
    let took = sim.pull_all(1, &wants, 5);
    assert!(took < 1_000_000, "{took}");
}

#[test]
fn a_newest_sequence_that_is_never_told_costs_a_few_requests() {
    let refuse_all = |_: Instant, message: &Message<'_>| {
        let Message::Request(request) = message else {
            return Vec::new();
        };
        let refuse = |tag| {
            let mut out = vec![0; 8];
            Refuse {
                reason: RefuseReason::GONE,
                tag,
            }
            .emit(&mut out)
            .unwrap();
            out
        };
        request.items().map(|item| refuse(item.tag)).collect()
    };
    let mut sim = group(Path::default(), Box::new(refuse_all));
    let mut out = vec![0; 200];
    let announce = Announce {
        busy: false,
        bridge: 0,
        leads: false,
        index_id: index_of(2),
        sequence: u64::MAX,
        seen_index_id: index_of(0),
        seen_sequence: u64::MAX,
        pending: u32::MAX,
        sent_at: 1,
        echo: 12345,
        echo_delay: u32::MAX,
        page: &[0xee; 60],
        contents: &[0, 9, 1],
    };
    let len = announce.emit(&mut out).unwrap();
    out.truncate(len);
    let before = sim.net.count(0, 2).datagrams;
    sim.member(2).say(out);
    sim.work(2);
    sim.run_ms(10_000);
    let datagrams = sim.net.count(0, 2).datagrams - before;
    assert!(datagrams < 100, "{datagrams}");
    assert!(!sim.host(0).engine.in_sync());
}

#[test]
fn a_pause_that_ends_while_the_window_is_full_does_not_keep_the_driver_awake() {
    // The harness asserts after each turn that the engine sleeps.
    let busy = ContentId([5; 32]);
    let answer = move |_: Instant, message: &Message<'_>| {
        let Message::Request(request) = message else {
            return Vec::new();
        };
        let refuse = |tag| {
            let mut out = vec![0; 8];
            Refuse {
                reason: RefuseReason::BUSY,
                tag,
            }
            .emit(&mut out)
            .unwrap();
            out
        };
        let is_busy = request.object() == ObjectId::Content(busy);
        request
            .items()
            .filter(|_| is_busy)
            .map(|item| refuse(item.tag))
            .collect()
    };
    let mut sim = group(Path::default(), Box::new(answer));
    let want = |id, length| Want {
        object: ObjectId::Content(id),
        start: 0,
        length,
        only: Some(slot(2)),
        prefer: None,
    };
    sim.want(0, &[want(busy, 1000)]);
    sim.run_ms(10);
    sim.want(0, &[want(ContentId([6; 32]), 1 << 20)]);
    sim.run_ms(10_000);
}

#[test]
fn an_engine_has_a_fixed_size() {
    assert!(size_of::<Engine>() < 900 * 1024, "{}", size_of::<Engine>());
}

#[test]
fn whoever_is_asked_for_paddings_without_end_sends_one_of_each_size_at_a_time() {
    let mut sim = group(Path::default(), Box::new(|_, _| Vec::new()));
    let before = sim.net.count(0, 2).bytes;
    let probe = Probe {
        size: 60_000,
        tag: 7,
        ecn: false,
    };
    for _ in 0..1000 {
        let mut out = vec![0; 8];
        probe.emit(&mut out).unwrap();
        sim.member(2).say(out);
    }
    // All of them arrive at once.
    sim.work(2);
    sim.run_ms(10);
    let sent = sim.net.count(0, 2).bytes - before;
    assert!((60_000..5 * 60_000 + 10_000).contains(&sent), "{sent}");
}
