//! Pieces that travel encoded: what counts is what travels.

use crate::netsim::{MB, Path, Shrinking, Sim, slot};
use proto_core::wire::encoding::Encoding;

struct Outcome {
    took: u64,
    /// Bytes that the source sent, and bytes of pieces that arrived.
    sent: u64,
    came: u64,
    useless: u64,
}

fn transfer(seed: u64, path: Path, size: usize, shrinking: Shrinking) -> Outcome {
    let mut sim = Sim::group(seed, path, 2);
    let wants = sim.add_content(seed, size, &[1]);
    sim.host(1).library.shrinking = shrinking;
    sim.connect();
    let before = sim.net.count(1, 0);
    let took = sim.pull_all(0, &wants, 600);
    assert_eq!(sim.host(0).corrupted, 0);
    Outcome {
        took,
        sent: sim.net.count(1, 0).bytes - before.bytes,
        came: sim.host(0).new_bytes,
        useless: sim.host(0).useless,
    }
}

impl Outcome {
    /// What was sent, in thousandths of what the path carries in that time.
    fn permille_of(&self, mbit: u64) -> u64 {
        self.sent * 8 * 1000 / (self.took * mbit)
    }
}

#[test]
fn what_shrinks_fills_the_link_as_well_as_what_does_not() {
    for (rtt, part, least) in [
        (200, 3, 930),
        (200, 8, 900),
        (20_000, 3, 900),
        (100_000, 3, 700),
    ] {
        let path = Path::of_rate(100, rtt, 0);
        let outcome = transfer(1, path, 100 * MB, Shrinking::To(part));
        let case = format!("{rtt} us, a {part}th");
        assert!(
            outcome.permille_of(100) >= least,
            "{case}: {}",
            outcome.permille_of(100)
        );
        assert_eq!(outcome.useless, 0, "{case}");
        let whole = (100 * MB / part) as u64;
        assert!(outcome.came < whole * 101 / 100, "{case}: {}", outcome.came);
        // As without encodings: headers, and nothing twice.
        assert!(
            outcome.sent < outcome.came * 104 / 100,
            "{case}: {}",
            outcome.sent
        );
    }
}

#[test]
fn what_shrinks_here_and_there_fills_the_link_too() {
    for seed in 0..2 {
        let path = Path::of_rate(100, 2_000, 0);
        let outcome = transfer(seed, path, 50 * MB, Shrinking::Half);
        assert!(
            outcome.permille_of(100) >= 900,
            "{}",
            outcome.permille_of(100)
        );
        assert_eq!(outcome.useless, 0);
    }
}

#[test]
fn what_is_lost_of_an_encoded_piece_is_repaired_in_its_encoding() {
    for (loss, at_most) in [(10, 1090), (50, 1200), (300, 1900)] {
        for seed in 0..3 {
            let path = Path {
                loss,
                ..Path::of_rate(100, 10_000, 0)
            };
            let outcome = transfer(seed, path, 6 * MB, Shrinking::To(3));
            let whole = (2 * MB) as u64;
            assert!(
                outcome.came < whole * 102 / 100,
                "{loss}, {seed}: {}",
                outcome.came
            );
            assert!(
                outcome.sent * 1000 / whole <= at_most,
                "{loss}, {seed}: {}",
                outcome.sent
            );
        }
    }
}

#[test]
fn a_server_is_told_what_the_link_carries_as_soon_as_that_is_known() {
    let mut sim = Sim::group(1, Path::of_rate(100, 2_000, 0), 2);
    let wants = sim.add_content(1, 40 * MB, &[1]);
    sim.host(1).library.shrinking = Shrinking::To(3);
    sim.connect();
    sim.pull_all(0, &wants, 60);
    let told: Vec<_> = sim
        .host(1)
        .library
        .encodings
        .iter()
        .map(|asked| asked.rate)
        .collect();
    assert_eq!(told[0], None);
    let known = told.iter().position(Option::is_some).unwrap();
    assert!(known < told.len() / 3, "{known} of {}", told.len());
    for rate in told.iter().skip(known) {
        assert!(
            (10_000_000..15_000_000).contains(&rate.unwrap()),
            "{rate:?}"
        );
    }
}

