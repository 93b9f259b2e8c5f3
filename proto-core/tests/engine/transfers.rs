//! Bytes arrive whole over networks of all kinds, without much waste, at the rate of the path.

use crate::netsim::{MB, Path, Sim};

/// Microseconds, bytes that the source sent, and the longest queue on the way for one transfer.
struct Outcome {
    took: u64,
    sent: u64,
    queued: u64,
    size: usize,
    /// BLOCKs that brought nothing, and datagrams each way.
    useless: u64,
    asked: u64,
    answered: u64,
}

impl Outcome {
    /// Bytes of content in thousandths of what the path carries in that time.
    fn permille_of(&self, mbit: u64) -> u64 {
        self.size as u64 * 8 * 1000 / (self.took * mbit)
    }

    /// What the source sent, in thousandths of the content.
    fn sent_permille(&self) -> u64 {
        self.sent * 1000 / self.size as u64
    }
}

fn transfer(seed: u64, path: Path, size: usize) -> Outcome {
    let mut sim = Sim::group(seed, path, 2);
    let wants = sim.add_content(seed, size, &[1]);
    sim.connect();
    let (asked, before) = (sim.net.count(0, 1), sim.net.count(1, 0));
    let took = sim.pull_all(0, &wants, 600);
    let count = sim.net.count(1, 0);
    assert_eq!(
        sim.host(0).new_bytes as usize,
        size,
        "no byte is taken twice"
    );
    Outcome {
        took,
        sent: count.bytes - before.bytes,
        queued: count.queued,
        size,
        useless: sim.host(0).useless,
        asked: sim.net.count(0, 1).since(asked).datagrams,
        answered: count.since(before).datagrams,
    }
}

/// Paths that lose this many thousandths of all datagrams each way, and at most how much of the content the
/// source may send for it (thousandths): headers take 28, and what is lost is sent again.
#[test]
fn a_pull_arrives_whole_at_any_loss_and_with_little_waste() {
    for (loss, at_most) in [(0, 1035), (10, 1060), (50, 1150), (100, 1230), (300, 1750)] {
        for (delay, rate) in [(100, 0), (10_000, 100_000_000), (100_000, 1_000_000_000)] {
            for seed in 0..3 {
                let path = Path {
                    loss,
                    delay,
                    rate,
                    ..Path::default()
                };
                let outcome = transfer(seed, path, 3 * MB);
                let (sent, useless) = (outcome.sent_permille(), outcome.useless);
                let case = format!("loss {loss}, delay {delay}, seed {seed}");
                assert!(sent <= at_most, "{case}: {sent}");
                // Nothing overtakes anything here, so what did not come was lost.
                assert!(useless * 500 <= outcome.answered, "{case}: {useless}");
            }
        }
    }
}

#[test]
fn nothing_is_asked_for_twice_without_loss() {
    for path in [
        Path::default(),
        Path::of_rate(10, 200, 0),
        Path::of_rate(100, 20_000, 0),
        Path::of_rate(1000, 1000, 0),
        Path::of_rate(1000, 200_000, 0),
    ] {
        let outcome = transfer(1, path, 20 * MB);
        assert_eq!(outcome.useless, 0, "{path:?}");
        // Every piece has its last segment, and every segment its headers.
        assert!(
            outcome.sent_permille() < 1040,
            "{path:?}: {}",
            outcome.sent_permille()
        );
        // A REQUEST asks for many segments, or the requests are half of the traffic.
        assert!(
            outcome.asked * 8 < outcome.answered,
            "{path:?}: {} datagrams for {}",
            outcome.asked,
            outcome.answered
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let path = Path {
        loss: 50,
        jitter: 500,
        ..Path::of_rate(100, 10_000, 50)
    };
    let run = |seed| {
        let outcome = transfer(seed, path, 3 * MB);
        (outcome.took, outcome.sent, outcome.asked, outcome.answered)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_pull_arrives_whole_when_datagrams_come_twice() {
    let path = Path {
        duplication: 300,
        ..Path::default()
    };
    let outcome = transfer(1, path, 5 * MB);
    assert!(
        outcome.sent_permille() < 1040,
        "{}",
        outcome.sent_permille()
    );
}

#[test]
fn a_pull_arrives_whole_when_datagrams_overtake_each_other_and_little_is_asked_for_again() {
    for seed in 0..3 {
        let path = Path {
            delay: 5000,
            jitter: 1000,
            reordering: 50,
            held_back: 2000,
            ..Path::default()
        };
        let outcome = transfer(seed, path, 5 * MB);
        assert!(
            outcome.sent_permille() < 1060,
            "{}",
            outcome.sent_permille()
        );
    }
}

#[test]
fn a_gigabit_link_is_filled() {
    let outcome = transfer(1, Path::of_rate(1000, 200, 0), 50 * MB);
    assert!(
        outcome.permille_of(1000) >= 850,
        "{}",
        outcome.permille_of(1000)
    );
}

#[test]
fn a_gigabit_link_with_one_percent_loss_is_mostly_filled() {
    let outcome = transfer(1, Path::of_rate(1000, 200, 10), 50 * MB);
    assert!(
        outcome.permille_of(1000) >= 550,
        "{}",
        outcome.permille_of(1000)
    );
}

#[test]
fn a_long_path_is_filled() {
    let outcome = transfer(1, Path::of_rate(100, 50_000, 0), 50 * MB);
    assert!(
        outcome.permille_of(100) >= 800,
        "{}",
        outcome.permille_of(100)
    );
}

#[test]
fn a_slow_lossy_path_is_used_and_its_queue_stays_short() {
    let outcome = transfer(1, Path::of_rate(10, 10_000, 50), 5 * MB);
    assert!(
        outcome.permille_of(10) >= 700,
        "{}",
        outcome.permille_of(10)
    );
    assert!(outcome.queued < 128 * 1024, "{}", outcome.queued);
}
