//! How much of a path is used, how long others wait in its queue, and what marks of routers do to both.

use crate::netsim::{MB, Path, SECOND, Sim, slot};

const MBIT: u64 = 100;
const RTT: u64 = 50_000;
/// Bytes that the path itself holds.
const PRODUCT: u64 = MBIT * RTT / 8;

fn pair(path: Path) -> Sim {
    let mut sim = Sim::new(1, path);
    sim.add_host([1]);
    sim.add_host([0]);
    sim
}

/// What a long transfer does to its path, from two seconds after its begin on.
struct Steady {
    /// Thousandths of the rate that the bytes of the content take.
    used: u64,
    /// Microseconds that a datagram of somebody else would wait in the queue, seen every 5 ms: in the mean, 99 of
    /// 100, and most.
    mean: u64,
    p99: u64,
    most: u64,
}

fn steady(path: Path) -> Steady {
    steady_of(path, 1)
}

/// The same of `count` transfers from one host each to one other each, through one queue.
fn steady_of(path: Path, count: usize) -> Steady {
    let mut sim = Sim::new(1, path);
    for place in 0..count {
        sim.add_host([2 * place + 1]);
        sim.add_host([2 * place]);
        if place > 0 {
            sim.net.share((2 * place + 1, 2 * place), (1, 0));
        }
    }
    let wants: Vec<_> = (0..count)
        .map(|place| sim.add_content(place as u64, 110 * MB, &[2 * place + 1]))
        .collect();
    sim.connect();
    for (place, wants) in wants.iter().enumerate() {
        sim.want(2 * place, wants);
    }
    sim.run_ms(2000);
    let came =
        |sim: &mut Sim| -> u64 { (0..count).map(|place| sim.host(2 * place).new_bytes).sum() };
    let (begin, before) = (sim.now, came(&mut sim));
    let mut waits = Vec::new();
    while sim.now < begin + 6 * SECOND {
        sim.run_ms(5);
        waits.push(sim.net.wait(sim.now, 1, 0));
    }
    waits.sort_unstable();
    let bytes = came(&mut sim) - before;
    Steady {
        used: bytes * 8 * 1000 / (MBIT * (sim.now - begin)),
        mean: waits.iter().sum::<u64>() / waits.len() as u64,
        p99: waits[waits.len() * 99 / 100],
        most: waits[waits.len() - 1],
    }
}

/// 100 MB, so that start-up is a small part of it.
#[test]
fn a_hundred_megabits_and_fifty_milliseconds_are_used() {
    for (loss, at_least) in [(0, 90), (20, 80)] {
        let mut sim = pair(Path::bottleneck(MBIT, RTT, loss));
        let wants = sim.add_content(1, 100 * MB, &[1]);
        sim.connect();
        let took = sim.pull_all(0, &wants, 60);
        let used = 100 * MB as u64 * 8 * 100 / (MBIT * took);
        println!("{loss} of 1000 lost: {used} % of the rate");
        assert!(used >= at_least, "{loss}: {used} %");
    }
}

#[test]
fn others_wait_little_where_the_buffer_is_long() {
    let deep = Path {
        queue: 10 * PRODUCT,
        ..Path::of_rate(MBIT, RTT, 0)
    };
    let steady = steady(deep);
    println!(
        "used {}, waits: mean {} us, p99 {}, most {}",
        steady.used, steady.mean, steady.p99, steady.most
    );
    assert!(steady.used >= 900, "{}", steady.used);
    assert!(steady.most <= 60_000, "{}", steady.most);
}

/// Three transfers over one wire: one alone makes no queue that is worth a mark.
#[test]
fn marks_make_queues_short_and_cost_little() {
    let deep = Path {
        queue: 10 * PRODUCT,
        ..Path::of_rate(MBIT, RTT, 0)
    };
    let marking = Path {
        marks_at: PRODUCT / 10,
        ..deep
    };
    let (without, with) = (steady_of(deep, 3), steady_of(marking, 3));
    println!(
        "used {} and {}, waits: mean {} and {} us, p99 {} and {}",
        without.used, with.used, without.mean, with.mean, without.p99, with.p99
    );
    assert!(with.used >= 900, "{}", with.used);
    assert!(with.mean * 10 <= without.mean * 8, "{}", with.mean);
    assert!(with.p99 <= without.p99, "{}", with.p99);
}

/// Something that marks whatever it sees says nothing.
#[test]
fn a_path_that_marks_everything_is_used_all_the_same() {
    let mut path = Path::bottleneck(MBIT, RTT, 0);
    path.marks_at = 0;
    let marked = steady(path);
    assert!(marked.used >= 850, "{}", marked.used);
}

#[test]
fn a_path_that_drops_what_may_be_marked_is_used_without() {
    let path = Path {
        drops_ect: true,
        ..Path::of_rate(MBIT, 10_000, 0)
    };
    let mut sim = pair(path);
    let wants = sim.add_content(1, 5 * MB, &[1]);
    sim.connect();
    let status = sim.host(0).engine.status(slot(1)).unwrap();
    assert_eq!(status.datagram, 1452);
    let took = sim.pull_all(0, &wants, 20);
    assert!(took < SECOND, "{took}");
}

#[test]
fn a_path_that_begins_to_drop_what_may_be_marked_is_used_on() {
    let path = Path::of_rate(MBIT, 10_000, 0);
    let mut sim = pair(path);
    let wants = sim.add_content(1, 20 * MB, &[1]);
    sim.connect();
    sim.want(0, &wants);
    sim.run_ms(500);
    let drops = Path {
        drops_ect: true,
        ..path
    };
    sim.net.set_both(0, 1, drops);
    let already = sim.host(0).done.len();
    assert!(already > 0 && already < wants.len());
    let took = sim.until(20, |sim| sim.host(0).done.len() == wants.len());
    assert!(took.is_some_and(|took| took < 8 * SECOND), "{took:?}");
}
