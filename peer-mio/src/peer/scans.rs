//! Scans that wait and the one under way.

use super::Peer;
use super::drafts::Drafts;
use super::errors::unread_sentence;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::Row;
use crate::watch::dirty::{Dirty, MAX_DIRTY, SETTLED_PAUSE};
use crate::watch::scan::{Scan, ScanSink};
use proto_core::path;
use proto_core::time::{Duration, Instant};
use std::collections::VecDeque;
use std::io;

/// Partial scans that wait; beyond it one full scan does for all.
const MAX_WAITING: usize = 64;
/// Paths visited in one slice: about a millisecond.
const SLICE: usize = 256;
/// What folders that are not watched are filed under.
const WATCHES: &str = "watches";
/// A scan lets what it found be looked at first when this many paths are dirty.
const DIRTY_ROOM: usize = MAX_DIRTY / 4;

/// Where folders are not watched, scans take at most one part in so many of the time, ...
const SCAN_SHARE: u32 = 20;
/// ... and are at least so far apart.
const UNWATCHED_PAUSE: Duration = Duration::from_secs(5);

/// The queue of scans.
#[derive(Debug, Default)]
pub struct Scans {
    waiting: VecDeque<Scan>,
    current: Option<Scan>,
    full_wanted: bool,
    last_full: Option<Instant>,
    /// When the full scan under way began, and how long the last one took.
    began: Instant,
    took: Duration,
    /// Folders that the full scan under way, or that changes since the last one, found to be not watched.
    unwatched: u64,
    /// As many the last full scan had.
    unwatched_before: u64,
}

impl Scans {
    /// Scans part of the tree soon.
    pub fn add(&mut self, scan: Scan) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(scan);
        } else {
            self.add_full();
        }
    }

    /// Scans all of the tree soon.
    pub fn add_full(&mut self) {
        self.full_wanted = true;
    }

    /// Whether a full scan has ended since the start.
    #[must_use]
    pub fn first_done(&self) -> bool {
        self.last_full.is_some()
    }

    /// Whether something is scanned because of a change (not just because time has passed).
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.full_wanted
            || !self.waiting.is_empty()
            || self.current.as_ref().is_some_and(|scan| !scan.is_full())
    }

    /// Whether nothing is scanned.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty() && !self.full_wanted
    }

    /// Whether one could begin.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.current.is_none() && !self.is_idle()
    }

    /// When the next regular scan begins.
    #[must_use]
    pub fn next_due(&self, interval: Duration) -> Option<Instant> {
        if self.is_idle() {
            let interval = self.pause(interval);
            self.last_full.map(|last| last + interval)
        } else {
            None
        }
    }

    /// Between two full scans: as told, or less if only they see all.
    fn pause(&self, interval: Duration) -> Duration {
        if self.unwatched_before + self.unwatched == 0 {
            return interval;
        }
        interval.min(UNWATCHED_PAUSE.max(self.took.saturating_mul(SCAN_SHARE)))
    }

    fn next(&mut self, now: Instant, interval: Duration) -> Option<Scan> {
        let interval = self.pause(interval);
        let due = self.last_full.is_none_or(|last| now >= last + interval);
        if std::mem::take(&mut self.full_wanted) || due {
            self.waiting.clear();
            (self.began, self.unwatched) = (now, 0);
            return Some(Scan::new(b""));
        }
        self.waiting.pop_front()
    }
}

/// Where a scan's findings go.
struct Findings<'a> {
    now: Now,
    dirty: &'a mut Dirty,
    watch: &'a mut dyn FnMut(&[u8]) -> bool,
    unwatched: &'a mut u64,
    errors: &'a mut super::Errors,
    drafts: &'a mut Drafts,
    recheck: &'a super::Recheck,
}

impl ScanSink for Findings<'_> {
    fn directory(&mut self, path: &[u8]) {
        if !(self.watch)(path) {
            *self.unwatched += 1;
        }
    }

    fn differs(&mut self, path: &[u8], listed: bool) {
        if path::check(path).is_err() {
            return self.unreadable(path, &io::ErrorKind::InvalidFilename.into());
        }
        self.errors.scan_meets(path);
        // Where changes make no events, it may be another folder by the time it is looked at.
        if listed && *self.unwatched == 0 {
            self.dirty.mark_listed(self.now.mono, path);
        } else {
            self.dirty
                .mark_if_clean(self.now.mono, path, Duration::ZERO);
        }
    }

    fn unreadable(&mut self, path: &[u8], error: &io::Error) {
        self.errors.set_unread(path, unread_sentence(path, error));
    }

    fn indexed(&mut self, row: &Row) {
        self.drafts.note(&row.entry);
    }

    fn doubts(&self, row: &Row) -> bool {
        self.recheck.doubts(row)
    }

    fn has_room(&self) -> bool {
        self.dirty.waiting() < DIRTY_ROOM
    }
}

impl<D: Disk> Peer<D> {
    /// Has a folder watched that was made here.
    pub(super) fn watch_landed(&mut self, path: &[u8]) {
        if !(self.watch)(path) {
            self.scans.unwatched += 1;
            self.tell_unwatched();
        }
    }

    /// Says how many folders only scans see, and what to do about it.
    fn tell_unwatched(&mut self) {
        let unwatched = self.scans.unwatched_before + self.scans.unwatched;
        if unwatched == 0 {
            return self.errors.clear(WATCHES);
        }
        // Said once, not with each number.
        if !self.errors.is_set(WATCHES) {
            let sentence = format!(
                "{unwatched} folders are not watched: changes in them wait for a scan; raise the kernel's limit: sysctl fs.inotify.max_user_watches=524288"
            );
            self.errors.set(WATCHES, sentence);
        }
    }

    /// One slice of scanning. True if there is more to do now.
    pub(super) fn step_scans(&mut self, now: Now) -> bool {
        if self.dirty.take_overflow() {
            self.scans.add_full();
        }
        if self.scans.current.is_none() {
            self.scans.current = self.scans.next(now.mono, self.config.scan_interval);
            self.errors.scan_begins();
        }
        let Some(mut scan) = self.scans.current.take() else {
            return false;
        };
        if let Err(error) = self.disk.check_share() {
            self.errors
                .set("share", format!("share/ cannot be used: {error}"));
            self.scans.add_full();
            self.store_retry = now.mono + SETTLED_PAUSE * 50;
            return false;
        }
        self.errors.clear("share");
        let mut findings = Findings {
            now,
            dirty: &mut self.dirty,
            watch: &mut self.watch,
            unwatched: &mut self.scans.unwatched,
            errors: &mut self.errors,
            drafts: &mut self.drafts,
            recheck: &self.recheck,
        };
        match scan.step(
            &self.disk,
            &self.store,
            self.config.symlinks,
            SLICE,
            &mut findings,
        ) {
            Ok(true) => {
                self.errors.scan_ends(scan.root());
                if scan.is_full() {
                    let scans = &mut self.scans;
                    scans.last_full = Some(now.mono);
                    scans.took = now.mono.saturating_since(scans.began);
                    scans.unwatched_before = std::mem::take(&mut scans.unwatched);
                    self.plan.restart();
                }
                self.tell_unwatched();
                true
            }
            Ok(false) => {
                self.scans.current = Some(scan);
                // With no room the dirty paths come first; they may all be waiting to be quiet.
                self.dirty.waiting() < DIRTY_ROOM
            }
            Err(error) => {
                self.store_failed(&error);
                false
            }
        }
    }
}
