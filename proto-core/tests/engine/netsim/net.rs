//! A seeded network: between any two nodes and in each direction a path with a rate and a drop-tail queue,
//! delay, jitter, loss, duplication and reordering. The same seed gives the same run, byte for byte.

use super::random::Random;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Bytes of IPv4 and UDP headers that each datagram takes of the rate.
pub const HEADERS: u64 = 28;

/// One direction of a path. Times in microseconds, chances in thousandths.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    pub delay: u64,
    /// At most this much is added to the delay, for each datagram another; so they overtake each other.
    pub jitter: u64,
    pub loss: u64,
    pub duplication: u64,
    /// Chance to be held back by `held_back`.
    pub reordering: u64,
    pub held_back: u64,
    /// Bits per second; 0: no limit.
    pub rate: u64,
    /// Bytes that wait at most for the rate; what does not fit is dropped.
    pub queue: u64,
    /// Datagrams longer than this many bytes of UDP payload are dropped.
    pub longest: usize,
    pub cut: bool,
    /// Datagrams that say ECT are marked when so many bytes wait, themselves counted.
    pub marks_at: u64,
    /// Those that say ECT are dropped.
    pub drops_ect: bool,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: 100,
            jitter: 0,
            loss: 0,
            duplication: 0,
            reordering: 0,
            held_back: 0,
            rate: 0,
            queue: u64::MAX,
            longest: usize::MAX,
            cut: false,
            marks_at: u64::MAX,
            drops_ect: false,
        }
    }
}

impl Path {
    /// A path of `mbit` Mbit/s, round trip `rtt` microseconds, and a queue of 100 ms, at least 256 KiB.
    pub fn of_rate(mbit: u64, rtt: u64, loss: u64) -> Self {
        Self {
            delay: rtt / 2,
            loss,
            rate: mbit * 1_000_000,
            queue: (mbit * 12_500).max(256 * 1024),
            ..Self::default()
        }
    }

    /// The same with a queue of one bandwidth-delay product, at least 64 KiB.
    pub fn bottleneck(mbit: u64, rtt: u64, loss: u64) -> Self {
        Self {
            queue: (mbit * rtt / 8).max(64 * 1024),
            ..Self::of_rate(mbit, rtt, loss)
        }
    }

    /// The same path, but nothing gets through.
    pub fn severed(self) -> Self {
        Self { cut: true, ..self }
    }
}

/// What happened on one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Datagrams that were sent, whatever became of them, and their bytes of UDP payload.
    pub datagrams: u64,
    pub bytes: u64,
    /// Dropped because the queue was full.
    pub overflown: u64,
    /// Marked instead of dropped.
    pub marked: u64,
    /// Most bytes that waited.
    pub queued: u64,
    /// Nanoseconds that datagrams waited for those before them: all together, and one at most.
    pub waited: u64,
    pub waited_most: u64,
}

impl Count {
    /// What happened since `before`; the greatest values are those of the whole time.
    pub fn since(self, before: Self) -> Self {
        Self {
            datagrams: self.datagrams - before.datagrams,
            bytes: self.bytes - before.bytes,
            overflown: self.overflown - before.overflown,
            marked: self.marked - before.marked,
            waited: self.waited - before.waited,
            ..self
        }
    }
}

#[derive(Default)]
struct Direction {
    path: Path,
    /// When the wire is free again, in nanoseconds.
    free_at: u64,
    /// Whose wire it shares instead.
    shares: Option<(usize, usize)>,
    count: Count,
}

/// A datagram under way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Flying {
    pub at: u64,
    number: u64,
    pub from: usize,
    pub to: usize,
    pub bytes: Vec<u8>,
    pub mark: bool,
}

/// All directions and what is under way.
pub struct Net {
    random: Random,
    directions: BTreeMap<(usize, usize), Direction>,
    flying: BinaryHeap<Reverse<Flying>>,
    number: u64,
    /// Every path that was not set.
    usual: Path,
}

