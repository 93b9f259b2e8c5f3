//! BBR's model of a path (draft-cardwell-iccrg-bbr-congestion-control), driven by the puller: how fast to
//! ask and how much may be outstanding, from the delivery rate and the least round trip; congestion marks and a
//! queue that stands lower the latter.

use super::queue;
use crate::time::{Duration, Instant};

/// Gains are in thousandths. 2/ln 2: what is asked for doubles with each round trip.
const STARTUP_GAIN: u64 = 2885;
/// Its inverse empties in one round what start-up put into the queue.
const DRAIN_GAIN: u64 = 347;
/// One round faster, one slower, then as measured (section 4.3.3).
const CYCLE: [u64; 8] = [1250, 750, 1000, 1000, 1000, 1000, 1000, 1000];
/// Two bandwidth-delay products, so that the estimate can grow.
const WINDOW_GAIN: u64 = 2000;
/// Start-up ends when the rate has not grown by a quarter in three rounds (section 4.3.1.2).
const FULL_GROWTH: u64 = 1250;
const FULL_ROUNDS: u32 = 3;
/// How long the least round trip is measured with little outstanding.
const PROBE_RTT: Duration = Duration::from_millis(100);
/// No phase is shorter: rates are measured over 4 ms at least, and a phase must show in them.
const LEAST_PHASE: Duration = Duration::from_millis(5);
/// The loops at both ends take part in each round trip.
const LEAST_ROUND: Duration = Duration::from_millis(1);
/// What a turn of a loop may take.
const TURN: Duration = Duration::from_micros(2500);
/// What is lost counts as outstanding until it is found out, and loops pause: room for this much time at
/// the measured rate beyond the bandwidth-delay products.
const SLACK: Duration = Duration::from_millis(10);
/// Least window in bytes: a chunk of average size, so that one is always under way.
const FLOOR: usize = 64 * 1024;
/// Greatest window in bytes.
const CEILING: usize = 16 * 1024 * 1024;

/// A round of which more than this part came marked is one of a long queue; fewer marks are the first ones of a
/// queue that has just become too long (CoDel, RFC 8289).
const MANY_MARKS: u64 = 64;
/// What such rounds take of the bytes outstanding.
const MANY_MARKS_CUT: usize = 8;
const FEW_MARKS_CUT: usize = 32;
/// Start-up ends also when half of what came was marked in so many rounds in a row (BBRv2).
const MARKED_ROUNDS: u32 = 2;
/// A path that marked all that came in so many rounds in a row, although less and less was outstanding, does not mean
/// it (RFC 9000 section 13.4.2.1).
const MEANINGLESS: u32 = 16;

/// What the flow is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// Finding the rate.
    #[default]
    Startup,
    /// Emptying the queue that this made.
    Drain,
    /// Probing for more in the phase of this number.
    Probe(usize),
    /// Measuring the least round trip with so many bytes outstanding; until then, once no more are.
    ProbeRtt(u32, Instant),
}

/// The model of one path.
#[derive(Debug, Default)]
pub struct Model {
    state: State,
    /// Rate in bytes per second; 0 before the first sample.
    rate: u64,
    /// Rate at which start-up last grew by a quarter, and rounds since.
    full_rate: u64,
    full_rounds: u32,
    phase_began: Instant,
    /// Most bytes outstanding since marks came or a queue stood; neither did of late if it is `None`.
    bound: Option<usize>,
    /// Rounds of start-up in a row of which half came marked.
    marked_rounds: u32,
    /// Rounds in a row of which all came marked; marks are not heeded any more once they are [`MEANINGLESS`].
    all_marked: u32,
    /// Microseconds of the least round trip since the last round ended; 0 if there was none.
    round_rtt: u32,
    /// The least round trip that was out of date when it was last measured.
    old_rtt: Duration,
}

impl Model {
    /// A round trip took so long.
    pub fn took(&mut self, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        if self.round_rtt == 0 || micros < self.round_rtt {
            self.round_rtt = micros;
        }
    }

    /// Takes what was measured: the rate to believe in bytes per second, whether a round has ended, the
    /// bytes outstanding, the least round trip, and what that was before if it is out of date.
    pub fn update(
        &mut self,
        now: Instant,
        rate: u64,
        round_ended: bool,
        outstanding: usize,
        min_rtt: Duration,
        stale_rtt: Option<Duration>,
    ) {
        self.rate = rate;
        if self.state == State::Startup && round_ended {
            self.check_full();
        }
        match self.state {
            State::Drain if outstanding <= self.in_flight(min_rtt) => self.probe(now, 2),
            State::Probe(phase) => {
                let over = now.saturating_since(self.phase_began) >= min_rtt.max(LEAST_PHASE);
                let gain = CYCLE.get(phase).copied().unwrap_or_default();
                // The slow phase may end as soon as the queue is gone.
                let drained = gain < 1000 && outstanding <= self.in_flight(min_rtt);
                if over || drained {
                    self.probe(now, (phase + 1) % CYCLE.len());
                }
            }
            State::ProbeRtt(window, Instant::FAR_FUTURE) if outstanding <= window as usize => {
                self.state = State::ProbeRtt(window, now + PROBE_RTT.max(min_rtt));
            }
            State::ProbeRtt(_, until) if now >= until => {
                self.probe(now, 2);
                // The path is longer now: what looked like a queue was that.
                if min_rtt > self.old_rtt + self.old_rtt / 4 + TURN {
                    self.reopen();
                }
            }
            _ => {}
        }
        if let Some(before) = stale_rtt
            && !matches!(self.state, State::Startup | State::ProbeRtt(..))
        {
            // The present one may be that of a queue.
            let window = (self.in_flight(before) / 2).clamp(queue::LEAST, CEILING);
            let window = u32::try_from(window).unwrap_or(u32::MAX);
            self.state = State::ProbeRtt(window, Instant::FAR_FUTURE);
            self.old_rtt = before;
        }
    }

