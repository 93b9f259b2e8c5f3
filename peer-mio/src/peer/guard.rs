//! The guard against mass deletion: a local change that takes away more than a share of the files
//! waits for `tinypeer resume` (docs/architecture.md, "Guards").

use super::Peer;
use crate::clock::Now;
use crate::disk::{At, Disk, FileKind, Place, is_absent};
use crate::store::StoreError;
use proto_core::index::entry::Kind;
use proto_core::path;
use proto_core::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// A folder of so many files or fewer is not guarded: half of it is soon deleted on purpose.
pub const UNGUARDED_FILES: u64 = 63;
/// `--max-delete` with which nothing is guarded.
pub const ALL: u8 = 100;
/// `--max-delete` if it is not given, in percent.
pub const HALF: u8 = 50;

/// A deletion is decided when no other has followed it for so long.
const GRACE: Duration = Duration::from_millis(100);
/// Deletions with shorter pauses between them are one change.
const PAUSE: Duration = Duration::from_secs(10);
/// A few deletions wait no longer than this for other changes to be picked up.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many are a few.
const FEW: usize = 16;
/// Undecided paths remembered; beyond it a census counts, and a scan finds them again.
const MAX_UNDECIDED: usize = 1024;
/// Rows below deleted directories counted at once; beyond it a census counts.
const MAX_COUNTED: u64 = 4096;
/// Rows that a census looks at in one slice: about a millisecond.
const SLICE: usize = 256;
/// Other places of a missing file's content that are looked at.
const OTHER_PLACES: usize = 8;
/// Between two counts while deletions are stopped.
const RECOUNT_PAUSE: Duration = Duration::from_secs(5);

/// What the sentence for `status` is filed under.
const CAUSE: &str = "guard";

/// Deletions that are not decided, and what was decided of the last ones.
#[derive(Debug, Default)]
pub struct Guard {
    /// Paths found missing.
    undecided: BTreeSet<Vec<u8>>,
    /// Whether there were more.
    overflowed: bool,
    /// When the first and the last of them were found.
    first: Instant,
    last: Instant,
    /// When to look whether they can be decided.
    due: Option<Instant>,
    /// Files in the index before the present change, and how many it has deleted.
    files: u64,
    deleted: u64,
    census: Option<Census>,
    /// Files whose deletion waits for `resume`.
    stopped: Option<u64>,
    /// Whether something has changed since they were counted, and when that was.
    changed: bool,
    counted: Instant,
    /// Paths that may be deleted, with all below them.
    released: BTreeSet<Vec<u8>>,
    /// All may be deleted until the scan that finds them has ended.
    all_released: bool,
}

/// A count of the files that the index has and `share/` has not.
#[derive(Debug, Default)]
struct Census {
    /// The row that was looked at last.
    after: Option<Vec<u8>>,
    /// Files that are nowhere: what was moved is not counted.
    missing: u64,
}

impl Guard {
    /// Whether deletions are not decided, or stopped, or just being made.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.is_counting() || self.stopped.is_some() || self.all_released
    }

    fn is_counting(&self) -> bool {
        !self.undecided.is_empty() || self.overflowed || self.census.is_some()
    }

    /// When there is something to decide.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    fn is_released(&self, gone: &[u8]) -> bool {
        let mut place = Some(gone);
        while let Some(path) = place.filter(|_| !self.released.is_empty()) {
            if self.released.contains(path) {
                return true;
            }
            place = path::parent(path);
        }
        self.all_released
    }

    fn most(&self, percent: u8) -> u64 {
        self.files.saturating_mul(u64::from(percent)) / 100
    }
}

impl<D: Disk> Peer<D> {
    /// Whether a live path that is gone from `share/` may get its tombstone now. If not it is
    /// remembered, and comes again when that is decided.
    pub(super) fn may_delete(&mut self, now: Now, gone: &[u8]) -> bool {
        let files = self.store.totals().files;
        let guard = &mut self.guard;
        if self.config.max_delete >= ALL || guard.is_released(gone) {
            return true;
        }
        if guard.stopped.is_some() {
            return false;
        }
        if !guard.is_counting() {
            if guard.files == 0 || now.mono.saturating_since(guard.last) >= PAUSE {
                guard.files = files;
                guard.deleted = 0;
            }
            if guard.files <= UNGUARDED_FILES {
                guard.files = 0;
                return true;
            }
            guard.first = now.mono;
        }
        if guard.undecided.len() >= MAX_UNDECIDED && !guard.undecided.contains(gone) {
            guard.overflowed = true;
            guard.last = now.mono;
        } else if guard.undecided.insert(gone.to_vec()) {
            guard.last = now.mono;
        }
        guard.due = Some(guard.last + GRACE);
        false
    }

    /// Lets all deletions go on that wait: how many files they take, if they were stopped.
    pub fn resume(&mut self) -> Option<u64> {
        let stopped = self.guard.stopped.take();
        if stopped.is_some() || self.guard.is_counting() {
            self.errors.clear(CAUSE);
            self.guard = Guard::default();
            self.release_all();
        }
        stopped
    }

