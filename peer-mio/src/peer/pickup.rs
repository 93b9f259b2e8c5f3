//! Picking up a local change: a dirty path is looked at, hashed if it differs, and given a version
//! (docs/architecture.md, "Picking up a change").

use super::errors::unread_sentence;
use super::hashing::{HASH_SLICE, Lane};
use super::{AT_ONCE, Peer};
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, Stat, is_absent};
use crate::store::{Fingerprint, Row, StoreError};
use crate::watch::dirty::{RETRY_PAUSE, SECOND_LOOK, SETTLED_PAUSE};
use crate::watch::scan::{Scan, fingerprint};
use proto_core::content::ContentId;
use proto_core::index::entry::{Kind, MODE_MASK, Timestamp};
use proto_core::index::reconcile::Found;
use proto_core::path;
use proto_core::time::Duration;
use std::io;

/// Dirty paths looked at in one slice ...
const SLICE: usize = 16;
/// ... unless so many bytes were hashed for them: about two milliseconds, and one file more.
const SLICE_BYTES: u64 = 4 * 1024 * 1024;
/// A file whose ctime is this young may change again within the same tick of the file clock.
const RACY_NANOS: i128 = 20_000_000;
/// No turn of the loop takes longer.
const TURN_NANOS: i128 = 1_000_000_000;

/// What became of a look at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Looked {
    /// The index says what is there.
    Done,
    /// It is hashed, looked at again or scanned before it does, or cannot be read.
    Later,
}

impl<D: Disk> Peer<D> {
    /// Hashes a slice of a large file, and looks at some dirty paths or hashes a slice of another file. True if there is
    /// more to do now.
    pub(super) fn pick_up(&mut self, now: Now) -> bool {
        let mut more = false;
        for lane in [Lane::Large, Lane::Small] {
            if self.hashings.is_ready(lane, now.mono) {
                if let Err(error) = self.hash_slice(now, lane) {
                    self.store_failed(&error);
                    return true;
                }
                // One that waits for the disk goes on by itself.
                more |= !self.hashings.has(lane) || self.hashings.is_ready(lane, now.mono);
            }
        }
        if self.hashings.has(Lane::Small) {
            return more;
        }
        if !self.hashings.has(Lane::Large)
            && let Some(parked) = self.dirty.take_parked()
        {
            // It waited for the lane, however many others do.
            self.dirty.mark(now.mono, &parked, Duration::ZERO);
            more = true;
        }
        more |= self.look_at_dirty(now);
        // One may have begun just now, or was left, and the next one has its place.
        more || self.hashings.is_ready(Lane::Large, now.mono)
            || !self.hashings.has(Lane::Large) && self.dirty.waiting() < self.dirty.len()
    }

    fn look_at_dirty(&mut self, now: Now) -> bool {
        let hashed_before = self.changes.hashed_bytes();
        for place in 0..SLICE {
            let Some(dirty) = self.dirty.take_due(now.mono) else {
                return false;
            };
            if place == 0 && !self.share_is_there(now, &dirty) {
                return false;
            }
            match self.look(now, &dirty) {
                Ok(Looked::Done) => self.errors.clear_unread(&dirty),
                Ok(Looked::Later) => {}
                Err(error) => {
                    self.store_failed(&error);
                    return true;
                }
            }
            let hashed = self.changes.hashed_bytes().saturating_sub(hashed_before);
            if self.hashings.has(Lane::Small) || hashed >= SLICE_BYTES {
                // One that waits for the disk goes on by itself.
                return !self.hashings.has(Lane::Small)
                    || self.hashings.is_ready(Lane::Small, now.mono);
            }
        }
        true
    }

    /// Whether `share/` is the folder that it was: a vanished one is no mass deletion. If it is not, `dirty` is looked at
    /// later.
    fn share_is_there(&mut self, now: Now, dirty: &[u8]) -> bool {
        match self.disk.check_share() {
            Ok(()) => {
                self.errors.clear("share");
                true
            }
            Err(error) => {
                self.errors
                    .set("share", format!("share/ cannot be used: {error}"));
                self.dirty.mark(now.mono, dirty, RETRY_PAUSE);
                false
            }
        }
    }

    /// Whether the index has just what is at a path, so that an event says nothing new: mostly that we landed it. What is
    /// written later makes an event of its own.
    pub(super) fn is_indexed(&self, path: &[u8], stat: &Stat) -> bool {
        let told = stat.kind == FileKind::File
            && stat.links == 1
            && !self.dirty.contains(path)
            && !self.hashings.is_at(path)
            && !self.errors.is_unread(path);
        told && self.store.get(path).is_ok_and(|row| {
            row.is_some_and(|row| {
                row.entry.kind == Kind::File
                    && row.local == Some(fingerprint(stat, false))
                    && row.entry.mode == stat.mode & MODE_MASK
                    && !self.recheck.doubts(&row)
            })
        })
    }

