//! Complete contents land in groups: one flush, one commit for many (docs/architecture.md, "Landing").

use super::Peer;
use super::landing::{FLUSH_EACH, Flushing, Group, Ready};
use super::touched::Touched;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place, Stat};
use crate::store::Durability;
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
        let waits =
            !each && !last && !self.is_landing_full() && now.mono < self.landing.group_due();
        if waits {
            return false;
        }
        if !self.is_share_usable() {
            self.leave_all();
            return true;
        }
        // Not by their number: it may have become less since they were readied.
        if !each
            && self.config.flushing != Flushing::Never
            && self.landing.needs_flush()
            && let Err(error) = self.disk.sync_all()
        {
            self.errors
                .set("flush", format!("the disk cannot be flushed: {error}"));
            self.leave_all();
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
        let prepared = entry.map_or(Ok(()), |entry| {
            ready.set_attributes(&entry)?;
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
            if let Some(ready) = self.landing.ready.get_mut(place) {
                ready.alone = flushed;
            }
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
            // If it fails, the next start tries again.
            let _ = ready.file.set_mode(PRIVATE);
        }
    }

    fn leave_all(&mut self) {
        let landing = std::mem::take(&mut self.landing);
        for ready in landing.all() {
            self.leave(ready);
        }
        self.plan.retry_later();
    }

    /// Lands some of the group, and ends it with the last one. A directory that had to be opened for it is not left so for
    /// the next turn, in which it would pass for a change.
    fn land_slice(&mut self, now: Now) {
        let never = self.config.flushing == Flushing::Never;
        if never && !self.store.is_pending_durable() && !self.commit_changes(Durability::Durable) {
            // By what is pending, the start after a power cut knows torn files of which no row speaks. It is tried again.
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
            let result = self.land_path(now, &ready.path, Some(&ready), &mut group.touched);
            if matches!(result, Ok(true)) {
                let time = now.mono.saturating_since(ready.started);
                let landed = (ready.path.clone(), ready.size, ready.fetched, time);
                group.landed.push(landed);
                if never {
                    self.changes.note_landed();
                }
            } else {
                group.touched.flush |= result.is_ok();
                self.leave(&ready);
            }
            self.landed(now, &ready.path, result.map(|_| ()));
        }
        self.landing.group = Some(group);
    }

    fn end_group(&mut self, group: Group<D::File>) {
        self.plan.content_landed();
        let finished = if self.needs_no_flush(&group.touched) {
            self.close_way(&group.touched);
            self.errors.clear("flush");
            true
        } else {
            self.finish_landing(&group.touched)
        };
        if finished {
            for (path, size, fetched, time) in group.landed {
                self.report.landed(&path, size, fetched, time);
            }
        }
    }

    /// Whether only new files came, which are not flushed.
    fn needs_no_flush(&self, touched: &Touched) -> bool {
        self.config.flushing == Flushing::Never && !touched.flush
    }

    /// Lands no more of a group that has begun: what has landed is committed, the others are planned anew.
    pub(super) fn break_off_landing(&mut self) {
        if let Some(group) = self.landing.group.take() {
            for ready in group.rest.as_slice() {
                self.leave(ready);
            }
            self.end_group(group);
        }
    }

    /// Whether a group has landed in part: its own commit follows in a moment.
    pub(super) fn is_landing(&self) -> bool {
        self.landing.group.is_some()
    }

    /// A name that a power cut may lose must not be in the index: that would be a deletion.
    pub(super) fn landed_not_flushed(&mut self, error: &io::Error) {
        self.errors
            .set("flush", format!("a directory cannot be flushed: {error}"));
        self.take_changes_back();
        self.plan.retry_later();
    }

    /// What of a group has landed is in its directories for good, before anything else is committed.
    pub(super) fn flush_landed(&mut self) -> io::Result<()> {
        let group = self.landing.group.as_ref();
        if group.is_none_or(|group| self.needs_no_flush(&group.touched)) {
            return Ok(());
        }
        if let Some(group) = &mut self.landing.group {
            group.touched.sync(&self.disk)?;
            group.touched.flushed();
        }
        Ok(())
    }

    /// Flushes the directories, then commits: only now the index says that the files are there.
    pub(super) fn finish_landing(&mut self, touched: &Touched) -> bool {
        let flushed = touched.sync(&self.disk);
        self.close_way(touched);
        if let Err(error) = flushed {
            self.landed_not_flushed(&error);
            return false;
        }
        self.errors.clear("flush");
        self.commit_changes(Durability::Durable)
    }
}
