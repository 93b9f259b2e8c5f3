//! Complete contents land in groups: one flush, one commit for many (docs/architecture.md, "Landing").

use super::Peer;
use super::landing::{FLUSH_EACH, Flushing, Group, Uncommitted};
use super::ready::Ready;
use super::touched::Touched;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place, Stat};
use proto_core::path::Escaped;
use std::io;

/// Files that get mode and time in one slice.
const PREPARED: usize = 64;
/// Files that land in one slice: about two milliseconds.
const LANDED: usize = 32;
/// Mode of what is not landed.
pub(super) const PRIVATE: u16 = 0o600;

impl<D: Disk> Peer<D> {
    /// Prepares waiting files or lands the group. True if there is more to do now.
    pub(super) fn step_landing(&mut self, now: Now) -> bool {
        self.step_flushes(now);
        if self.landing.group.is_some() {
            if self.is_share_usable() {
                self.land_slice(now);
            } else {
                self.break_off_landing();
            }
            return true;
        }
        if self.landing.syncing.is_some() {
            return self.look_at_sync(now);
        }
        for _ in 0..PREPARED {
            if self.landing.prepared == self.landing.ready.len() {
                break;
            }
            if self.prepare_next() {
                // It was flushed, which may have taken its time.
                return true;
            }
        }
        if self.landing.prepared < self.landing.ready.len() {
            return true;
        }
        if self.landing.ready.is_empty() {
            return false;
        }
        let each = self.config.flushing == Flushing::Each;
        let last = self.transfers.is_empty() && self.bundles.is_empty();
        let waits = !each
            && !last
            && self.landing.ready.len() < self.open_files.group / 2
            && now.mono < self.landing.group_due();
        if waits {
            return false;
        }
        if !self.is_share_usable() {
            self.leave_all();
            return true;
        }
        if !self.flush_group(now) {
            return true;
        }
        let most = match self.config.flushing {
            // The others follow, each by itself.
            Flushing::Each => 1,
            Flushing::Group | Flushing::Never => usize::MAX,
        };
        self.landing.begin_group(now, most);
        self.land_slice(now);
        true
    }

    /// Flushes the contents that are about to land, and with them the names of what has landed before. False: that goes on
    /// beside the loop, or has failed.
    fn flush_group(&mut self, now: Now) -> bool {
        // Not by their number: it may have become less since they were readied.
        if self.config.flushing != Flushing::Group || !self.landing.needs_flush() {
            return true;
        }
        if self.disk.begin_sync_all() {
            self.landing.begin_sync(now);
            return false;
        }
        let flushed = self.disk.sync_all();
        self.landing.begin_sync(now);
        self.end_sync(now, flushed).is_some()
    }

    /// Lands what was flushed beside the loop. True if there is more to do now.
    fn look_at_sync(&mut self, now: Now) -> bool {
        let Some(flushed) = self.disk.poll_sync_all() else {
            self.landing.look_again(now);
            return false;
        };
        if let Some(files) = self.end_sync(now, flushed) {
            self.landing.begin_group(now, files);
        }
        true
    }

    /// How many files may land now. What has landed before them may be committed.
    fn end_sync(&mut self, now: Now, flushed: io::Result<()>) -> Option<usize> {
        let files = self.landing.end_sync();
        if let Err(error) = flushed {
            self.errors
                .set("flush", format!("the disk cannot be flushed: {error}"));
            self.leave_all();
            return None;
        }
        self.errors.clear("flush");
        let uncommitted = &mut self.landing.uncommitted;
        let urgent = uncommitted.syncing.is_urgent() || uncommitted.touched.is_urgent();
        uncommitted.syncing.flushed();
        let worth = urgent || self.changes.is_commit_worth(now.mono);
        let failed = worth && !self.commit_changes();
        files.filter(|_| !failed)
    }

    /// Whether anything may land: `share/` is the folder that it was. If not, it is tried again later.
    pub(super) fn is_share_usable(&mut self) -> bool {
        let Err(error) = self.disk.check_share() else {
            return true;
        };
        self.errors
            .set("share", format!("share/ cannot be used: {error}"));
        self.plan.retry_later();
        false
    }

    /// Sets mode and time of the next file, and flushes it if there are few: a group of small ones is
    /// flushed at once. True if it was.
    fn prepare_next(&mut self) -> bool {
        let place = self.landing.prepared;
        let Some(ready) = self.landing.ready.get(place) else {
            return false;
        };
        if ready.flushed {
            self.landing.prepared += 1;
            return false;
        }
        let entry = match self.store.pending(&ready.path) {
            Ok(pending) => pending.map(|pending| pending.entry),
            Err(error) => {
                self.store_failed(&error);
                return true;
            }
        };
        let alone = match self.config.flushing {
            Flushing::Each => true,
            Flushing::Group => self.landing.unflushed() <= FLUSH_EACH,
            Flushing::Never => false,
        };
        // One that is not pending now is not flushed by itself; perhaps it is pending again when the group lands.
        let flushed = alone && entry.is_some();
        let kept = &mut self.landing.kept_times;
        let Some(ready) = self.landing.ready.get_mut(place) else {
            return false;
        };
        let prepared = entry.map_or(Ok(()), |entry| {
            ready.complete_attributes(&entry, kept)?;
            if alone {
                ready.file.sync_data()
            } else {
                Ok(())
            }
        });
        if let Err(error) = prepared {
            let ready = self.landing.ready.remove(place);
            self.leave(&ready);
            let sentence = format!("{} cannot be flushed: {error}", Escaped(&ready.path));
            self.errors.set_path(&ready.path, sentence);
            self.plan.retry_later();
        } else {
            ready.alone = flushed;
            self.landing.prepared += 1;
        }
        alone
    }

