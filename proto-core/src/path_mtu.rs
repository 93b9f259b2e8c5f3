//! How long the datagrams from one peer to us may be (docs/protocol.md, "Path MTU"; RFC 8899, seen from the
//! receiver: whoever wants long datagrams asks for one and sees whether it comes).

use crate::limits::MIN_DATAGRAM;
use crate::time::{Duration, Instant};
use crate::wire::path_probe::Probe;

/// Sizes that are tried, in bytes of UDP payload: [`MIN_DATAGRAM`], which only shows that the path carries anything, through
/// a tunnel on Ethernet, Ethernet, jumbo frames (each over IPv6, whose head is the longer one), loopback.
pub const LADDER: [u16; 5] = [1_200, 1_380, 1_452, 8_952, 60_000];
/// A size that was asked for so often without an answer does not pass (RFC 8899, MAX_PROBES).
const TRIES: u8 = 3;
/// The same where the path is only suspected: what is given up then is fetched again in shorter segments.
const SUSPECTED_TRIES: u8 = 6;
/// How long one try is waited for at most.
const LONGEST_TRY: Duration = Duration::from_secs(1);
/// All sizes are tried anew this often (RFC 8899, PMTU_RAISE_TIMER).
const RAISE: Duration = Duration::from_secs(600);
/// When nothing of the full size came for this long although it was asked for, the path may have become
/// narrower. Longer than most pauses of a disk: a search costs some datagrams. Doubles with each search that finds it as it was.
const SUSPICION: Duration = Duration::from_millis(300);
const LONGEST_SUSPICION: Duration = Duration::from_secs(60);

/// What is known of the path from one peer.
#[derive(Debug)]
pub struct PathMtu {
    /// No longer ones are wanted.
    longest: usize,
    /// Datagrams of this size arrive.
    size: usize,
    /// The longest one that was answered in this search.
    best: usize,
    /// Names the search.
    tag: u32,
    /// Tries that are left of this search; 0: there is none under way.
    tries: u8,
    /// The next place of the ladder to ask for in this try.
    place: usize,
    /// When the try, or the pause between two searches, ends.
    due: Instant,
    /// When one of this size last came or, if none is under way, was asked for.
    long_at: Instant,
    /// After which time without one it is looked what the path carries.
    patience: Duration,
    /// Whether datagrams that say ECT(0) are asked for: until a search finds that nothing comes with it.
    ecn: bool,
}

impl PathMtu {
    /// Nothing known; datagrams of more than `longest` bytes of UDP payload are not wanted.
    #[must_use]
    pub fn new(longest: usize) -> Self {
        Self {
            longest,
            size: MIN_DATAGRAM,
            best: 0,
            tag: 0,
            tries: 0,
            place: 0,
            due: Instant::ZERO,
            long_at: Instant::ZERO,
            patience: SUSPICION,
            ecn: true,
        }
    }

    /// Bytes of UDP payload to ask for.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The peer began anew, perhaps elsewhere: so does the search.
    pub fn forget(&mut self) {
        *self = Self {
            tag: self.tag,
            ..Self::new(self.longest)
        };
    }

    fn sizes(&self) -> impl Iterator<Item = (usize, u16)> {
        let longest = self.longest;
        let sizes = LADDER.into_iter().enumerate();
        sizes.filter(move |(_, size)| usize::from(*size) <= longest)
    }

    fn greatest(&self) -> usize {
        self.sizes()
            .last()
            .map_or(MIN_DATAGRAM, |(_, size)| usize::from(size))
    }

    /// The next PROBE to send, if one is due; `timeout`: how long an answer may take.
    pub fn poll(&mut self, now: Instant, timeout: Duration) -> Option<Probe> {
        if self.greatest() == MIN_DATAGRAM {
            return None;
        }
        if self.tries == 0 {
            if now < self.due {
                return None;
            }
            self.begin(now, TRIES, timeout);
        }
        let next = self.sizes().find(|(place, _)| *place >= self.place);
        if let Some((place, size)) = next.filter(|(_, size)| usize::from(*size) > self.best) {
            self.place = place + 1;
            return Some(Probe {
                size,
                tag: self.tag,
                ecn: self.ecn,
            });
        }
        self.place = LADDER.len();
        if now < self.due {
            return None;
        }
        self.tries -= 1;
        if self.tries == 0 {
            if self.best == 0 && self.ecn {
                // Perhaps something on the way drops what says ECT: the same without it.
                self.ecn = false;
                self.begin(now, TRIES, timeout);
                return self.poll(now, timeout);
            }
            self.end(now);
            return None;
        }
        self.next_try(now, timeout);
        self.poll(now, timeout)
    }

