//! Which chunk is asked for next, and from whom (docs/protocol.md, "Several sources").
#![cfg(test)]

use proptest::prelude::*;
use proto_core::boundary::PeerSlot;
use proto_core::content::ContentId;
use proto_core::pull::PeerSet;
use proto_core::swarm::{Choice, Sources, Swarm, WINDOW};
use proto_core::time::{Duration, Instant};
use proto_core::wire::have::Have;
use std::collections::BTreeSet;

const CONTENT: ContentId = ContentId([7; 32]);
const START: Instant = Instant::from_micros(1_000_000);
const NAMES: [u64; 3] = [11, 22, 33];

fn slot(place: usize) -> PeerSlot {
    PeerSlot::new(place).unwrap()
}

fn all(places: &[usize]) -> Sources {
    let mut peers = PeerSet::EMPTY;
    for place in places {
        peers.insert(slot(*place));
    }
    Sources {
        speaking: peers,
        ready: peers,
        laden: PeerSet::EMPTY,
        slow: PeerSet::EMPTY,
    }
}

fn swarm(name: u64, chunks: u32) -> Swarm {
    Swarm::new(START, CONTENT, chunks, name, Some(slot(0)), &|_| false)
}

fn have(whole: bool, first: u32, held: &[u8]) -> Have<'_> {
    Have {
        content: CONTENT,
        asks: false,
        whole,
        first,
        count: held.len() as u16 * 8,
        held,
    }
}

fn drain(swarm: &mut Swarm, sources: Sources) -> Vec<Choice> {
    std::iter::from_fn(|| swarm.choose(sources)).collect()
}

#[test]
fn who_is_alone_gets_every_chunk_in_order() {
    let mut swarm = swarm(1, 3000);
    let mut got = vec![false; 3000];
    for expected in 0..3000_u32 {
        let choice = swarm.choose(all(&[0])).unwrap();
        assert_eq!((choice.chunk, choice.from), (expected, Some(slot(0))));
        got[expected as usize] = true;
        swarm.has_come(START, expected, &|chunk| got[chunk as usize]);
    }
    assert_eq!(swarm.choose(all(&[0])), None);
    assert_eq!(swarm.choose_of_others(START, all(&[0])), None);
}

#[test]
fn what_is_here_is_not_chosen_and_the_window_begins_behind_it() {
    let here = |chunk: u32| chunk < 5000 || chunk.is_multiple_of(2);
    let mut swarm = Swarm::new(START, CONTENT, 9000, 1, Some(slot(0)), &here);
    let chosen = drain(&mut swarm, all(&[0]));
    let chunks: Vec<u32> = chosen.iter().map(|choice| choice.chunk).collect();
    let base = 5000 / 64 * 64;
    let expected = (5000..base + WINDOW).filter(|chunk| !chunk.is_multiple_of(2));
    assert_eq!(chunks, expected.collect::<Vec<_>>());
}

