//! Scans that wait and the one under way.

use super::Peer;
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
/// A scan lets what it found be looked at first when this many paths are dirty.
const DIRTY_ROOM: usize = MAX_DIRTY / 4;

/// The queue of scans.
#[derive(Debug, Default)]
pub struct Scans {
    waiting: VecDeque<Scan>,
    current: Option<Scan>,
    full_wanted: bool,
    last_full: Option<Instant>,
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

    /// When the next regular scan begins.
    #[must_use]
    pub fn next_due(&self, interval: Duration) -> Option<Instant> {
        if self.is_idle() {
            self.last_full.map(|last| last + interval)
        } else {
            None
        }
    }

    fn next(&mut self, now: Instant, interval: Duration) -> Option<Scan> {
        let due = self.last_full.is_none_or(|last| now >= last + interval);
        if std::mem::take(&mut self.full_wanted) || due {
            self.waiting.clear();
            return Some(Scan::new(b""));
        }
        self.waiting.pop_front()
    }
}

/// Where a scan's findings go.
struct Findings<'a> {
    now: Now,
    dirty: &'a mut Dirty,
    watch: &'a mut dyn FnMut(&[u8]),
    errors: &'a mut super::Errors,
    recheck: &'a super::Recheck,
}

impl ScanSink for Findings<'_> {
    fn directory(&mut self, path: &[u8]) {
        (self.watch)(path);
    }

    fn differs(&mut self, path: &[u8]) {
        if path::check(path).is_err() {
            return self.unreadable(path, &io::ErrorKind::InvalidFilename.into());
        }
        self.errors.scan_meets(path);
        self.dirty
            .mark_if_clean(self.now.mono, path, Duration::ZERO);
    }

    fn unreadable(&mut self, path: &[u8], error: &io::Error) {
        self.errors.set_unread(path, unread_sentence(path, error));
    }

    fn doubts(&self, row: &Row) -> bool {
        self.recheck.doubts(row)
    }

    fn has_room(&self) -> bool {
        self.dirty.len() < DIRTY_ROOM
    }
}

impl<D: Disk> Peer<D> {
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
            errors: &mut self.errors,
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
                    self.scans.last_full = Some(now.mono);
                    self.plan.restart();
                }
                true
            }
            Ok(false) => {
                self.scans.current = Some(scan);
                // With no room the dirty paths come first; they may all be waiting to be quiet.
                self.dirty.len() < DIRTY_ROOM
            }
            Err(error) => {
                self.store_failed(&error);
                false
            }
        }
    }
}