impl Net {
    pub fn new(seed: u64, usual: Path) -> Self {
        Self {
            random: Random(seed),
            directions: BTreeMap::new(),
            flying: BinaryHeap::new(),
            number: 0,
            usual,
        }
    }

    fn direction(&mut self, from: usize, to: usize) -> &mut Direction {
        let path = self.usual;
        self.directions
            .entry((from, to))
            .or_insert_with(|| Direction {
                path,
                ..Direction::default()
            })
    }

    /// Changes one direction.
    pub fn set(&mut self, from: usize, to: usize, path: Path) {
        self.direction(from, to).path = path;
    }

    /// Changes both directions.
    pub fn set_both(&mut self, a: usize, b: usize, path: Path) {
        self.set(a, b, path);
        self.set(b, a, path);
    }

    /// From now on what goes one way waits in the queue of another, whose path has the same rate.
    pub fn share(&mut self, way: (usize, usize), with: (usize, usize)) {
        self.direction(way.0, way.1).shares = Some(with);
    }

    /// Microseconds that a datagram which is sent now waits for those before it.
    pub fn wait(&mut self, now: u64, from: usize, to: usize) -> u64 {
        self.direction(from, to).free_at.saturating_sub(now * 1000) / 1000
    }

    pub fn count(&mut self, from: usize, to: usize) -> Count {
        self.direction(from, to).count
    }

    /// Datagrams that all nodes sent.
    pub fn total(&self) -> u64 {
        let directions = self.directions.values();
        directions.map(|direction| direction.count.datagrams).sum()
    }

    /// A datagram is sent at `now` (microseconds).
    /// `ect`: it says that it may be marked.
    pub fn send(&mut self, now: u64, from: usize, to: usize, bytes: &[u8], ect: bool) {
        let mut random = self.random.clone();
        let shared = self.direction(from, to).shares.unwrap_or((from, to));
        let free_at = self.direction(shared.0, shared.1).free_at;
        let direction = self.direction(from, to);
        direction.count.datagrams += 1;
        direction.count.bytes += bytes.len() as u64;
        let path = direction.path;
        let mut leaves = now * 1000;
        let mut mark = false;
        let mut free_then = free_at;
        let size = bytes.len() as u64 + HEADERS;
        if let Some(on_wire) = (size * 8 * 1_000_000_000).checked_div(path.rate) {
            let waits = free_at.saturating_sub(leaves);
            let queued = waits * path.rate / 8 / 1_000_000_000 + size;
            if queued > path.queue {
                direction.count.overflown += 1;
                return;
            }
            let count = &mut direction.count;
            count.queued = count.queued.max(queued);
            count.waited += waits;
            count.waited_most = count.waited_most.max(waits);
            mark = ect && queued > path.marks_at;
            count.marked += u64::from(mark);
            free_then = free_at.max(leaves) + on_wire;
            leaves = free_then;
        }
        self.direction(shared.0, shared.1).free_at = free_then;
        let copies = 1 + usize::from(random.chance(path.duplication));
        for _ in 0..copies {
            let dropped = path.cut || (ect && path.drops_ect);
            let lost = dropped || random.chance(path.loss) || bytes.len() > path.longest;
            let mut at = leaves.div_ceil(1000) + path.delay + random.below(path.jitter + 1);
            if random.chance(path.reordering) {
                at += path.held_back;
            }
            if !lost {
                self.number += 1;
                self.flying.push(Reverse(Flying {
                    at,
                    number: self.number,
                    from,
                    to,
                    bytes: bytes.to_vec(),
                    mark,
                }));
            }
        }
        self.random = random;
    }

    /// When the next datagram arrives.
    pub fn next(&self) -> Option<u64> {
        self.flying.peek().map(|Reverse(flying)| flying.at)
    }

    /// The next datagram, if it arrives by `now`.
    pub fn arrived(&mut self, now: u64) -> Option<Flying> {
        if self.next()? > now {
            return None;
        }
        self.flying.pop().map(|Reverse(flying)| flying)
    }
}