    fn begin(&mut self, now: Instant, tries: u8, timeout: Duration) {
        self.tag = self.tag.wrapping_add(1);
        self.tries = tries;
        self.best = 0;
        self.next_try(now, timeout);
    }

    fn next_try(&mut self, now: Instant, timeout: Duration) {
        self.place = 0;
        while self
            .sizes()
            .any(|(place, size)| place == self.place && usize::from(size) <= self.best)
        {
            self.place += 1;
        }
        self.due = now + timeout.min(LONGEST_TRY);
    }

    fn end(&mut self, now: Instant) {
        // Where nothing passes at all, it is not for its length.
        if self.best > 0 && self.best != self.size {
            self.size = self.best;
            self.patience = SUSPICION;
        }
        self.tries = 0;
        self.due = now + RAISE;
        self.long_at = now;
    }

    /// When to call [`Self::poll`] again.
    #[must_use]
    pub fn due(&self) -> Instant {
        if self.greatest() == MIN_DATAGRAM {
            Instant::FAR_FUTURE
        } else {
            self.due
        }
    }

    /// A PADDING with this tag came in a datagram of so many bytes.
    pub fn answered(&mut self, now: Instant, tag: u32, len: usize) {
        let is_asked = self.sizes().any(|(_, size)| usize::from(size) == len);
        if self.tries == 0 || tag != self.tag || !is_asked {
            return;
        }
        self.best = self.best.max(len);
        // A longer one can be used at once; that a shorter one must be, only the end of the search can say.
        self.size = self.size.max(self.best);
        if self.best == self.greatest() {
            self.end(now);
        }
    }

    /// BLOCKs are asked for; `idle`: none were under way.
    pub fn asked(&mut self, now: Instant, idle: bool) {
        if idle {
            self.long_at = now;
        }
    }

    /// A BLOCK came in a datagram of so many bytes.
    pub fn arrived(&mut self, now: Instant, len: usize) {
        // A shorter one, as the last of a chunk, says nothing of the long ones.
        if len < self.size {
            return;
        }
        self.long_at = now;
        self.patience = SUSPICION;
        if self.tries > 0 && len == self.size {
            self.best = self.best.max(len);
        }
    }

