//! Asking one ancestor what it has: two questions in a row, because the dict of the first answer is older
//! than the question (docs/legacy.md, "Asking").

use super::INFORMATION_PORT;
use crate::time::{Duration, Instant};

/// Between two rounds. An ancestor asks without any pause, which costs it a third of a core.
pub const PAUSE: Duration = Duration::from_millis(500);
/// How long an answer is waited for: as long as an ancestor does.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Questions without an answer after which an ancestor counts as away.
const MISSES: u8 = 3;

/// Questions to one ancestor.
#[derive(Debug)]
pub struct Asking {
    /// When the next question is due.
    due: Instant,
    /// When the first question of this round was asked.
    round_at: Instant,
    /// Answers that this round has brought.
    answers: u8,
    /// Whether a question is under way.
    waiting: bool,
    misses: u8,
    online: bool,
}

impl Asking {
    /// Begins at once.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            due: now,
            round_at: now,
            answers: 0,
            waiting: false,
            misses: MISSES,
            online: false,
        }
    }

    /// Whether it has answered of late.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.online
    }

    /// Whether to send an empty datagram to [`INFORMATION_PORT`] now.
    pub fn poll_transmit(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        if self.waiting {
            self.misses = self.misses.saturating_add(1);
            self.online &= self.misses < MISSES;
            self.answers = 0;
        }
        if self.answers == 0 {
            self.round_at = now;
        }
        self.waiting = true;
        self.due = now + PATIENCE;
        true
    }

    /// Begins the next round at once, unless one is under way.
    pub fn hasten(&mut self, now: Instant) {
        if !self.waiting {
            self.due = self.due.min(now);
        }
    }

    /// When the round began that is under way or was the last: its dict tells of nothing older.
    #[must_use]
    pub fn round_at(&self) -> Instant {
        self.round_at
    }

    /// When to poll again.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// An answer that can be read has come. True if it answers a second question, so that its dict counts.
    pub fn handle_answer(&mut self, now: Instant) -> bool {
        if !self.waiting {
            return false;
        }
        self.waiting = false;
        self.misses = 0;
        self.online = true;
        self.answers += 1;
        if self.answers < 2 {
            self.due = now;
            return false;
        }
        self.answers = 0;
        self.due = now + PAUSE;
        true
    }
}

/// Whether a datagram at our information port is an answer: an ancestor asks from any other port.
#[must_use]
pub fn is_answer(port: u16) -> bool {
    port == INFORMATION_PORT
}
