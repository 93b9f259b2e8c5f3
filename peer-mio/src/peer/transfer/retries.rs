//! Which contents are tried again, and when: each path has a pause that doubles with every failure, and
//! an event that may bring what nobody had ends it.

use super::Fetched;
use crate::disk::Disk;
use crate::peer::Peer;
use crate::store::StoreError;
use proto_core::boundary::PeerSlot;
use proto_core::content::ContentId;
use proto_core::path::Escaped;
use proto_core::pull::PeerSet;
use proto_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Paths remembered. Beyond it those that failed last are tried without their pauses.
const MAX_PATHS: usize = 1024;
/// Pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How often it doubles at most: to 64 s.
const DOUBLINGS: u32 = 7;
/// So long after a failure a peer that tells of the same content does not end the pause: both may have failed together.
const DEAF: Duration = Duration::from_secs(2);

/// Why a content cannot be fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// No connected peer has it: one that connects, tells of the path anew, or fetches it too, may.
    Gone,
    /// Who has it sends bytes that do not verify: another one may send better ones.
    Wrong,
    /// The disk: only time helps.
    Fault,
}

/// Failures by path.
#[derive(Debug, Default)]
pub struct Retries {
    paths: BTreeMap<Vec<u8>, Retry>,
}

#[derive(Debug)]
struct Retry {
    content: ContentId,
    cause: Cause,
    failures: u32,
    /// Since when this content cannot be had; or, of a fault of the disk, since when that is so.
    since: Instant,
    failed_at: Instant,
    not_before: Instant,
    /// Who sent bytes that do not verify, the last time.
    wrong: PeerSet,
}

impl Retries {
    /// It stays in transit though nobody has more of it: there is no pause yet.
    pub(super) fn stuck(&mut self, now: Instant, path: &[u8], content: ContentId) {
        let known = self.paths.get_mut(path);
        if let Some(retry) = known.filter(|retry| retry.content == content) {
            if retry.cause == Cause::Fault {
                retry.since = now;
            }
            retry.cause = Cause::Gone;
            return;
        }
        self.make_room(path);
        let stuck = Retry::new(now, content, Cause::Gone);
        self.paths.insert(path.to_vec(), stuck);
    }

    fn make_room(&mut self, path: &[u8]) {
        if self.paths.len() >= MAX_PATHS && !self.paths.contains_key(path) {
            // Not one that is to be tried soon: each would be forgotten before its turn comes again, and none ever waits long.
            let last = self.paths.iter().max_by_key(|(_, retry)| retry.since);
            if let Some(last) = last.map(|(path, _)| path.clone()) {
                self.paths.remove(&last);
            }
        }
    }

    fn failed(&mut self, now: Instant, path: &[u8], content: ContentId, cause: Cause) {
        self.make_room(path);
        let before = self.paths.get(path);
        let before = before.filter(|retry| retry.content == content);
        let failures = before.map_or(0, |retry| retry.failures);
        let is_fault = cause == Cause::Fault;
        let alike = before.filter(|retry| (retry.cause == Cause::Fault) == is_fault);
        let since = alike.map_or(now, |retry| retry.since);
        let retry = Retry {
            failures: failures.saturating_add(1),
            since,
            not_before: now + FIRST_PAUSE * (1 << failures.min(DOUBLINGS)),
            ..Retry::new(now, content, cause)
        };
        self.paths.insert(path.to_vec(), retry);
    }

    /// Until when this content is not tried for a path, and why.
    #[must_use]
    pub fn pause(&self, now: Instant, path: &[u8], content: ContentId) -> Option<(Instant, Cause)> {
        let retry = self.paths.get(path)?;
        (retry.content == content && now < retry.not_before)
            .then_some((retry.not_before, retry.cause))
    }

    /// Paths whose content nobody has, or nobody as it should be, and that have waited so long for it.
    pub fn waiting_since(&self, now: Instant, long: Duration) -> impl Iterator<Item = &[u8]> {
        let all = self.paths.iter();
        let waiting = all.filter(move |(_, it)| {
            it.cause != Cause::Fault && now.saturating_since(it.since) >= long
        });
        waiting.map(|(path, _)| path.as_slice())
    }

    /// Who sent wrong bytes when it failed.
    pub(super) fn note_wrong(&mut self, path: &[u8], wrong: PeerSet) {
        if let Some(retry) = self.paths.get_mut(path) {
            retry.wrong = wrong;
        }
    }

    fn wrong(&self, path: &[u8], content: ContentId) -> PeerSet {
        let retry = self.paths.get(path);
        let retry = retry.filter(|retry| retry.content == content);
        retry.map_or(PeerSet::EMPTY, |retry| retry.wrong)
    }

    /// A peer connected.
    pub fn connected(&mut self) {
        for retry in self.paths.values_mut() {
            retry.end_pause();
        }
    }