/// The rates that the server is told while so many of two peers fetch for a second, each over 100 Mbit/s of its own.
fn told_while(fetching: &[usize]) -> Vec<u64> {
    let mut sim = Sim::group(1, Path::of_rate(100, 2_000, 0), 3);
    sim.host(2).library.shrinking = Shrinking::To(3);
    sim.connect();
    for puller in fetching {
        let wants = sim.add_content(*puller as u64, 400 * MB, &[2]);
        sim.want(*puller, &wants);
    }
    sim.run_ms(500);
    sim.host(2).library.encodings.clear();
    sim.run_ms(1000);
    let asked = &sim.host(2).library.encodings;
    asked.iter().filter_map(|asked| asked.rate).collect()
}

#[test]
fn a_server_is_told_what_all_who_fetch_from_it_get() {
    let alone = told_while(&[0]);
    assert!(
        !alone.is_empty() && alone.iter().all(|rate| *rate < 15_000_000),
        "{alone:?}"
    );
    let both = told_while(&[0, 1]);
    assert!(
        !both.is_empty()
            && both
                .iter()
                .all(|rate| (20_000_000..30_000_000).contains(rate)),
        "{both:?}"
    );
}

#[test]
fn who_has_all_is_not_in_what_the_others_get() {
    let mut sim = Sim::group(1, Path::of_rate(100, 2_000, 0), 3);
    sim.host(2).library.shrinking = Shrinking::To(3);
    sim.connect();
    let all = sim.add_content(1, 400 * MB, &[2]);
    sim.want(0, &all);
    let few = sim.add_content(2, 4 * MB, &[2]);
    sim.pull_all(1, &few, 60);
    sim.run_ms(300);
    sim.host(2).library.encodings.clear();
    sim.run_ms(500);
    let asked = &sim.host(2).library.encodings;
    assert!(!asked.is_empty());
    assert!(
        asked
            .iter()
            .all(|asked| asked.rate.is_some_and(|rate| rate < 15_000_000)),
        "{asked:?}"
    );
}

#[test]
fn who_wants_no_encodings_asks_for_none() {
    let mut sim = Sim::group(1, Path::default(), 2);
    let wants = sim.add_content(1, 3 * MB, &[1]);
    sim.host(1).library.shrinking = Shrinking::To(3);
    sim.host(0).engine.allow_encodings(false);
    sim.connect();
    sim.pull_all(0, &wants, 60);
    assert!(sim.host(1).library.encodings.is_empty());
    assert_eq!(sim.host(0).new_bytes, 3 * MB as u64);
}

#[test]
fn what_fits_into_one_datagram_is_never_encoded() {
    let mut sim = Sim::group(1, Path::default(), 2);
    let wants = sim.add_content(1, 1100, &[1]);
    sim.host(1).library.shrinking = Shrinking::To(3);
    sim.connect();
    sim.pull_all(0, &wants, 60);
    assert!(sim.host(1).library.encodings.is_empty());
}

#[test]
fn who_never_sends_a_piece_in_the_same_way_twice_is_left_for_somebody_else() {
    let path = Path {
        loss: 100,
        ..Path::of_rate(100, 10_000, 0)
    };
    let mut sim = Sim::group(1, path, 3);
    let mut wants = sim.add_content(1, 2 * MB, &[1, 2]);
    sim.host(1).library.shrinking = Shrinking::Never;
    for want in &mut wants {
        want.prefer = Some(slot(1));
    }
    sim.connect();
    sim.pull_all(0, &wants, 60);
    assert_eq!(sim.host(0).failed, []);
    let fickle = sim.host(1).library.encodings.len();
    // Each piece is begun anew three times at most, by as many requests as its repair takes.
    assert!(fickle < wants.len() * 30, "{fickle}");
}

#[test]
fn wrong_bytes_that_came_encoded_are_asked_for_as_they_are() {
    let mut sim = Sim::group(1, Path::default(), 3);
    let wants = sim.add_content(1, 2 * MB, &[1, 2]);
    sim.host(1).library.shrinking = Shrinking::To(3);
    sim.host(2).library.shrinking = Shrinking::To(3);
    sim.host(1).library.serving = crate::netsim::Serving::Corrupt;
    sim.connect();
    sim.pull_all(0, &wants, 60);
    assert!(sim.host(0).corrupted > 0);
    let asked = &sim.host(2).library.encodings;
    assert!(asked.iter().all(|asked| asked.encoding != Encoding::NONE));
}
