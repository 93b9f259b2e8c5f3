//! Large files that are being hashed: who is told of them, and when (docs/protocol.md, "Drafts").

use crate::netsim::{Path, Sim, index_of, instant};
use proto_core::content::{ContentId, draft};
use proto_core::wire::draft::{Draft, Stage};

fn group(loss: u64) -> Sim {
    let path = Path {
        loss,
        ..Path::default()
    };
    let mut sim = Sim::group(1, path, 3);
    sim.connect();
    sim
}

fn tell(sim: &mut Sim, number: u64, stage: Stage) {
    let now = instant(sim.now);
    let draft = Draft {
        number,
        stage,
        size: 1 << 30,
        path: b"folder/film",
    };
    sim.host(0).engine.tell_draft(now, &draft);
}

/// What a host was told, in order.
fn told(sim: &mut Sim, host: usize) -> Vec<(ContentId, Stage)> {
    let drafts = sim.host(host).drafts.iter();
    drafts.map(|(_, id, stage)| (*id, *stage)).collect()
}

#[test]
fn all_are_told_at_once_under_an_id_of_the_source() {
    let mut sim = group(0);
    tell(&mut sim, 7, Stage::Growing(128));
    sim.run_ms(3);
    let expected = (draft::id(index_of(0), 7), Stage::Growing(128));
    for host in [1, 2] {
        assert_eq!(told(&mut sim, host), [expected], "{host}");
    }
    assert_ne!(draft::id(index_of(0), 7), draft::id(index_of(1), 7));
    assert_ne!(draft::id(index_of(0), 7), draft::id(index_of(0), 8));
}

#[test]
fn what_changes_often_is_told_every_few_milliseconds_and_its_end_at_last() {
    let mut sim = group(0);
    for block in 1..=200 {
        tell(&mut sim, 7, Stage::Growing(128 * block));
        sim.run_ms(1);
    }
    let end = Stage::Named {
        chunks: 25_601,
        content: ContentId([1; 32]),
    };
    tell(&mut sim, 7, end);
    sim.run_ms(6);
    for host in [1, 2] {
        let told = told(&mut sim, host);
        assert!((45..=55).contains(&told.len()), "{}", told.len());
        assert_eq!(told.last().unwrap().1, end);
    }
}

#[test]
fn what_was_lost_is_told_again_for_ten_seconds() {
    let mut sim = group(500);
    for number in 1..=3 {
        tell(&mut sim, number, Stage::Dropped);
    }
    sim.run_ms(9_900);
    for number in 1..=3 {
        let expected = (draft::id(index_of(0), number), Stage::Dropped);
        assert!(told(&mut sim, 1).contains(&expected), "{number}");
    }
    sim.run_ms(2_000);
    let before = told(&mut sim, 1).len();
    sim.run_ms(5_000);
    assert_eq!(told(&mut sim, 1).len(), before);
}

#[test]
fn the_last_four_are_told_of() {
    let mut sim = group(0);
    for number in 1..=6 {
        tell(&mut sim, number, Stage::Growing(0));
    }
    sim.run_ms(20);
    let mut ids: Vec<ContentId> = told(&mut sim, 1).into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    let mut expected: Vec<ContentId> = (3..=6).map(|n| draft::id(index_of(0), n)).collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

#[test]
fn a_path_that_no_datagram_holds_is_not_told() {
    let mut sim = group(0);
    let now = instant(sim.now);
    let path = [vec![b'p'; 255], vec![b'/']].concat().repeat(5);
    let draft = Draft {
        number: 1,
        stage: Stage::Growing(128),
        size: 1,
        path: &path[..1089],
    };
    sim.host(0).engine.tell_draft(now, &draft);
    sim.run_ms(2_000);
    assert_eq!(told(&mut sim, 1), []);
}
