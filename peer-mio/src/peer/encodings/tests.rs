//! When a piece is encoded, and what that costs where it does not pay.

use super::*;
use proto_core::index::entry::IndexId;
use std::cell::Cell;

const PIECE: usize = 65_536;

thread_local! {
    /// What the stopwatch says, and how much more with each look.
    static TIME: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

fn stopwatch() -> Duration {
    TIME.with(|time| {
        let (now, step) = time.get();
        time.set((now + step, step));
        Duration::from_micros(now)
    })
}

/// An encoder that takes so long for each piece.
fn encodings(micros: u64) -> Encodings {
    TIME.with(|time| time.set((0, micros)));
    let mut encodings = Encodings::default();
    encodings.set(true, Some(stopwatch));
    encodings
}

fn name(content: u8, number: u64) -> PieceName {
    PieceName {
        object: ObjectId::Content(ContentId([content; 32])),
        start: number * PIECE as u64,
        length: PIECE,
    }
}

fn any(rate: u64) -> Asked {
    Asked {
        encoding: Encoding::ANY,
        rate: Some(rate),
    }
}

fn text() -> Vec<u8> {
    b"again and again the same words, ".repeat(PIECE / 32)
}

fn noise() -> Vec<u8> {
    let mut noise = vec![0; PIECE];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}

/// What most of a hundred pieces come in, on a link of this rate, with an encoder of 65 MB/s.
fn mostly(rate: u64) -> Option<Encoding> {
    let mut encodings = encodings(1_000);
    let text = text();
    let chosen: Vec<_> = (0..100)
        .map(|number| encodings.choose(name(1, number), any(rate), &text))
        .map(|chosen| chosen.map(|(encoding, _)| encoding))
        .collect();
    let most = |of: Option<Encoding>| chosen.iter().filter(|chosen| **chosen == of).count();
    [None, Some(Encoding::FAST), Some(Encoding::SMALL)]
        .into_iter()
        .max_by_key(|of| most(*of))
        .unwrap()
}

#[test]
fn the_encoding_is_what_the_encoder_can_keep_up_with() {
    assert_eq!(mostly(1_000_000), Some(Encoding::SMALL));
    assert_eq!(mostly(20_000_000), Some(Encoding::SMALL));
    // It was tried before its speed was known, and is kept: 65 MB/s of it are more than twice these 28.
    assert_eq!(mostly(28_000_000), Some(Encoding::SMALL));
    // The fast one is to be 2.5 times as fast as the link; here it is no faster than the other.
    assert_eq!(mostly(31_000_000), None);
    assert_eq!(mostly(125_000_000), None);
    assert_eq!(mostly(u64::MAX), None);
}

#[test]
fn the_fast_encoder_is_used_where_the_small_one_is_too_slow() {
    let mut encodings = encodings(1);
    encodings.small.measure(PIECE, Duration::from_micros(850));
    encodings.fast.measure(PIECE, Duration::from_micros(350));
    // 77 MB/s and 187 MB/s.
    let mut of = |rate| encodings.affordable(rate);
    assert_eq!(of(30_000_000), Some(Encoding::FAST));
    assert_eq!(of(25_000_000), Some(Encoding::SMALL));
    // In use it stays in use a little longer.
    assert_eq!(of(25_500_000), Some(Encoding::SMALL));
    assert_eq!(of(36_000_000), Some(Encoding::FAST));
    assert_eq!(of(30_000_000), Some(Encoding::FAST));
    assert_eq!(of(70_000_000), Some(Encoding::FAST));
    assert_eq!(of(80_000_000), None);
}

#[test]
fn before_the_link_is_known_and_where_it_is_switched_off_nothing_is_encoded() {
    let mut encodings = encodings(1);
    let unknown = Asked {
        encoding: Encoding::ANY,
        rate: None,
    };
    assert_eq!(encodings.choose(name(1, 0), unknown, &text()), None);
    encodings.set(false, None);
    for encoding in [Encoding::ANY, Encoding::FAST] {
        let asked = Asked {
            encoding,
            rate: Some(1),
        };
        assert_eq!(encodings.choose(name(1, 0), asked, &text()), None);
    }
}

#[test]
fn what_was_begun_in_an_encoding_goes_on_in_it_however_slow_the_encoder() {
    let mut encodings = encodings(1_000_000);
    for encoding in [Encoding::FAST, Encoding::SMALL] {
        let asked = Asked {
            encoding,
            rate: Some(u64::MAX),
        };
        let (chosen, len) = encodings.choose(name(1, 0), asked, &text()).unwrap();
        assert_eq!(chosen, encoding);
        assert_eq!(encodings.kept(name(1, 0), encoding).unwrap().len(), len);
    }
}

#[test]
fn what_is_kept_goes_to_another_one_at_no_cost_whatever_is_wanted_of_the_encoder() {
    let mut encodings = encodings(1_000);
    encodings.fast.measure(PIECE, Duration::from_micros(1_000));
    let text = text();
    let slow = any(1_000_000);
    let chosen = encodings.choose(name(1, 0), slow, &text);
    assert_eq!(chosen.map(|(encoding, _)| encoding), Some(Encoding::SMALL));
    let too_much = any(1_000_000_000);
    assert_eq!(encodings.choose(name(1, 1), too_much, &text), None);
    let before = TIME.with(Cell::get);
    assert_eq!(encodings.choose(name(1, 0), too_much, &text), chosen);
    assert_eq!(TIME.with(Cell::get), before);
    // What begins to measure its path gets all as it is.
    let unknown = Asked {
        encoding: Encoding::ANY,
        rate: None,
    };
    assert_eq!(encodings.choose(name(1, 0), unknown, &text), None);
}

#[test]
fn an_encoder_that_was_slow_for_a_while_is_tried_again() {
    let mut encodings = encodings(100_000);
    let text = text();
    assert!(
        encodings
            .choose(name(1, 0), any(10_000_000), &text)
            .is_some()
    );
    assert!(
        encodings
            .choose(name(1, 1), any(10_000_000), &text)
            .is_some()
    );
    assert_eq!(encodings.choose(name(1, 2), any(10_000_000), &text), None);
    TIME.with(|time| time.set((0, 100)));
    let again = (3..2_000).find(|number| {
        let chosen = encodings.choose(name(1, *number), any(10_000_000), &text);
        chosen.is_some()
    });
    assert!(again.is_some_and(|again| again > 100), "{again:?}");
    let chosen = (2_000..2_100).filter(|number| {
        encodings
            .choose(name(1, *number), any(10_000_000), &text)
            .is_some()
    });
    assert!(chosen.count() > 50);
}

#[test]
fn noise_is_sampled_ever_more_rarely_and_text_behind_it_is_found() {
    let mut encodings = encodings(100);
    let (noise, text) = (noise(), text());
    let mut samples = 0;
    for number in 0..1_000 {
        let skipped = encodings.dull.front().is_some_and(|dull| dull.left > 0);
        samples += usize::from(!skipped);
        assert_eq!(encodings.choose(name(1, number), any(1_000), &noise), None);
    }
    assert!((30..50).contains(&samples), "{samples}");
    let found = (1_000..1_040).find(|number| {
        let chosen = encodings.choose(name(1, *number), any(1_000), &text);
        chosen.is_some()
    });
    assert!(found.is_some());
    assert!(
        encodings
            .choose(name(1, 2_000), any(1_000), &text)
            .is_some()
    );
    // Another content is none the worse for it.
    assert!(encodings.choose(name(2, 0), any(1_000), &text).is_some());
}

#[test]
fn memory_is_given_back_after_a_while() {
    let mut encodings = encodings(1);
    let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
    assert!(encodings.choose(name(1, 0), any(1_000), &text()).is_some());
    encodings.rest(at(10));
    encodings.rest(at(14));
    assert!(encodings.kept(name(1, 0), Encoding::SMALL).is_some());
    encodings.rest(at(15));
    assert!(encodings.kept(name(1, 0), Encoding::SMALL).is_none());
    assert!(encodings.choose(name(1, 0), any(1_000), &text()).is_some());
}

#[test]
fn a_journal_page_goes_encoded_on_any_link_and_is_new_to_who_begins_to_read_it() {
    let mut encodings = Encodings::default();
    let name = PieceName {
        object: ObjectId::Journal(IndexId(7)),
        start: 5,
        length: 0,
    };
    let any = Asked {
        encoding: Encoding::ANY,
        rate: None,
    };
    let (page, grown) = (vec![1; 1000], vec![2; 2000]);
    let (encoding, len) = encodings.choose(name, any, &page).unwrap();
    let before = encodings.kept(name, encoding).unwrap().to_vec();
    assert_eq!(before.len(), len);
    // Who reads on gets the page that it began to read.
    let on = Asked {
        encoding,
        rate: None,
    };
    assert_eq!(encodings.choose(name, on, &grown), Some((encoding, len)));
    assert_eq!(encodings.kept(name, encoding), Some(&before[..]));
    encodings.choose(name, any, &grown).unwrap();
    assert_ne!(encodings.kept(name, encoding), Some(&before[..]));
    // One of a single entry does not shrink.
    let mut noise = vec![0; 100];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    assert_eq!(encodings.choose(name, any, &noise), None);
    assert_eq!(encodings.kept(name, encoding), None);
}

#[test]
fn what_came_encoded_is_passed_on_as_it_came() {
    let mut encodings = encodings(1_000_000);
    encodings.pass_on(name(1, 0), Encoding::SMALL, b"as it came");
    let before = TIME.with(Cell::get);
    let chosen = encodings.choose(name(1, 0), any(1_000_000_000), &text());
    assert_eq!(chosen, Some((Encoding::SMALL, 10)));
    let kept = encodings.kept(name(1, 0), Encoding::SMALL);
    assert_eq!(kept, Some(&b"as it came"[..]));
    assert_eq!(TIME.with(Cell::get), before);
    // What is served already is not exchanged.
    encodings.pass_on(name(1, 0), Encoding::SMALL, b"another one");
    let kept = encodings.kept(name(1, 0), Encoding::SMALL);
    assert_eq!(kept, Some(&b"as it came"[..]));
    for number in 1..2_000 {
        encodings.pass_on(name(1, number), Encoding::FAST, &noise());
        let kept = encodings.kept(name(1, number), Encoding::FAST);
        assert_eq!(kept, Some(&noise()[..]));
    }
    encodings.pass_on(name(2, 0), Encoding::FAST, &vec![0; 2 * 1024 * 1024]);
    assert_eq!(encodings.kept(name(2, 0), Encoding::FAST), None);
}
