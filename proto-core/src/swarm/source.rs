//! What one peer told of one content, and when it is told of ours.

use super::ChunkWindow;
use crate::time::{Duration, Instant};
use crate::wire::have::Have;

/// Between two HAVEs about one content to one peer while no chunk comes: what was lost is repaired by the next. As long as
/// none has come already, between these two limits: many contents may wait for their turn at once, and what is told of
/// these would be most of all that is told.
const TELL_AGAIN: Duration = Duration::from_millis(250);
const TELL_SELDOM: Duration = Duration::from_secs(8);
/// At least between two questions to a peer that has not said whether it has any of it.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Who fetches it too says so at least each [`TELL_SELDOM`]; without two of these it fetches it no more.
const HEARD: Duration = Duration::from_secs(20);
/// Who refused a chunk that it told to have is not asked for so long, ...
const FIRST_DOUBT: Duration = Duration::from_millis(50);
/// ... twice as long each time, up to 51 s, ...
const DOUBTS: u8 = 10;
/// ... unless it gave what it was asked for meanwhile, for twice the pause or so long.
const GOOD: Duration = Duration::from_secs(2);

/// One peer as a source of one content.
#[derive(Debug)]
pub(super) struct Source {
    has: Has,
    /// What it has in our window, if it fetches it too.
    held: ChunkWindow,
    /// When it last said that it fetches it too; zero: never.
    heard_at: Instant,
    /// Until then nothing is believed of what it tells, since it refused a chunk; and how often that was doubled.
    doubted_until: Instant,
    doubts: u8,
    told_at: Instant,
    tell_at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Has {
    /// It has not said.
    Unknown,
    /// It fetches it too; its index id.
    Part(u64),
    /// All chunks.
    All,
    /// Bytes that do not verify.
    Wrong,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            has: Has::Unknown,
            held: ChunkWindow::EMPTY,
            heard_at: Instant::ZERO,
            doubted_until: Instant::ZERO,
            doubts: 0,
            told_at: Instant::ZERO,
            tell_at: Instant::ZERO,
        }
    }
}

impl Source {
    pub fn set_whole(&mut self) {
        self.has = Has::All;
        self.tell_at = Instant::FAR_FUTURE;
    }

    pub fn forget(&mut self) {
        if self.has != Has::Wrong {
            *self = Self::default();
        }
    }

    /// It refused a chunk: what it told does not hold, and it is asked again after a pause, longer each time if it goes on so.
    pub fn refused(&mut self, now: Instant) {
        if self.has == Has::Wrong || now < self.doubted_until {
            return;
        }
        let pause = FIRST_DOUBT * (1 << self.doubts);
        let doubts = if now.saturating_since(self.doubted_until) >= (pause * 2).max(GOOD) {
            0
        } else {
            self.doubts.saturating_add(1).min(DOUBTS)
        };
        let again = now + FIRST_DOUBT * (1 << doubts);
        *self = Self {
            heard_at: self.heard_at,
            doubted_until: again,
            doubts,
            tell_at: again,
            ..Self::default()
        };
    }

    pub fn distrust(&mut self) {
        self.has = Has::Wrong;
        self.tell_at = Instant::FAR_FUTURE;
    }

    pub fn has_all(&self) -> bool {
        self.has == Has::All
    }

    /// The index id of one that fetches it too.
    pub fn fetching(&self) -> Option<u64> {
        match self.has {
            Has::Part(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it said lately that it fetches it too, even if it refused a chunk since.
    pub fn was_heard(&self, now: Instant) -> bool {
        self.heard_at > Instant::ZERO && now.saturating_since(self.heard_at) < HEARD
    }

    pub fn held(&self) -> &ChunkWindow {
        &self.held
    }

    /// The window begins `places` further on.
    pub fn advance(&mut self, places: u32) {
        self.held.advance(places);
    }

    /// What it told; the window begins at `base` and has so many `places` of the content.
    pub fn told(&mut self, now: Instant, name: u64, have: &Have<'_>, base: u32, places: u32) {
        if self.has == Has::Wrong {
            return;
        }
        if !have.whole {
            self.heard_at = now;
        }
        if now < self.doubted_until {
            return;
        }
        if have.whole {
            self.held = ChunkWindow::EMPTY;
            return self.set_whole();
        }
        if self.has != Has::Part(name) || have.asks {
            // It shall know what we have.
            self.tell_at = now;
        }
        self.has = Has::Part(name);
        let before = have.first.saturating_sub(base);
        self.held.set_before(before.min(places));
        for (at, byte) in have.held.iter().enumerate() {
            let Some(chunk) = have.first.checked_add(at as u32 * 8) else {
                return;
            };
            for bit in (0..8).filter(|bit| byte & (0x80 >> bit) != 0) {
                let place = chunk.saturating_add(bit).checked_sub(base);
                if at as u32 * 8 + bit < u32::from(have.count)
                    && let Some(place) = place.filter(|place| *place < places)
                {
                    self.held.set(place);
                }
            }
        }
    }

    /// There is a new chunk: who fetches it too is told soon, but so long after it was last told anything.
    pub fn news_for_it(&mut self, now: Instant, pause: Duration) {
        if self.fetching().is_some() {
            self.tell_at = self.tell_at.min((self.told_at + pause).max(now));
        }
    }

    pub fn tell_at(&self) -> Instant {
        self.tell_at
    }

    /// It is being told, when a chunk last came at `stirred_at`; whether it is to be asked, too.
    pub fn telling(&mut self, now: Instant, stirred_at: Instant) -> bool {
        self.told_at = now;
        let asks = self.has == Has::Unknown;
        let again = now
            .saturating_since(stirred_at)
            .clamp(TELL_AGAIN, TELL_SELDOM);
        self.tell_at = now + if asks { again.max(ASK_AGAIN) } else { again };
        asks
    }
}
