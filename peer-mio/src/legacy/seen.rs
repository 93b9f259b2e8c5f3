//! One path of an ancestor's: what its dicts told of it, what we know that it held, and what it is expected to hold.

use super::ancestor::{UNPACKING, time_for};
use super::landing::SETTLED;
use proto_core::content::ContentId;
use proto_core::time::{Duration, Instant};

/// A file of so many bytes is unpacked so fast that no dict shows a half of it.
const SMALL: u64 = 1 << 20;
/// What keeps us from knowing what a path holds for longer holds up nothing else any more.
const HOLD_UP: Duration = Duration::from_secs(30);

/// What we know of a file of an ancestor's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its time when it held that content, as bits of a float.
    pub mtime: u64,
    /// The content.
    pub content: ContentId,
}

/// What it must hold once it has unpacked a batch that we know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The content.
    pub content: ContentId,
    /// Bytes of it.
    pub size: u64,
    /// The number of the batch.
    pub number: u32,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a member of a batch has come. An ancestor tells the number of a batch before it has it: until the last block was sent,
/// a new time is a change of its user's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It can be fetched.
    Published,
    /// All of the batch was sent.
    Sent {
        /// If it came as a whole, it is unpacked before.
        until: Instant,
        /// Each block of it was asked for, so that all but the last have arrived.
        all_asked: bool,
    },
    /// Its time changed after that, and soon.
    Unpacked {
        /// As above.
        all_asked: bool,
    },
    /// Another ancestor serves it: nothing but the clock tells us how far it is.
    Elsewhere,
}

/// One path of an ancestor's.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its time, as bits of a float.
    pub mtime: u64,
    /// The time that it had before that; 0: none.
    pub previous: u64,
    /// Since when it has had its time.
    pub since: Instant,
    /// When it last became something that we do not know.
    pub unknown_since: Instant,
    /// Whether the newest dict has it.
    pub here: bool,
    /// What it held when we knew last.
    pub known: Option<Known>,
    /// What it will hold.
    pub expected: Option<Expected>,
    /// Nothing is tried before.
    pub retry_at: Instant,
}

impl Seen {
    /// A path of which no dict has told.
    pub const UNHEARD: Self = Self {
        mtime: 0,
        previous: 0,
        since: Instant::ZERO,
        unknown_since: Instant::ZERO,
        here: false,
        known: None,
        expected: None,
        retry_at: Instant::ZERO,
    };

    /// A dict of an ancestor with this `add_times` tells of it.
    pub fn told(&mut self, now: Instant, mtime: u64, add_times: u32) {
        self.here = true;
        if self.mtime == mtime {
            return;
        }
        if self.mtime == 0 || self.is_resolved() {
            self.unknown_since = now;
        }
        self.previous = std::mem::replace(&mut self.mtime, mtime);
        self.since = now;
        let Some(expected) = self
            .expected
            .as_mut()
            .filter(|expected| expected.number <= add_times)
        else {
            return;
        };
        match expected.stage {
            Stage::Sent { until, all_asked } if now < until => {
                expected.stage = Stage::Unpacked { all_asked };
            }
            // It seems to hang for a block.
            Stage::Sent { .. } => expected.stage = Stage::Published,
            // The first change after the batch was the unpacking: what follows is a change of that. Of a large file it may be more of
            // the same unpacking.
            Stage::Unpacked { all_asked: true } if expected.size <= SMALL => {
                self.known = Some(Known {
                    mtime: self.previous,
                    content: expected.content,
                });
                self.expected = None;
            }
            _ => {}
        }
    }

    /// It has another size than what is expected. The ancestor may be unpacking it still, if it is a part.
    pub fn is_not(&mut self, now: Instant, size: u64) {
        let may_be_part = self.may_be_part(size);
        if let Some(expected) = &mut self.expected {
            if may_be_part && now < self.since + UNPACKING + time_for(expected.size) {
                self.retry_at = now + SETTLED;
            } else {
                expected.stage = Stage::Published;
            }
        }
    }

    /// Whether it may be a part of what the ancestor is unpacking, or was when it ended, if it has this size.
    #[must_use]
    pub fn may_be_part(&self, size: u64) -> bool {
        self.expected.is_some_and(|expected| size < expected.size)
    }

    /// Whether nothing is published before we know what it holds.
    #[must_use]
    pub fn holds_up(&self, now: Instant) -> bool {
        self.here
            && !self.is_resolved()
            && self.retry_at <= now
            && now.saturating_since(self.unknown_since) < HOLD_UP
    }

    /// Whether we know what it holds now.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.known.is_some_and(|known| known.mtime == self.mtime)
    }
}