    fn look(&mut self, now: Now, dirty: &[u8]) -> Result<Looked, StoreError> {
        let at = At {
            place: Place::Share,
            path: dirty,
        };
        let stat = match self.disk.stat(at) {
            Ok(stat) => Some(stat),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Ok(self.look_failed(now, dirty, &error)),
        };
        if self.is_being_hashed(now, dirty, stat.as_ref())? {
            return Ok(Looked::Later);
        }
        if path::check(dirty).is_err() {
            if stat.is_none() {
                return Ok(Looked::Done);
            }
            let error = io::ErrorKind::InvalidFilename.into();
            let sentence = unread_sentence(dirty, &error);
            self.errors.set_unread(dirty, sentence);
            return Ok(Looked::Later);
        }
        if stat.is_none_or(|stat| stat.kind != FileKind::Directory) {
            self.came.take(dirty);
        }
        let row = self.store.get(dirty)?;
        let live = row.as_ref().filter(|row| row.entry.kind != Kind::Tombstone);
        let was_directory = live.is_some_and(|row| row.entry.kind == Kind::Directory);
        let is_directory = stat.is_some_and(|stat| stat.kind == FileKind::Directory);
        let vanishes = match stat {
            None => live.is_some(),
            Some(stat) => live.is_some() && stat.kind == FileKind::Other,
        };
        if let (None, Some(row)) = (&stat, live)
            && self.may_be_torn(row)
        {
            if self.share_is_there(now, dirty) {
                self.land_again(now, dirty, row, None)?;
            }
            return Ok(Looked::Later);
        }
        if vanishes || was_directory && !is_directory {
            // Once more: it may have gone since the slice began.
            if !self.share_is_there(now, dirty) || !self.may_delete(now, dirty) {
                return Ok(Looked::Later);
            }
        }
        if was_directory && !is_directory && !self.bury_below(now, dirty)? {
            return Ok(Looked::Later);
        }
        match stat {
            Some(stat) if stat.kind == FileKind::Symlink => {
                return self.look_at_symlink(now, dirty, row.as_ref(), &stat);
            }
            Some(stat) if stat.kind == FileKind::Other => {
                self.skipped
                    .note(dirty, format_args!("a socket, fifo or device"));
            }
            _ => self.skipped.forget(dirty),
        }
        match stat {
            Some(stat) if stat.kind == FileKind::Directory => {
                self.look_at_directory(now, dirty, row.as_ref(), &stat)
            }
            Some(stat) if stat.kind == FileKind::File => {
                self.look_at_file(now, dirty, row.as_ref(), &stat, false)
            }
            _ => {
                if let Some(row) = live {
                    self.record_deletion(now, dirty, row)?;
                }
                Ok(Looked::Done)
            }
        }
    }

    /// A path cannot be read. That is said, and tried once more soon; then it waits for a scan or an
    /// event.
    pub(super) fn look_failed(&mut self, now: Now, dirty: &[u8], error: &io::Error) -> Looked {
        if self.errors.set_unread(dirty, unread_sentence(dirty, error)) {
            self.dirty.mark(now.mono, dirty, RETRY_PAUSE);
        }
        Looked::Later
    }

    fn look_at_directory(
        &mut self,
        now: Now,
        dirty: &[u8],
        row: Option<&Row>,
        stat: &Stat,
    ) -> Result<Looked, StoreError> {
        let mode = stat.mode & MODE_MASK;
        let known = row.is_some_and(|row| row.entry.kind == Kind::Directory);
        let came = self.came.take(dirty);
        let is_walked = self.dirty.took_listed() && !came;
        // Perhaps it is another one, with something else in it, or can be read by now.
        if came && known || self.errors.is_unread(dirty) {
            self.scans.add(Scan::new(dirty));
        }
        if row.is_some_and(|row| row.entry.kind == Kind::Directory && row.entry.mode == mode) {
            return Ok(Looked::Later);
        }
        let state = Found {
            kind: Kind::Directory,
            mode,
            size: 0,
            mtime: Timestamp::default(),
            content: ContentId::default(),
        };
        self.record(now, dirty, row, state, Vec::new(), None)?;
        if !known && !is_walked {
            // What came with it (moved in, or made before the watch was set).
            self.scans.add(Scan::new(dirty));
        }
        Ok(Looked::Later)
    }