    /// What was learned of a queue holds no more.
    pub fn reopen(&mut self) {
        self.bound = None;
    }

    /// A round has ended in which `marked` bytes of those that `came` had a congestion mark: what may be outstanding
    /// is lowered, never below what the path holds by itself, or grows again.
    pub fn heed(
        &mut self,
        now: Instant,
        marked: u64,
        came: u64,
        outstanding: usize,
        min_rtt: Duration,
        full: bool,
    ) {
        let round_rtt = core::mem::take(&mut self.round_rtt);
        if self.all_marked >= MEANINGLESS {
            self.settle(min_rtt, round_rtt, full);
            return;
        }
        self.all_marked = if marked > 0 && marked >= came {
            self.all_marked + 1
        } else {
            0
        };
        if self.all_marked >= MEANINGLESS {
            // Start-up may have ended too early for it.
            *self = Self {
                rate: self.rate,
                all_marked: self.all_marked,
                ..Self::default()
            };
            return;
        }
        let half = marked.saturating_mul(2) > came;
        self.marked_rounds = if half { self.marked_rounds + 1 } else { 0 };
        if marked == 0 {
            self.settle(min_rtt, round_rtt, full);
            return;
        }
        match self.state {
            State::Startup if self.marked_rounds < MARKED_ROUNDS => return,
            State::Startup => self.state = State::Drain,
            // What is probed for is not there.
            State::Probe(0) => self.probe(now, 1),
            _ => {}
        }
        let cut = if marked > came / MANY_MARKS {
            MANY_MARKS_CUT
        } else {
            FEW_MARKS_CUT
        };
        let least = self.bytes_in(min_rtt + TURN).max(FLOOR);
        // A standing queue may have brought the bound below that.
        let least = least.min(self.bound.unwrap_or(usize::MAX));
        let from = self.bound.unwrap_or(usize::MAX).min(outstanding);
        self.bound = Some((from - from / cut).max(least));
    }

    /// A round without marks has ended: what may be outstanding follows the queue that stood in all of it.
    fn settle(&mut self, min_rtt: Duration, round_rtt: u32, full: bool) {
        // Elsewhere the queue is of our own making, and is looked after.
        // A round that measured no round trip says nothing of it.
        if matches!(self.state, State::Probe(_)) && round_rtt > 0 {
            let window = self.unbound_window(min_rtt);
            let next = queue::next_window(self.window(min_rtt), min_rtt + TURN, round_rtt, full);
            self.bound = Some(next).filter(|next| *next < window);
        }
    }

    fn check_full(&mut self) {
        if self.rate.saturating_mul(1000) >= self.full_rate.saturating_mul(FULL_GROWTH) {
            self.full_rate = self.rate;
            self.full_rounds = 0;
            return;
        }
        self.full_rounds += 1;
        if self.full_rounds >= FULL_ROUNDS {
            self.state = State::Drain;
        }
    }

    fn probe(&mut self, now: Instant, phase: usize) {
        self.state = State::Probe(phase);
        self.phase_began = now;
    }

    /// Bytes that the path itself holds at the measured rate.
    #[must_use]
    pub fn in_flight(&self, min_rtt: Duration) -> usize {
        self.bytes_in(min_rtt.max(LEAST_ROUND))
    }

    /// Bytes that should always be outstanding, so that the path does not run dry while a loop at either
    /// end takes its turn.
    #[must_use]
    pub fn reserve(&self, min_rtt: Duration) -> usize {
        match self.state {
            // There is a queue, or should be none: with more outstanding than the path holds, draining would never end.
            State::Drain | State::ProbeRtt(..) => 0,
            _ => self.bytes_in(min_rtt + TURN),
        }
    }

    fn bytes_in(&self, time: Duration) -> usize {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        usize::try_from(self.rate.saturating_mul(micros) / 1_000_000).unwrap_or(CEILING)
    }

    /// Bytes that may be outstanding.
    #[must_use]
    pub fn window(&self, min_rtt: Duration) -> usize {
        let window = self.unbound_window(min_rtt);
        self.bound.map_or(window, |bound| bound.min(window))
    }

    fn unbound_window(&self, min_rtt: Duration) -> usize {
        let (gain, slack) = match self.state {
            State::Startup => (WINDOW_GAIN, Duration::ZERO),
            State::ProbeRtt(window, _) => return window as usize,
            State::Drain | State::Probe(_) => (WINDOW_GAIN, SLACK),
        };
        let products = (self.in_flight(min_rtt) as u64).saturating_mul(gain) / 1000;
        usize::try_from(products)
            .unwrap_or(CEILING)
            .saturating_add(self.bytes_in(slack))
            .clamp(FLOOR, CEILING)
    }

    /// Bytes per second to ask for; `None` before the first measurement.
    #[must_use]
    pub fn pace(&self) -> Option<u64> {
        let gain = match self.state {
            State::Startup => STARTUP_GAIN,
            State::Drain => DRAIN_GAIN,
            State::Probe(phase) => CYCLE.get(phase).copied().unwrap_or(1000),
            State::ProbeRtt(..) => 1000,
        };
        (self.rate > 0).then(|| (self.rate.saturating_mul(gain) / 1000).max(1))
    }
}

#[cfg(test)]
mod tests;
