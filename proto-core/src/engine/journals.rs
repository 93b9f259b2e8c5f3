//! Reading the journals of the others.

use super::{Engine, Remote};
use crate::limits::MAX_PAGE;
use crate::pull::Want;
use crate::session::CipherKey;
use crate::time::{Duration, Instant};
use crate::wire::ObjectId;

/// Most that a journal page may have.
const PAGE: u32 = MAX_PAGE as u32;
/// Pause after a page that did not get us further: refused, not consistent, or not noted. Doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// How often it doubles at most (to 1.3 s).
const DOUBLINGS: u32 = 7;

/// When a journal is asked for.
#[derive(Debug)]
pub(super) struct Reading {
    /// Where the last page began.
    from: Option<u64>,
    /// Pages in a row that began there.
    fruitless: u32,
    /// Not before.
    pub not_before: Instant,
}

impl Reading {
    pub const fn new() -> Self {
        Self {
            from: None,
            fruitless: 0,
            not_before: Instant::ZERO,
        }
    }

    /// Whether a page that begins after `cursor` may be asked for.
    fn may_ask(&self, now: Instant, cursor: u64) -> bool {
        self.from != Some(cursor) || now >= self.not_before
    }

    fn asked(&mut self, now: Instant, cursor: u64) {
        if self.from == Some(cursor) {
            self.fruitless += 1;
        } else {
            self.fruitless = 0;
        }
        self.from = Some(cursor);
        self.not_before = now + FIRST_PAUSE * (1 << self.fruitless.min(DOUBLINGS));
    }

    /// There was no place in the table of pulls.
    fn put_off(&mut self, now: Instant, cursor: u64) {
        self.from = Some(cursor);
        self.not_before = now + FIRST_PAUSE;
    }
}

impl<K: CipherKey> Remote<K> {
    /// After which sequence the next page of its journal is wanted, if it has told of more than we have read.
    fn next_page(&self) -> Option<u64> {
        if self.journal.is_some() || !self.is_connected() {
            return None;
        }
        let (told, cursor) = (self.announced?, self.cursor?);
        (told.sequence > cursor).then_some(cursor)
    }

    /// When to ask for the next page, if there is one.
    pub fn next_page_at(&self) -> Option<Instant> {
        self.next_page().map(|_| self.reading.not_before)
    }
}

impl<K: CipherKey> Engine<K> {
    /// Starts to read the journal of whoever has told of more than we have read.
    pub(super) fn pull_journals(&mut self, now: Instant) {
        for remote in self.remotes.iter_mut().flatten() {
            let (Some(cursor), Some(told)) = (remote.next_page(), remote.announced) else {
                continue;
            };
            if !remote.reading.may_ask(now, cursor) {
                continue;
            }
            remote.journal = self.pulls.insert(Want {
                object: ObjectId::Journal(told.index),
                start: cursor,
                length: PAGE,
                only: Some(remote.slot),
                prefer: None,
            });
            if let Some(piece) = remote.journal.and_then(|pull| self.pulls.get_mut(pull)) {
                if self.encodings {
                    piece.allow_encodings();
                }
                remote.reading.asked(now, cursor);
            } else {
                remote.reading.put_off(now, cursor);
            }
        }
    }
}