    pub(super) fn look_at_file(
        &mut self,
        now: Now,
        dirty: &[u8],
        row: Option<&Row>,
        stat: &Stat,
        link: bool,
    ) -> Result<Looked, StoreError> {
        let before = fingerprint(stat, link);
        let doubted = row.is_some_and(|row| self.recheck.doubts(row));
        if !doubted && row.is_some_and(|row| row.local == Some(before)) {
            return Ok(Looked::Done);
        }
        let racy = is_racy(now, stat.ctime);
        if racy && stat.size > AT_ONCE {
            self.dirty.mark(now.mono, dirty, SETTLED_PAUSE);
            return Ok(Looked::Later);
        }
        if racy {
            // What is found now is told now; what is written within the same tick, found then.
            self.dirty.mark(now.mono, dirty, SECOND_LOOK);
        }
        let at = At {
            place: Place::Share,
            path: dirty,
        };
        let opened = if link {
            self.disk.open(at, true)
        } else {
            self.disk.open_seen(at)
        };
        // What is hashed at once is looked at right after it.
        let looks = link || stat.size > HASH_SLICE as u64;
        match opened {
            // A link that was turned elsewhere between the two looks, or another file by now.
            Ok(file)
                if looks
                    && !file
                        .stat()
                        .is_ok_and(|stat| fingerprint(&stat, link) == before) =>
            {
                self.dirty.mark(now.mono, dirty, SETTLED_PAUSE);
                Ok(Looked::Later)
            }
            Ok(file) => {
                self.begin_hash(now, dirty, before, racy, stat.mode & MODE_MASK, file)?;
                Ok(Looked::Later)
            }
            Err(error) if is_absent(&error) => {
                self.dirty.mark(now.mono, dirty, SETTLED_PAUSE);
                Ok(Looked::Later)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // Its mode keeps even us from reading it: it came so, or was made so.
                let Some(content) = self.closed_content(dirty, row, &before)? else {
                    return Ok(self.look_failed(now, dirty, &error));
                };
                let state = Found {
                    kind: Kind::File,
                    mode: stat.mode & MODE_MASK,
                    size: before.size,
                    mtime: before.mtime,
                    content,
                };
                self.record(now, dirty, row, state, Vec::new(), Some(before))?;
                Ok(Looked::Done)
            }
            Err(error) => Ok(self.look_failed(now, dirty, &error)),
        }
    }

    /// What a file holds that we may not read: what the index says, or what was to land there (a crash between rename and
    /// commit), if all else is as they say.
    fn closed_content(
        &self,
        path: &[u8],
        row: Option<&Row>,
        before: &Fingerprint,
    ) -> Result<Option<ContentId>, StoreError> {
        if let Some(row) = row.filter(|row| is_same_file(row, before)) {
            return Ok(Some(row.entry.content));
        }
        let pending = self.store.pending(path)?.map(|pending| pending.entry);
        Ok(pending
            .filter(|entry| {
                !before.link
                    && entry.kind == Kind::File
                    && (entry.size, entry.mtime, entry.mode)
                        == (before.size, before.mtime, before.mode & MODE_MASK)
            })
            .map(|entry| entry.content))
    }
}

/// Whether a file is the one of a row, and nobody has written to it since.
fn is_same_file(row: &Row, found: &Fingerprint) -> bool {
    row.entry.kind == Kind::File
        && row.local.is_some_and(|local| {
            local
                == Fingerprint {
                    ctime: local.ctime,
                    mode: local.mode,
                    ..*found
                }
        })
}

/// Whether a later write could leave mtime and ctime as they are, because the file clock has not
/// ticked since the last change. `now` may be that of the turn's begin, a little before the change. A ctime
/// further in the future (the clock was set back) is not waited for.
pub(super) fn is_racy(now: Now, changed: Timestamp) -> bool {
    let age = nanos(now.wall) - nanos(changed);
    (-TURN_NANOS..RACY_NANOS).contains(&age)
}

/// A fingerprint that the file never has, so that its content is compared at the next look.
pub(super) fn never_matching(fingerprint: Fingerprint) -> Fingerprint {
    let ctime = fingerprint.ctime;
    let ctime = match ctime.nsec.checked_sub(1) {
        Some(nsec) => Timestamp { nsec, ..ctime },
        None => Timestamp {
            sec: ctime.sec.saturating_sub(1),
            nsec: 999_999_999,
        },
    };
    Fingerprint {
        ctime,
        ..fingerprint
    }
}

fn nanos(time: Timestamp) -> i128 {
    i128::from(time.sec) * 1_000_000_000 + i128::from(time.nsec)
}