    /// What did not land stays in `download/`, with a mode that lets us open it again.
    pub(super) fn leave(&self, ready: &Ready<D::File>) {
        let at = At {
            place: Place::Download,
            path: &ready.name,
        };
        let inode = |stat: io::Result<Stat>| stat.map(|stat| stat.inode).ok();
        if inode(self.disk.stat(at)).is_some_and(|there| inode(ready.file.stat()) == Some(there)) {
            leave_private(&ready.file);
        }
    }

    /// Nothing of what waits lands.
    pub(super) fn leave_all(&mut self) {
        let mut landing = std::mem::take(&mut self.landing);
        self.landing.uncommitted = std::mem::take(&mut landing.uncommitted);
        for ready in landing.all() {
            self.leave(ready);
        }
        self.plan.retry_later();
    }

    /// Lands some of the group, and ends it with the last one. A directory that had to be opened for it is not left so for
    /// the next turn, in which it would pass for a change.
    fn land_slice(&mut self, now: Now) {
        let noted = self.landing.group.as_ref().is_none_or(|group| {
            // By what is pending, the start after a power cut knows torn files of which no row speaks ...
            let never = self.config.flushing == Flushing::Never;
            // ... and any start those that landed and were not committed. Few are committed at once.
            let many = group.landed == 0 && group.rest.len() > FLUSH_EACH;
            !(never || many) || self.store.is_pending_durable()
        });
        if !noted && !self.commit_changes() {
            // It is tried again.
            return;
        }
        let Some(mut group) = self.landing.group.take() else {
            return;
        };
        // A directory on the way may have got another mode meanwhile.
        group.touched.way = None;
        let mut done = 0;
        while done < LANDED || !group.touched.opened.is_empty() {
            let Some(ready) = group.rest.next() else {
                return self.end_group(group);
            };
            done += 1;
            let before = self.changes.count();
            let result = self.land_path(now, &ready.path, Some(&ready), &mut group.touched);
            self.changes.note_landed(before);
            if matches!(result, Ok(true)) {
                let time = now.mono.saturating_since(ready.started);
                let landed = (ready.path.clone(), ready.size, ready.fetched, time);
                self.landing.uncommitted.files.push(landed);
                group.landed += 1;
            } else {
                group.touched.flush |= result.is_ok();
                self.leave(&ready);
            }
            self.landed(now, &ready.path, result.map(|_| ()));
        }
        self.note_names(&mut group.touched);
        self.landing.group = Some(group);
    }

    /// What was touched is flushed before the next commit.
    fn note_names(&mut self, touched: &mut Touched) {
        self.landing.uncommitted.touched.take_names(touched);
    }

    fn end_group(&mut self, mut group: Group<D::File>) {
        self.plan.content_landed();
        // One that a user has just saved is told on without a pause, if a commit is not dear beside a landing that flushes nothing.
        let few = group.landed <= FLUSH_EACH && self.config.flushing != Flushing::Never;
        self.finish_landing(&mut group.touched, few);
    }

    /// Lands no more of a group that has begun: what has landed is committed, the others are planned anew.
    pub(super) fn break_off_landing(&mut self) {
        if let Some(mut group) = self.landing.group.take() {
            for ready in group.rest.as_slice() {
                self.leave(ready);
            }
            self.plan.content_landed();
            self.finish_landing(&mut group.touched, true);
        } else if self.changes.any() || self.landing.uncommitted.touched.any() {
            self.commit_changes();
        }
    }

    /// Whether a group has landed in part: a commit had better wait for the rest.
    pub(super) fn is_landing(&self) -> bool {
        self.landing.group.is_some()
    }

    /// A name that a power cut may lose must not be in the index: that would be a deletion.
    pub(super) fn landed_not_flushed(&mut self, error: &io::Error) {
        self.errors
            .set("flush", format!("a directory cannot be flushed: {error}"));
        self.take_changes_back();
        // What cannot be flushed does not keep all else from being committed.
        self.landing.uncommitted = Uncommitted::default();
        self.plan.retry_later();
    }

    /// What has landed is in its directories for good, before it is committed.
    pub(super) fn flush_landed(&mut self) -> io::Result<()> {
        let Uncommitted {
            touched, syncing, ..
        } = &mut self.landing.uncommitted;
        touched.take_names(syncing);
        if !touched.any() {
            return Ok(());
        }
        if self.config.flushing != Flushing::Never || touched.flush {
            touched.sync(&self.disk)?;
        }
        touched.flushed();
        self.errors.clear("flush");
        Ok(())
    }

    /// What has landed is committed: at once, or if more is under way with what comes next.
    pub(super) fn finish_landing(&mut self, touched: &mut Touched, at_once: bool) {
        self.note_names(touched);
        // Also of earlier slices and groups.
        let noted = &self.landing.uncommitted.touched;
        let flushes = self.config.flushing != Flushing::Never || noted.flush;
        // Not behind a flush of all, whose end sees to it.
        let urgent = !touched.opened.is_empty()
            || flushes && noted.is_urgent() && self.landing.syncing.is_none();
        if at_once || urgent || !self.is_more_coming() {
            self.commit_changes();
        }
        self.close_way(touched);
    }

    /// Whether something will land in a moment.
    pub(super) fn is_more_coming(&self) -> bool {
        !(self.transfers.is_empty() && self.bundles.is_empty() && self.landing.is_empty())
            || self.plan.is_walking()
    }
}

/// What stays in `download/` without waiting to land is for us alone.
#[cold]
pub(super) fn leave_private(file: &impl DiskFile) {
    // If it fails, the next start tries again.
    let _ = file.set_mode(PRIVATE);
}
