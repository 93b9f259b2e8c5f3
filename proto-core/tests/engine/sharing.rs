//! Several transfers through one bottleneck: each gets the same, whatever its round trip is and whenever it began.

use crate::netsim::{MB, Path, Sim};

/// A transfer: its round trip, and when it begins, both in milliseconds.
type Flow = (u64, u64);

/// Pullers 0 to n - 1 of sources n to 2n - 1 over one wire.
struct Wire {
    sim: Sim,
    mbit: u64,
    flows: Vec<Flow>,
}

impl Wire {
    /// `queue`: of so many products of rate and longest round trip, at least 64 KiB. All have begun then.
    fn new(mbit: u64, queue: u64, flows: &[Flow]) -> Self {
        let longest = flows.iter().map(|(rtt, _)| *rtt).max().unwrap();
        let path = |rtt| Path {
            queue: (mbit * 125 * longest * queue).max(64 * 1024),
            ..Path::of_rate(mbit, rtt * 1000, 0)
        };
        let mut sim = Sim::new(1, path(longest));
        let count = flows.len();
        for puller in 0..count {
            sim.add_host([puller + count]);
        }
        for source in count..2 * count {
            sim.add_host([source - count]);
        }
        for (puller, (rtt, _)) in flows.iter().enumerate() {
            sim.net.set_both(puller, puller + count, path(*rtt));
            if puller > 0 {
                sim.net.share((puller + count, puller), (count, 0));
            }
        }
        let wants: Vec<_> = (0..count)
            .map(|puller| sim.add_content(puller as u64 + 1, 4000 * MB, &[puller + count]))
            .collect();
        sim.connect();
        let mut begins: Vec<_> = flows.iter().map(|(_, begin)| *begin).zip(0..).collect();
        begins.sort_unstable();
        let mut passed = 0;
        for (begin, puller) in begins {
            sim.run_ms(begin - passed);
            passed = begin;
            sim.want(puller, &wants[puller]);
        }
        Self {
            sim,
            mbit,
            flows: flows.to_vec(),
        }
    }

    fn came(&mut self) -> Vec<u64> {
        (0..self.flows.len())
            .map(|puller| self.sim.host(puller).new_bytes)
            .collect()
    }

    /// Lets all settle for some milliseconds; then in so many more each pair must share within 60:40, and use the wire.
    fn check_fair(mut self, settled: u64, ms: u64) {
        self.sim.run_ms(settled);
        let (begin, before) = (self.sim.now, self.came());
        self.sim.run_ms(ms);
        let mut got = self.came();
        for (got, before) in got.iter_mut().zip(before) {
            *got -= before;
        }
        let all: u64 = got.iter().sum();
        let used = all * 8 * 100 / (self.mbit * (self.sim.now - begin));
        let shares: Vec<_> = got.iter().map(|got| got * 1000 / all).collect();
        println!(
            "{} Mbit/s, round trip and begin {:?} ms: {shares:?} of 1000, {used} % used",
            self.mbit, self.flows
        );
        assert!(used >= 85, "{used} %");
        let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
        assert!(most * 40 <= least * 60, "{shares:?}");
    }
}

#[test]
fn two_that_begin_together_share_the_wire() {
    Wire::new(100, 2, &[(50, 0), (50, 0)]).check_fair(1500, 3000);
}

#[test]
fn one_that_begins_later_gets_as_much() {
    Wire::new(100, 2, &[(50, 0), (50, 5000)]).check_fair(8000, 4000);
    for queue in [1, 10] {
        Wire::new(10, queue, &[(50, 0), (50, 5000)]).check_fair(8000, 5000);
    }
}

#[test]
fn different_round_trips_get_as_much() {
    Wire::new(100, 2, &[(20, 0), (80, 0)]).check_fair(14_000, 4000);
    for flows in [[(20, 0), (80, 5000)], [(80, 0), (20, 5000)]] {
        Wire::new(10, 10, &flows).check_fair(15_000, 5000);
    }
}

#[test]
fn three_and_four_that_begin_one_after_the_other_get_as_much() {
    Wire::new(100, 1, &[(50, 0), (50, 2000), (50, 4000)]).check_fair(12_000, 3000);
    Wire::new(10, 10, &[(50, 0), (50, 3000), (50, 6000), (50, 9000)]).check_fair(15_000, 5000);
}

#[test]
fn a_fast_wire_is_shared_too() {
    Wire::new(400, 2, &[(20, 0), (20, 500)]).check_fair(5000, 1000);
}

/// A path of 100 Mbit/s takes three times as long from one moment on: it is used again within some seconds.
#[test]
fn a_longer_round_trip_is_found_out_and_filled() {
    let mut wire = Wire::new(100, 2, &[(50, 0)]);
    wire.sim.run_ms(5000);
    let longer = Path {
        queue: 100 * 125 * 150,
        ..Path::of_rate(100, 150_000, 0)
    };
    wire.sim.net.set_both(0, 1, longer);
    let used: Vec<_> = (0..15)
        .map(|_| {
            let before = wire.came()[0];
            wire.sim.run_ms(1000);
            (wire.came()[0] - before) * 8 / 1_000_000
        })
        .collect();
    println!("Mbit/s in each second: {used:?}");
    assert!(used[8..].iter().all(|mbit| *mbit >= 80), "{used:?}");
}