    /// A peer tells that it fetches this content: who has parts of it can give them only while both try. True if a pause ends.
    pub fn sought(&mut self, now: Instant, content: ContentId) -> bool {
        let mut any = false;
        for retry in self.paths.values_mut() {
            if retry.content == content
                && retry.cause == Cause::Gone
                && now < retry.not_before
                && now.saturating_since(retry.failed_at) >= DEAF
            {
                retry.end_pause();
                any = true;
            }
        }
        any
    }

    /// A peer told of this path.
    pub fn told(&mut self, path: &[u8]) {
        if let Some(retry) = self.paths.get_mut(path) {
            retry.end_pause();
        }
    }
}

impl Retry {
    /// One without a pause.
    fn new(now: Instant, content: ContentId, cause: Cause) -> Self {
        Self {
            content,
            cause,
            failures: 0,
            since: now,
            failed_at: now,
            not_before: Instant::ZERO,
            wrong: PeerSet::EMPTY,
        }
    }

    fn end_pause(&mut self) {
        if self.cause != Cause::Fault {
            self.not_before = Instant::ZERO;
        }
    }
}

/// The cause of an error that is a path's content; nothing but the fetching sets or clears it.
fn error_key(path: &[u8]) -> String {
    format!("fetch {}", Escaped(path))
}

impl<D: Disk> Peer<D> {
    /// Nobody has more of a content, but it stays in transit.
    pub(super) fn fetch_is_stuck(&mut self, which: &Fetched<'_>, why: String) {
        self.errors.set(&error_key(which.path), why);
        let retries = &mut self.fetching.retries;
        retries.stuck(self.now.mono, which.path, which.content);
    }

    /// A content could not be fetched for a path: `why` is the sentence for `status`.
    pub(super) fn fetch_failed(&mut self, which: &Fetched<'_>, cause: Cause, why: String) {
        self.errors.set(&error_key(which.path), why);
        self.fetching
            .retries
            .failed(self.now.mono, which.path, which.content, cause);
        self.plan.retry_later();
    }

    /// A connected peer that has not sent wrong bytes.
    pub(super) fn better_source(&self, wrong: PeerSet) -> Option<PeerSlot> {
        (0..self.config.peers.len())
            .filter_map(PeerSlot::new)
            .find(|peer| !wrong.contains(*peer) && self.engine.connected_index(*peer).is_some())
    }

    /// Whom to ask first: who told of it, or another one if that sent wrong bytes the last time.
    pub(super) fn first_source(
        &self,
        which: &Fetched<'_>,
        told_by: Option<PeerSlot>,
    ) -> Option<PeerSlot> {
        let wrong = self.fetching.retries.wrong(which.path, which.content);
        let better = told_by.filter(|peer| wrong.contains(*peer));
        let better = better.and_then(|_| self.better_source(wrong));
        better.or(told_by)
    }

    /// What nobody had comes.
    pub(super) fn fetch_goes_on(&mut self, path: &[u8]) {
        let retry = self.fetching.retries.paths.get(path);
        if retry.is_some_and(|retry| retry.cause == Cause::Gone) {
            self.errors.clear(&error_key(path));
        }
    }

