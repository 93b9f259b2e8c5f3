//! Transfers over simulated paths as a table that is checked in (`netsim.txt`): whoever changes the flow
//! sees what it does. `BLESS=1` writes it anew.

use crate::netsim::{MB, Path, Sim};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Mutex;

const HEAD: &str = "\
# Transfers between two engines over a simulated path (tests/engine/table.rs). The path has a bottleneck
# with a drop-tail queue of one bandwidth-delay product, at least 64 KiB; nothing paces in front of it.
# loss %, rtt ms, rate Mbit/s: of datagrams each way, the round trip, the path
# buf KiB, size MB: the puller's receive buffer, the content
# time ms: from the first request to the last byte
# used %: of the rate by the bytes of the content; late %: the same in the second half of the transfer
# sent %: bytes of datagrams that the source sent, of the content (102.8: the headers alone)
# over %: datagrams of the source that the full queue dropped
# spur %: datagrams that came and brought nothing new (spurious repeats)
# wait ms: in the queue, the mean; most ms: the longest
#oss   rtt rate  buf size    time  used  late   sent  over  spur   wait   most
";

struct Case {
    loss: u64,
    rtt: u64,
    mbit: u64,
    receive_buffer: usize,
}

/// What tinypeer asks for, and what a Linux kernel grants by default.
const BUFFERS: [usize; 2] = [4 * 1024 * 1024, 208 * 1024];

impl Case {
    /// Long enough to be in steady state for most of the time.
    fn size(&self) -> usize {
        match (self.mbit, self.rtt) {
            (10, _) => 8 * MB,
            (100, _) => 30 * MB,
            (_, 200_000) => 120 * MB,
            _ => 80 * MB,
        }
    }

    fn row(&self) -> String {
        let Self {
            loss,
            rtt,
            mbit,
            receive_buffer,
        } = *self;
        let size = self.size();
        let mut sim = Sim::new(1, Path::bottleneck(mbit, rtt, loss));
        sim.receive_buffer = receive_buffer;
        sim.add_host([1]);
        sim.add_host([0]);
        let wants = sim.add_content(1, size, &[1]);
        sim.connect();
        let before = sim.net.count(1, 0);
        let useless = sim.host(0).useless;
        let begin = sim.now;
        sim.want(0, &wants);
        sim.until_done(0, wants.len() / 2, 3600);
        let (half, half_bytes) = (sim.now, sim.host(0).new_bytes);
        sim.until_done(0, wants.len() - wants.len() / 2, 3600);
        let time = sim.now - begin;
        let count = sim.net.count(1, 0).since(before);
        let used = |bytes: u64, time: u64| permille(bytes * 8, time * mbit);
        format!(
            "{:>4} {:>5} {mbit:>4} {:>4} {:>4} {:>7} {:>5} {:>5} {:>6} {:>5} {:>5} {:>6} {:>6}",
            tenth(loss),
            tenth(rtt / 100),
            receive_buffer / 1024,
            size / MB,
            time / 1000,
            tenth(used(size as u64, time)),
            tenth(used(size as u64 - half_bytes, sim.now - half)),
            tenth(permille(count.bytes, size as u64)),
            tenth(permille(count.overflown, count.datagrams)),
            tenth(permille(sim.host(0).useless - useless, count.datagrams)),
            tenth(count.waited / (count.datagrams - count.overflown) / 100_000),
            tenth(count.waited_most / 100_000),
        )
    }
}

fn permille(part: u64, whole: u64) -> u64 {
    part * 1000 / whole
}

/// A number of tenths.
fn tenth(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

fn table() -> String {
    let [usual, small] = BUFFERS;
    let mut cases = Vec::new();
    for (receive_buffer, losses, rates) in [
        (usual, &[0, 1, 10, 50, 100][..], &[10, 100, 1000][..]),
        (small, &[0, 10], &[100, 1000]),
    ] {
        for loss in losses {
            for rtt in [100, 10_000, 50_000, 200_000] {
                for mbit in rates {
                    cases.push(Case {
                        loss: *loss,
                        rtt,
                        mbit: *mbit,
                        receive_buffer,
                    });
                }
            }
        }
    }
    // Each row is a simulation of its own, so the machine's cores share them.
    let rows = Mutex::new(vec![String::new(); cases.len()]);
    let next = Mutex::new(0..cases.len());
    let work = || {
        let take = || next.lock().unwrap().next();
        while let Some(place) = take() {
            let row = cases[place].row();
            rows.lock().unwrap()[place] = row;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let rows = rows.into_inner().unwrap();
    format!("{HEAD}{}\n", rows.join("\n"))
}

#[test]
fn transfer_times_are_those_of_the_table() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/engine/netsim.txt");
    let is = table();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &is).unwrap();
        return;
    }
    let was = std::fs::read_to_string(&file).unwrap_or_default();
    let mut difference = String::new();
    let mut was_lines = was.lines();
    for is in is.lines() {
        let was = was_lines.next().unwrap_or_default();
        if is != was {
            writeln!(difference, "- {was}\n+ {is}").unwrap();
        }
    }
    assert!(
        is == was,
        "netsim.txt differs:\n{difference}\nIf that is meant: BLESS=1 cargo test -p proto-core --test engine table"
    );
}