    /// Long BLOCKs are under way: looks whether they come at all. `timeout`: how long an answer may take.
    pub fn suspect(&mut self, now: Instant, timeout: Duration) {
        let waits = self.size > MIN_DATAGRAM && self.tries == 0;
        if waits && now.saturating_since(self.long_at) >= self.patience.max(timeout * 2) {
            self.patience = (self.patience * 2).min(LONGEST_SUSPICION);
            self.begin(now, SUSPECTED_TRIES, timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMEOUT: Duration = Duration::from_millis(200);
    const MILLI: Duration = Duration::from_millis(1);

    /// Runs for so many milliseconds on a path that carries datagrams up to `carries`; how many PROBEs were sent.
    fn run(mtu: &mut PathMtu, now: &mut Instant, millis: u64, carries: usize) -> u32 {
        run_lossy(mtu, now, millis, carries, &mut [0; 5])
    }

    /// The same, and so many PROBEs of each size, or their answers, are lost first.
    fn run_lossy(
        mtu: &mut PathMtu,
        now: &mut Instant,
        millis: u64,
        carries: usize,
        lost: &mut [u8; 5],
    ) -> u32 {
        let mut sent = 0;
        for _ in 0..millis {
            *now += MILLI;
            while let Some(probe) = mtu.poll(*now, TIMEOUT) {
                sent += 1;
                let place = LADDER.iter().position(|size| *size == probe.size).unwrap();
                if lost[place] > 0 {
                    lost[place] -= 1;
                } else if usize::from(probe.size) <= carries {
                    mtu.answered(*now, probe.tag, usize::from(probe.size));
                }
            }
            assert!(mtu.due() > *now, "{mtu:?}");
        }
        sent
    }

    #[test]
    fn the_longest_size_that_passes_is_found_at_once() {
        let found = [
            (1_200, 1_200),
            (1_379, 1_200),
            (1_400, 1_380),
            (1_452, 1_452),
            (8_999, 8_952),
            (65_507, 60_000),
        ];
        for (carries, size) in found {
            let mut mtu = PathMtu::new(60_000);
            let mut now = Instant::from_micros(7);
            run(&mut mtu, &mut now, 1, carries);
            assert_eq!(mtu.size(), size);
            let sent = run(&mut mtu, &mut now, 100_000, carries);
            assert!(sent <= 10 && mtu.size() == size, "{sent}");
        }
    }

    #[test]
    fn nothing_longer_than_wanted_is_asked_for() {
        let mut mtu = PathMtu::new(MIN_DATAGRAM);
        let mut now = Instant::from_micros(7);
        assert_eq!(mtu.due(), Instant::FAR_FUTURE);
        assert!(mtu.poll(now, TIMEOUT).is_none());
        let mut mtu = PathMtu::new(1_400);
        assert_eq!(run(&mut mtu, &mut now, 10_000, 65_507), 2);
        assert_eq!(mtu.size(), 1_380);
    }

    #[test]
    fn a_path_that_became_narrower_is_found_and_one_that_is_only_slow_is_not() {
        let mut mtu = PathMtu::new(60_000);
        let mut now = Instant::from_micros(7);
        run(&mut mtu, &mut now, 2_000, 8_952);
        assert_eq!(mtu.size(), 8_952);
        mtu.asked(now, true);
        now += Duration::from_millis(399);
        mtu.suspect(now, TIMEOUT);
        assert_eq!(run(&mut mtu, &mut now, 1, 1_452), 0, "not yet");
        mtu.suspect(now, TIMEOUT);
        run(&mut mtu, &mut now, 1_201, 1_452);
        assert_eq!(mtu.size(), 1_452);
        // Long ones come again, but late.
        for carries in [1_452, 8_952] {
            mtu.asked(now, true);
            now += Duration::from_millis(700);
            mtu.suspect(now, TIMEOUT);
            run(&mut mtu, &mut now, 1_300, carries);
            assert_eq!(mtu.size(), carries);
        }
        run(&mut mtu, &mut now, 700_000, 60_000);
        assert_eq!(mtu.size(), 60_000, "looked for again after ten minutes");
    }

    #[test]
    fn a_path_that_carries_nothing_for_a_while_is_not_narrower() {
        let mut mtu = PathMtu::new(60_000);
        let mut now = Instant::from_micros(7);
        run(&mut mtu, &mut now, 2_000, 1_452);
        mtu.asked(now, true);
        for _ in 0..10 {
            now += Duration::from_millis(400);
            mtu.suspect(now, TIMEOUT);
            run(&mut mtu, &mut now, 1_300, 0);
            assert_eq!(mtu.size(), 1_452);
        }
        // A long BLOCK during the search is as good as an answer.
        now += LONGEST_SUSPICION;
        mtu.suspect(now, TIMEOUT);
        run(&mut mtu, &mut now, 100, 1_200);
        mtu.arrived(now, 1_452);
        run(&mut mtu, &mut now, 1_000, 1_200);
        assert_eq!(mtu.size(), 1_452);
    }

    #[test]
    fn only_an_answer_of_this_search_counts() {
        let mut mtu = PathMtu::new(60_000);
        let now = Instant::from_micros(7);
        let probe = mtu.poll(now, TIMEOUT).unwrap();
        mtu.answered(now, probe.tag.wrapping_sub(1), 60_000);
        mtu.answered(now, probe.tag, 1_451);
        mtu.answered(now, probe.tag, 70_000);
        assert_eq!(mtu.size(), MIN_DATAGRAM);
        mtu.answered(now, probe.tag, 60_000);
        assert_eq!(mtu.size(), 60_000);
    }

    proptest! {
        /// Two losses of each size make none smaller than the path carries.
        #[test]
        fn loss_alone_is_survived(carries in 1_200_usize..65_000, lost in prop::array::uniform5(0_u8..3)) {
            let mut mtu = PathMtu::new(60_000);
            let mut now = Instant::from_micros(7);
            run_lossy(&mut mtu, &mut now, 1_000, carries, &mut lost.clone());
            let best = LADDER.into_iter().map(usize::from).filter(|size| *size <= carries).max();
            prop_assert_eq!(mtu.size(), best.unwrap_or(MIN_DATAGRAM));
        }
    }
}
