//! A page cache that has nothing but what was read ahead: a disk whose bytes take their time.

use super::tree::Ino;
use proto_core::index::entry::Timestamp;
use std::collections::BTreeMap;

/// What is read ahead or not at all.
const PAGE: u64 = 128 * 1024;

/// The bytes of files in memory, and those on their way there.
#[derive(Clone, Debug)]
pub(super) struct ColdDisk {
    /// Bytes that the disk reads in a second.
    rate: u64,
    /// When each page is in memory, in microseconds of the disk's clock.
    pages: BTreeMap<(Ino, u64), u64>,
    /// When the disk has done all that it was asked for.
    idle_at: u64,
    /// How often bytes were looked for in memory.
    pub looks: u64,
    /// Pages for which the peer had to wait.
    pub waited: u64,
}

impl ColdDisk {
    pub(super) fn new(rate: u64) -> Self {
        Self {
            rate,
            pages: BTreeMap::new(),
            idle_at: 0,
            looks: 0,
            waited: 0,
        }
    }

    /// Reads a range ahead.
    pub(super) fn read_ahead(&mut self, now: Timestamp, ino: Ino, offset: u64, len: u64) {
        for page in offset / PAGE..(offset + len).div_ceil(PAGE) {
            let free = self.idle_at.max(micros(now));
            let arrives = free + PAGE * 1_000_000 / self.rate;
            let page = self.pages.entry((ino, page));
            page.or_insert_with(|| {
                self.idle_at = arrives;
                arrives
            });
        }
    }

    /// How many of the bytes of a range are in memory, from its start on.
    pub(super) fn in_memory(&mut self, now: Timestamp, ino: Ino, offset: u64, len: usize) -> usize {
        self.looks += 1;
        let here = |page: &u64| {
            let arrives = self.pages.get(&(ino, *page));
            arrives.is_some_and(|at| *at <= micros(now))
        };
        let end = offset + len as u64;
        let missing = (offset / PAGE..end.div_ceil(PAGE)).find(|page| !here(page));
        let end = missing.map_or(end, |page| end.min(page * PAGE));
        usize::try_from(end.saturating_sub(offset)).unwrap_or(0)
    }

    /// The peer has written a range.
    pub(super) fn wrote(&mut self, now: Timestamp, ino: Ino, offset: u64, len: u64) {
        for page in offset / PAGE..(offset + len).div_ceil(PAGE) {
            self.pages.entry((ino, page)).or_insert(micros(now));
        }
    }

    /// The peer waits for a range.
    pub(super) fn wait(&mut self, now: Timestamp, ino: Ino, offset: u64, len: u64) {
        for page in offset / PAGE..(offset + len).div_ceil(PAGE) {
            let at = self.pages.entry((ino, page)).or_insert(u64::MAX);
            if *at > micros(now) {
                *at = micros(now);
                self.waited += 1;
            }
        }
    }
}

fn micros(now: Timestamp) -> u64 {
    u64::try_from(now.sec).unwrap_or(0) * 1_000_000 + u64::from(now.nsec) / 1000
}