    /// Decides what can be decided. True if there is more to do at once.
    pub(super) fn step_guard(&mut self, now: Now) -> bool {
        let dirty = &self.dirty;
        self.guard.released.retain(|path| dirty.contains(path));
        if self.guard.census.is_some() {
            return self.step_census(now);
        }
        let quiet = self.scans.is_idle()
            && !self.hashings.any()
            && self
                .dirty
                .next_due()
                .is_none_or(|due| due > now.mono + GRACE / 4);
        if self.guard.all_released && quiet {
            self.guard.all_released = false;
        }
        if self.guard.stopped.is_some() {
            self.guard.changed |= !self.dirty.is_empty();
            let recount = self.guard.counted + RECOUNT_PAUSE;
            self.guard.due = (self.guard.changed && quiet).then_some(recount);
            if self.guard.due.is_none_or(|due| due > now.mono) {
                return false;
            }
            self.begin_census();
            return true;
        }
        if self.guard.due.is_none_or(|due| due > now.mono) {
            return false;
        }
        self.guard.due = None;
        if self.guard.is_counting() {
            if let Err(error) = self.decide(now, quiet) {
                self.store_failed(&error);
            }
            return self.guard.census.is_some();
        }
        false
    }

    fn decide(&mut self, now: Now, quiet: bool) -> Result<(), StoreError> {
        let few = self.guard.undecided.len() <= FEW
            && self.scans.is_idle()
            && now.mono >= self.guard.first + PATIENCE;
        if quiet || few {
            let lost = self.count_undecided()?;
            let most = self.guard.most(self.config.max_delete);
            if let Some(deleted) = lost
                .map(|lost| self.guard.deleted.saturating_add(lost))
                .filter(|deleted| *deleted <= most)
            {
                self.guard.deleted = deleted;
                self.release_undecided(now);
                return Ok(());
            }
        }
        // What was moved is in the index under its new name by then, and is not counted.
        if quiet {
            self.begin_census();
        } else {
            self.guard.due = Some(now.mono + GRACE);
        }
        Ok(())
    }

    /// Files among the undecided paths and below them; `None` if they are too many to count at once.
    fn count_undecided(&self) -> Result<Option<u64>, StoreError> {
        if self.guard.overflowed {
            return Ok(None);
        }
        let (mut files, mut counted) = (0_u64, 0_u64);
        for gone in &self.guard.undecided {
            let Some(row) = self.store.get(gone)? else {
                continue;
            };
            files += u64::from(row.entry.kind == Kind::File);
            if row.entry.kind == Kind::Directory {
                self.store.walk_below(gone, &mut |below, row| {
                    counted += 1;
                    let again = self.guard.undecided.contains(below);
                    files += u64::from(row.entry.kind == Kind::File && !again);
                    if counted > MAX_COUNTED {
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                })?;
            }
            if counted > MAX_COUNTED {
                return Ok(None);
            }
        }
        Ok(Some(files))
    }

    fn begin_census(&mut self) {
        self.guard.census = Some(Census::default());
        self.guard.changed = false;
        self.guard.due = None;
    }

    /// One slice of a census. True: there is more to do.
    fn step_census(&mut self, now: Now) -> bool {
        let Some(mut census) = self.guard.census.take() else {
            return false;
        };
        // A vanished share is no mass deletion.
        if self.disk.check_share().is_err() {
            self.guard.due = Some(now.mono + PAUSE);
            self.guard.changed = true;
            return false;
        }
        match self.count_missing(&mut census) {
            Ok(true) => self.judge(now, census.missing),
            Ok(false) => self.guard.census = Some(census),
            Err(error) => self.store_failed(&error),
        }
        true
    }

    /// True when all rows are counted.
    fn count_missing(&self, census: &mut Census) -> Result<bool, StoreError> {
        let mut budget = SLICE;
        let mut files = Vec::new();
        self.store
            .walk(census.after.clone().as_deref(), &mut |path, row| {
                budget -= 1;
                if row.entry.kind == Kind::File {
                    files.push((path.to_vec(), row.entry.content));
                }
                census.after = Some(path.to_vec());
                if budget == 0 {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
        for (path, content) in files {
            if self.is_there(&path) {
                continue;
            }
            let (mut tries, mut moved) = (OTHER_PLACES, false);
            self.store.paths_of(content, &mut |other| {
                moved = other != path && self.is_there(other);
                tries -= 1;
                if moved || tries == 0 {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
            census.missing += u64::from(!moved);
        }
        Ok(budget > 0)
    }

    /// Whether a file is, or may be, at a path.
    fn is_there(&self, path: &[u8]) -> bool {
        let at = At {
            place: Place::Share,
            path,
        };
        match self.disk.stat(at) {
            Ok(stat) => matches!(stat.kind, FileKind::File | FileKind::Symlink),
            Err(error) => !is_absent(&error),
        }
    }

    fn judge(&mut self, now: Now, missing: u64) {
        self.guard.counted = now.mono;
        let deleted = self.guard.deleted.saturating_add(missing);
        if deleted <= self.guard.most(self.config.max_delete) {
            self.guard.deleted = deleted;
            self.errors.clear(CAUSE);
            if self.guard.overflowed || self.guard.stopped.take().is_some() {
                self.release_all();
            } else {
                self.release_undecided(now);
            }
            return;
        }
        self.guard.undecided.clear();
        self.guard.overflowed = false;
        self.guard.stopped = Some(missing);
        let files = self.guard.files;
        self.errors.set(
            CAUSE,
            format!(
                "{missing} of {files} files are gone from share/: nothing is deleted on other peers until 'tinypeer resume'; or put them back"
            ),
        );
    }

    /// The undecided paths are looked at again, and may go then.
    fn release_undecided(&mut self, now: Now) {
        self.guard.released = std::mem::take(&mut self.guard.undecided);
        for path in &self.guard.released {
            self.dirty.mark(now.mono, path, Duration::ZERO);
        }
    }

    fn release_all(&mut self) {
        self.guard.undecided.clear();
        self.guard.overflowed = false;
        self.guard.all_released = true;
        self.scans.add_full();
    }
}