    /// Forgets failures of paths that are not pending any more, what was said of them, and what is stuck on its way there.
    pub(in crate::peer) fn forget_fetched(&mut self) -> Result<(), StoreError> {
        let mut over = Vec::new();
        for path in self.fetching.retries.paths.keys() {
            if self.store.pending(path)?.is_none() {
                over.push(path.clone());
            }
        }
        for path in over {
            self.fetching.retries.paths.remove(&path);
            self.errors.clear(&error_key(&path));
        }
        self.end_unwanted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: ContentId = ContentId([1; 32]);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew_with_another_content() {
        let mut retries = Retries::default();
        let mut now = at(0);
        let mut pauses = vec![];
        for _ in 0..10 {
            retries.failed(now, b"path", CONTENT, Cause::Fault);
            let (until, _) = retries.pause(now, b"path", CONTENT).unwrap();
            pauses.push((until - now).as_millis());
            assert_eq!(retries.pause(until, b"path", CONTENT), None);
            now = until;
        }
        assert_eq!(pauses[..4], [500, 1000, 2000, 4000]);
        assert_eq!(pauses[8..], [64_000, 64_000]);
        assert_eq!(retries.pause(now, b"other", CONTENT), None);
        let other = ContentId([2; 32]);
        assert_eq!(retries.pause(now, b"path", other), None);
        retries.failed(now, b"path", other, Cause::Fault);
        let (until, _) = retries.pause(now, b"path", other).unwrap();
        assert_eq!((until - now).as_millis(), 500);
    }

    #[test]
    fn a_peer_ends_the_pauses_of_what_only_others_could_not_give() {
        let mut retries = Retries::default();
        retries.failed(at(0), b"gone", CONTENT, Cause::Gone);
        retries.failed(at(0), b"told", CONTENT, Cause::Gone);
        retries.failed(at(0), b"wrong", CONTENT, Cause::Wrong);
        retries.failed(at(0), b"disk", CONTENT, Cause::Fault);
        let paused = |retries: &Retries, path: &[u8]| retries.pause(at(1), path, CONTENT).is_some();
        retries.told(b"told");
        retries.told(b"disk");
        assert!(paused(&retries, b"gone") && !paused(&retries, b"told"));
        retries.connected();
        assert!(!paused(&retries, b"gone") && !paused(&retries, b"wrong"));
        assert!(paused(&retries, b"disk"));
    }

    #[test]
    fn who_sent_wrong_bytes_of_a_content_is_remembered_whatever_ends_its_pause() {
        let (mut retries, mut liars) = (Retries::default(), PeerSet::EMPTY);
        liars.insert(PeerSlot::new(2).unwrap());
        retries.failed(at(0), b"path", CONTENT, Cause::Wrong);
        retries.note_wrong(b"path", liars);
        assert_eq!(retries.wrong(b"path", CONTENT), liars);
        retries.connected();
        retries.told(b"path");
        assert_eq!(retries.wrong(b"path", CONTENT), liars);
        // Of another content it may have the right bytes, and so may who has not been found out the next time.
        assert_eq!(retries.wrong(b"path", ContentId([2; 32])), PeerSet::EMPTY);
        assert_eq!(retries.wrong(b"other", CONTENT), PeerSet::EMPTY);
        retries.failed(at(1), b"path", CONTENT, Cause::Wrong);
        assert_eq!(retries.wrong(b"path", CONTENT), PeerSet::EMPTY);
    }

    #[test]
    fn who_fetches_a_content_ends_its_pause_but_not_at_once() {
        let mut retries = Retries::default();
        let (one, other) = (ContentId([1; 32]), ContentId([2; 32]));
        for _ in 0..5 {
            retries.failed(at(0), b"gone", one, Cause::Gone);
            retries.failed(at(0), b"fault", one, Cause::Fault);
        }
        assert!(
            !retries.sought(at(1999), one),
            "they may have failed together"
        );
        assert!(!retries.sought(at(2000), other));
        assert!(retries.sought(at(2000), one));
        assert_eq!(retries.pause(at(2000), b"gone", one), None);
        assert!(retries.pause(at(2000), b"fault", one).is_some());
        assert!(!retries.sought(at(2000), one), "no pause is left");
    }

    #[test]
    fn what_is_stuck_has_no_pause_until_it_gives_way() {
        let mut retries = Retries::default();
        let content = ContentId([1; 32]);
        retries.stuck(at(0), b"a", content);
        assert_eq!(retries.pause(at(0), b"a", content), None);
        retries.failed(at(0), b"a", content, Cause::Gone);
        assert!(retries.pause(at(499), b"a", content).is_some());
        retries.stuck(at(0), b"a", content);
        assert!(
            retries.pause(at(499), b"a", content).is_some(),
            "known already"
        );
    }

    #[test]
    fn the_paths_are_bounded() {
        let mut retries = Retries::default();
        for number in 0..2 * MAX_PATHS {
            let now = at(number as u64);
            retries.failed(now, &number.to_be_bytes(), CONTENT, Cause::Fault);
        }
        assert_eq!(retries.paths.len(), MAX_PATHS);
    }

    #[test]
    fn of_too_many_paths_some_wait_long_nevertheless() {
        let mut retries = Retries::default();
        for second in 0..61 {
            for number in 0..2 * MAX_PATHS {
                let path = number.to_be_bytes();
                if retries.pause(at(second * 1000), &path, CONTENT).is_none() {
                    retries.failed(at(second * 1000), &path, CONTENT, Cause::Gone);
                }
            }
        }
        let waiting = retries.waiting_since(at(60_000), Duration::from_secs(60));
        assert_eq!(waiting.count(), MAX_PATHS - 1);
    }

    #[test]
    fn a_fault_of_the_disk_is_no_time_without_the_content() {
        let mut retries = Retries::default();
        let minute = Duration::from_secs(60);
        let waits = |retries: &Retries, millis| retries.waiting_since(at(millis), minute).count();
        retries.failed(at(0), b"a", CONTENT, Cause::Fault);
        retries.failed(at(70_000), b"a", CONTENT, Cause::Gone);
        assert_eq!(waits(&retries, 70_000), 0);
        retries.failed(at(100_000), b"a", CONTENT, Cause::Wrong);
        assert_eq!(waits(&retries, 129_999), 0);
        assert_eq!(waits(&retries, 130_000), 1);
        retries.failed(at(131_000), b"a", CONTENT, Cause::Fault);
        retries.stuck(at(132_000), b"a", CONTENT);
        assert_eq!(waits(&retries, 191_999), 0);
        assert_eq!(waits(&retries, 192_000), 1);
    }
}