#[test]
fn those_who_fetch_it_share_the_chunks_between_them() {
    let mut seen = BTreeSet::new();
    let mut counts = vec![];
    for own in NAMES {
        let mut swarm = swarm(own, 900);
        for (place, name) in NAMES.iter().enumerate().filter(|(_, name)| **name != own) {
            swarm.told(START, slot(place + 1), *name, &have(false, 0, &[0]));
        }
        let chosen = drain(&mut swarm, all(&[0]));
        counts.push(chosen.len());
        for choice in chosen {
            assert!(seen.insert(choice.chunk), "{} twice", choice.chunk);
        }
    }
    assert_eq!(seen.len(), 900, "{counts:?}");
    assert!(
        counts.iter().all(|count| (240..360).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn what_another_one_has_is_asked_from_it_and_the_rest_of_its_share_in_the_end() {
    let mut swarm = swarm(NAMES[0], 64);
    swarm.told(START, slot(1), NAMES[1], &have(false, 8, &[0b1010_0000]));
    let from_it: Vec<u32> = (0..8).chain([8, 10]).collect();
    for expected in from_it {
        let choice = swarm.choose(all(&[0, 1])).unwrap();
        assert_eq!((choice.chunk, choice.from), (expected, Some(slot(1))));
    }
    let own = drain(&mut swarm, all(&[0, 1]));
    assert!(own.iter().all(|choice| choice.from == Some(slot(0))));
    let mut rest = BTreeSet::new();
    while let Some(choice) = swarm.choose_of_others(START, all(&[0, 1])) {
        assert_eq!(choice.from, Some(slot(0)));
        assert!(rest.insert(choice.chunk));
    }
    assert_eq!(own.len() + rest.len(), 64 - 10);
    assert!(rest.len() > 10);
}

#[test]
fn what_only_a_slow_one_has_is_taken_from_the_source_in_the_end() {
    let mut swarm = swarm(NAMES[0], 64);
    swarm.told(START, slot(1), NAMES[1], &have(false, 64, &[0]));
    let mut sources = all(&[0, 1]);
    sources.ready.remove(slot(1));
    drain(&mut swarm, sources);
    assert_eq!(swarm.choose_of_others(START, sources), None, "it will come");
    sources.slow.insert(slot(1));
    assert!(swarm.choose_of_others(START, sources).is_some());
}

#[test]
fn without_a_whole_source_the_rarest_comes_first_and_the_rest_is_waited_for() {
    let mut swarm = Swarm::new(START, CONTENT, 64, NAMES[0], None, &|_| false);
    swarm.told(START, slot(1), NAMES[1], &have(false, 0, &[0b1110_0000]));
    swarm.told(START, slot(2), NAMES[2], &have(false, 0, &[0b1101_0000]));
    let first = swarm.choose(all(&[1])).unwrap();
    assert_eq!((first.chunk, first.from), (2, Some(slot(1))));
    let first = swarm.choose(all(&[2])).unwrap();
    assert_eq!((first.chunk, first.from), (3, Some(slot(2))));
    drain(&mut swarm, all(&[1, 2]));
    assert_eq!(swarm.choose_of_others(START, all(&[1, 2])), None);
    for chunk in 0..4 {
        swarm.has_come(START, chunk, &|chunk| chunk < 4);
    }
    let later = START + Duration::from_secs(2);
    assert_eq!(swarm.choose_of_others(START, all(&[1, 2])), None);
    let anybody = swarm.choose_of_others(later, all(&[1, 2])).unwrap();
    assert_eq!((anybody.chunk, anybody.from), (4, None));
    assert_eq!(
        swarm.choose_of_others(later, all(&[1, 2])),
        None,
        "one is enough"
    );
}

#[test]
fn what_all_refuse_stays_in_transit_while_somebody_fetches_it_too() {
    let mut swarm = Swarm::new(START, CONTENT, 64, NAMES[0], None, &|_| false);
    let both = all(&[1, 2]);
    let mut now = START + Duration::from_secs(1);
    let chunk = swarm.choose_of_others(now, both).unwrap().chunk;
    assert!(
        !swarm.put_back(now, chunk, both.speaking),
        "nobody fetches it"
    );
    swarm.told(now, slot(1), NAMES[1], &have(false, 0, &[0]));
    // Who refuses has not told.
    swarm.forget(slot(1));
    assert!(
        !swarm.put_back(now, chunk, all(&[2]).speaking),
        "it is gone"
    );
    for pause in [2, 4, 8, 16, 32, 64, 64] {
        swarm.told(now, slot(1), NAMES[1], &have(false, 0, &[0]));
        // Who refuses has not told, but was heard.
        swarm.refused(now, slot(1));
        assert!(swarm.put_back(now, chunk, both.speaking));
        let early = now + Duration::from_millis(pause * 1000 - 1);
        assert_eq!(swarm.choose_of_others(early, both), None);
        now += Duration::from_secs(pause);
        assert_eq!(swarm.choose_of_others(now, both).unwrap().chunk, chunk);
    }
    assert!(
        !swarm.put_back(now, chunk, both.speaking),
        "it fetches it no more"
    );
    swarm.told(now, slot(1), NAMES[1], &have(false, 0, &[0b1000_0000]));
    assert!(swarm.put_back(now, chunk, both.speaking));
    assert_eq!(
        swarm.choose(both).unwrap().chunk,
        chunk,
        "it is there after all"
    );
    swarm.has_come(now, chunk, &|chunk| chunk < 1);
    let soon = now + Duration::from_secs(1);
    assert!(
        swarm.choose_of_others(soon, both).is_some(),
        "it gets on again"
    );
}

#[test]
fn who_refuses_what_it_told_is_not_believed_for_longer_and_longer() {
    let mut swarm = Swarm::new(START, CONTENT, 64, NAMES[0], None, &|_| false);
    let it = all(&[1]);
    let mut now = START + Duration::from_secs(60);
    for pause in [
        50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 51_200,
    ] {
        swarm.told(now, slot(1), NAMES[1], &have(false, 0, &[0b1100_0000]));
        let chunk = swarm.choose(it).unwrap().chunk;
        let other = swarm.choose(it).unwrap().chunk;
        // Two at once are one refusal.
        for chunk in [chunk, other] {
            swarm.refused(now, slot(1));
            assert!(swarm.put_back(now, chunk, it.speaking));
        }
        let again = now + Duration::from_millis(pause);
        assert_eq!(swarm.tell_at(slot(1)), again, "asked again");
        let early = now + Duration::from_millis(pause - 1);
        swarm.told(early, slot(1), NAMES[1], &have(false, 0, &[0b1100_0000]));
        assert_eq!(swarm.choose(it), None);
        now = again;
    }
    // It gave what it told for twice as long.
    now += Duration::from_millis(2 * 51_200);
    swarm.told(now, slot(1), NAMES[1], &have(true, 0, &[0]));
    assert!(swarm.choose(it).is_some());
    swarm.refused(now, slot(1));
    assert_eq!(swarm.tell_at(slot(1)), now + Duration::from_millis(50));
}

#[test]
fn who_sent_wrong_bytes_is_not_believed_again_and_who_comes_back_is_asked() {
    let mut swarm = swarm(NAMES[0], 64);
    swarm.distrust(slot(0));
    swarm.told(START, slot(0), NAMES[1], &have(true, 0, &[0]));
    assert_eq!(swarm.choose(all(&[0])), None);
    swarm.told(START, slot(1), NAMES[1], &have(true, 0, &[0]));
    assert!(swarm.choose(all(&[0, 1])).is_some());
    swarm.forget(slot(1));
    assert_eq!(swarm.choose(all(&[0, 1])), None);
    assert!(swarm.tell_at(slot(1)) <= START);
    let mut bitmap = [0; (WINDOW / 8) as usize];
    assert!(swarm.tell(START, slot(1), &mut bitmap).unwrap().asks);
    swarm.told(START, slot(1), NAMES[1], &have(true, 0, &[0]));
    assert!(swarm.choose(all(&[1])).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is told, each chunk is chosen once, and all are chosen in the end.
    #[test]
    fn every_chunk_is_chosen_once(
        chunks in 1..5000_u32,
        told in prop::collection::vec((1..3_usize, 0..5000_u32, any::<bool>(), prop::collection::vec(any::<u8>(), 1..40)), 0..20),
        here in prop::collection::btree_set(0..5000_u32, 0..300),
    ) {
        let mut got: Vec<bool> = (0..chunks).map(|chunk| here.contains(&chunk)).collect();
        let before = got.iter().filter(|got| **got).count();
        let mut swarm = Swarm::new(START, CONTENT, chunks, NAMES[0], Some(slot(0)), &|chunk| got[chunk as usize]);
        let mut chosen = BTreeSet::new();
        let mut told = told.into_iter();
        loop {
            if let Some((peer, first, whole, held)) = told.next() {
                swarm.told(START, slot(peer), NAMES[peer], &have(whole, first, &held));
            }
            let mut sources = all(&[0, 1, 2]);
            sources.slow.insert(slot(1));
            sources.slow.insert(slot(2));
            let choice = swarm.choose(sources).or_else(|| swarm.choose_of_others(START, sources));
            let Some(choice) = choice else { break };
            prop_assert!(choice.chunk < chunks);
            prop_assert!(chosen.insert(choice.chunk), "{} twice", choice.chunk);
            got[choice.chunk as usize] = true;
            swarm.has_come(START, choice.chunk, &|chunk| got[chunk as usize]);
        }
        prop_assert_eq!(chosen.len() + before, chunks as usize);
    }
}

#[test]
fn chunks_that_come_to_be_known_are_chosen_too() {
    let here = |chunk: u32| chunk < 128;
    let mut swarm = Swarm::new(START, CONTENT, 0, 1, Some(slot(0)), &|_| false);
    assert_eq!(swarm.choose(all(&[0])), None);
    let mut chunks = vec![];
    for known in [128, 256, 5000, 5011] {
        swarm.extend(known, &here);
        chunks.extend(
            drain(&mut swarm, all(&[0]))
                .iter()
                .map(|choice| choice.chunk),
        );
    }
    // The window is not moved by what is only asked for.
    assert_eq!(chunks, (128..128 + WINDOW).collect::<Vec<_>>());
    for chunk in 128..128 + WINDOW {
        swarm.has_come(START, chunk, &|other| other <= chunk);
    }
    let rest = drain(&mut swarm, all(&[0]));
    let rest: Vec<u32> = rest.iter().map(|choice| choice.chunk).collect();
    assert_eq!(rest, (128 + WINDOW..128 + 2 * WINDOW).collect::<Vec<_>>());
}

#[test]
fn those_who_fetch_a_draft_share_it_and_share_it_anew_under_its_name() {
    let named = ContentId([9; 32]);
    let chosen = |own: u64, is_named: bool| -> BTreeSet<u32> {
        let mut swarm = Swarm::new(START, CONTENT, 128, own, Some(slot(0)), &|_| false);
        for (place, name) in NAMES.iter().enumerate().filter(|(_, name)| **name != own) {
            swarm.told(START, slot(place + 1), *name, &have(false, 0, &[0]));
        }
        swarm.extend(900, &|_| false);
        if is_named {
            swarm.name(named);
            assert_eq!(swarm.content(), named);
        }
        drain(&mut swarm, all(&[0]))
            .iter()
            .map(|choice| choice.chunk)
            .collect()
    };
    for is_named in [false, true] {
        let parts = NAMES.map(|own| chosen(own, is_named));
        let count: usize = parts.iter().map(BTreeSet::len).sum();
        let all: BTreeSet<u32> = parts.iter().flatten().copied().collect();
        assert_eq!((count, all.len()), (900, 900));
    }
}
