//! Limits that the user set: they hold within 3 %, for all peers together, and hold up nothing but BLOCKs.

use crate::netsim::{MB, Path, SECOND, Sim, slot};
use proto_core::engine::Limits;

/// Bytes in a second.
const RATES: [u64; 4] = [200_000, 1_000_000, 5_000_000, 20_000_000];

/// Three hosts on a fast network, the first with limits.
fn limited(limits: Limits, rtt: u64) -> Sim {
    let mut sim = Sim::new(1, Path::of_rate(1000, rtt, 0));
    sim.limits = limits;
    sim.add_host([1, 2]);
    sim.limits = Limits::default();
    sim.add_host([0, 2]);
    sim.add_host([0, 1]);
    sim
}

/// Bytes that went from these to those.
fn count(sim: &mut Sim, from: &[usize], to: &[usize]) -> u64 {
    let mut bytes = 0;
    for a in from {
        for b in to {
            bytes += sim.net.count(*a, *b).bytes;
        }
    }
    bytes
}

/// Whether what went in `seconds` is the rate within 3 %, and two datagrams.
fn keeps(sim: &mut Sim, rate: u64, from: &[usize], to: &[usize]) {
    let seconds = if rate < 1_000_000 { 20 } else { 3 };
    let before = count(sim, from, to);
    sim.run_ms(seconds * 1000);
    let went = count(sim, from, to) - before;
    let (allowed, spare) = (rate * seconds, rate * seconds * 3 / 100 + 2400);
    assert!(
        went.abs_diff(allowed) <= spare,
        "{rate}: {went} of {allowed}, {:.3}",
        went as f64 / allowed as f64
    );
}

#[test]
fn what_is_sent_keeps_the_limit() {
    for (rate, pullers, rtt) in RATES
        .into_iter()
        .flat_map(|rate| [(rate, 1, 200), (rate, 2, 200), (rate, 2, 50_000)])
    {
        let up = Some(rate);
        let mut sim = limited(Limits { up, down: None }, rtt);
        let size = usize::try_from(rate).unwrap() * 25;
        for puller in 1..=pullers {
            let wants = sim.add_content(puller as u64, size.min(110 * MB), &[0]);
            sim.connect();
            sim.want(puller, &wants);
        }
        sim.run_ms(1000);
        keeps(&mut sim, rate, &[0], &[1, 2]);
    }
}

#[test]
fn what_is_received_keeps_the_limit() {
    for (rate, sources, rtt) in RATES
        .into_iter()
        .flat_map(|rate| [(rate, 1, 200), (rate, 2, 200), (rate, 2, 50_000)])
    {
        let down = Some(rate);
        let mut sim = limited(Limits { up: None, down }, rtt);
        let size = usize::try_from(rate).unwrap() * 25;
        for source in 1..=sources {
            let mut wants = sim.add_content(source as u64, size.min(110 * MB), &[source]);
            for want in &mut wants {
                // Else half of them are refused by the other one, and their room is free again a round trip later.
                want.prefer = Some(slot(source));
            }
            sim.connect();
            sim.want(0, &wants);
        }
        sim.run_ms(1000);
        keeps(&mut sim, rate, &[1, 2], &[0]);
    }
}

#[test]
fn a_limit_makes_no_change_late() {
    let limits = Limits {
        up: Some(100_000),
        down: Some(100_000),
    };
    let mut sim = limited(limits, 1000);
    let out = sim.add_content(1, 5 * MB, &[0]);
    let into = sim.add_content(2, 5 * MB, &[1]);
    sim.connect();
    sim.want(1, &out);
    sim.want(0, &into);
    sim.run_ms(3000);
    for number in 0..5 {
        sim.change(0, &format!("out{number}"));
        sim.change(1, &format!("in{number}"));
        let took = sim.until(5, |sim| {
            sim.learned(1, 0) > number && sim.learned(0, 1) > number
        });
        // A round trip, and what may be in the queue of the path at a limit of so many bytes.
        assert!(took.is_some_and(|took| took < SECOND / 10), "{took:?}");
        sim.run_ms(300);
    }
}
