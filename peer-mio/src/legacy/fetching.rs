//! A file of an ancestor's on its way to `download/`.

use super::ancestor::PATH_RETRY;
use super::incoming::Goal;
use super::job::Job;
use super::landing::{FILE, Landing};
use super::unpacking::{ARCHIVE, Unpacking};
use super::{Legacy, ROOM, create_anew};
use crate::disk::{Disk, DiskFile};
use crate::peer::Peer;
use proto_core::legacy::{Fetch, FetchError, Fetched, Reply};
use proto_core::time::Instant;
use std::io;

/// A fetch under way.
pub struct Fetching<F> {
    place: usize,
    goal: Goal,
    fetch: Box<Fetch>,
    file: Option<F>,
    room_checked: bool,
    failed: Option<io::Error>,
}

impl<F: DiskFile> Fetching<F> {
    /// Takes an answer of the ancestor at `place`. False: nothing was asked of that.
    pub fn handle_reply(&mut self, now: Instant, place: usize, reply: &Reply<'_>) -> bool {
        if self.place != place {
            return false;
        }
        if let Some(Fetched::Bytes(offset, bytes)) = self.fetch.handle_reply(now, reply)
            && let Some(file) = &self.file
            && let Err(error) = file.write_all_at(offset, bytes)
        {
            self.failed.get_or_insert(error);
        }
        true
    }

    /// Writes the next request: to which ancestor, its length, and the bytes that it asks for.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, usize, usize)> {
        if self.is_over() {
            return None;
        }
        let len = self.fetch.poll_transmit(now, out)?;
        Some((self.place, len, self.fetch.asked_bytes()))
    }

    /// When to poll again, if requests may leave from `ready` on.
    pub fn next_wake(&self, ready: Instant) -> Instant {
        if self.is_over() {
            Instant::ZERO
        } else {
            self.fetch.poll_timeout().max(ready)
        }
    }

    fn is_over(&self) -> bool {
        self.failed.is_some()
            || self.fetch.failed().is_some()
            || self.fetch.is_done()
            || (matches!(self.goal, Goal::Size(..)) && self.fetch.size().is_some())
    }

    fn failure(&self) -> Option<String> {
        let sentence = match self.fetch.failed() {
            _ if self.failed.is_some() => return self.failed.as_ref().map(io::Error::to_string),
            Some(FetchError::NotFound) => "it is not there",
            Some(FetchError::Changed) => "it changes",
            Some(FetchError::Silent) => "nothing comes any more",
            None => return None,
        };
        Some(sentence.to_owned())
    }
}

impl<D: Disk> Legacy<D> {
    pub(super) fn begin_fetch(
        &mut self,
        now: Instant,
        peer: &Peer<D>,
        place: usize,
        goal: Goal,
        name: &str,
    ) -> io::Result<()> {
        let to = match &goal {
            Goal::Batch(..) => Some(ARCHIVE),
            Goal::File(..) => Some(FILE),
            Goal::Size(..) => None,
        };
        let file = to.map(|to| create_anew(peer.disk(), to)).transpose()?;
        let fetch = Fetch::new(now, name).ok_or(io::ErrorKind::InvalidInput)?;
        self.job = Job::Fetch(Fetching {
            place,
            goal,
            fetch: Box::new(fetch),
            file,
            room_checked: false,
            failed: None,
        });
        Ok(())
    }

    /// A slice of a fetch. True if there is more to do at once.
    pub(super) fn step_fetch(
        &mut self,
        now: Instant,
        peer: &Peer<D>,
        mut fetching: Fetching<D::File>,
    ) -> bool {
        if let Some(size) = fetching.fetch.size().filter(|_| !fetching.room_checked) {
            fetching.room_checked = true;
            let free = peer.disk().space().map_or(u64::MAX, |space| space.free);
            if fetching.file.is_some() && free < size.saturating_add(ROOM) {
                fetching.failed = Some(io::Error::other("there is no room for it on the disk"));
            }
        }
        if !fetching.is_over() {
            self.job = Job::Fetch(fetching);
            return false;
        }
        if let Some(ancestor) = self.ancestors.get_mut(fetching.place) {
            ancestor.late = fetching.fetch.unanswered();
        }
        match fetching.failure() {
            Some(why) => self.fetch_failed(now, &fetching, &why),
            None => self.fetched(now, fetching),
        }
    }

    fn fetch_failed(&mut self, now: Instant, fetching: &Fetching<D::File>, why: &str) -> bool {
        let Some(ancestor) = self.ancestors.get_mut(fetching.place) else {
            return false;
        };
        log::debug!("{}: {:?}: {why}", ancestor.ip, fetching.fetch.name());
        match &fetching.goal {
            // Its files come one by one.
            Goal::Batch(number, _) => ancestor.taken = *number,
            Goal::File(path, _) | Goal::Size(path, ..) => {
                ancestor.postpone(path, now + PATH_RETRY);
            }
        }
        false
    }

    fn fetched(&mut self, now: Instant, fetching: Fetching<D::File>) -> bool {
        let Some(ancestor) = self.ancestors.get_mut(fetching.place) else {
            return false;
        };
        let size = fetching.fetch.size().unwrap_or(0);
        match (fetching.goal, fetching.file) {
            (Goal::Batch(number, told_at), Some(file)) => {
                ancestor.taken = number;
                match Unpacking::new(fetching.place, (number, told_at), file) {
                    Ok(unpacking) => self.job = Job::Unpack(Box::new(unpacking)),
                    Err(error) => {
                        ancestor.rejected += 1;
                        log::warn!("{}: zip{number}.zip is refused: {error}", ancestor.ip);
                    }
                }
            }
            (Goal::File(path, mtime), Some(file)) => {
                let landing = Landing::new(now, fetching.place, path, mtime, file, size);
                self.job = Job::Land(Box::new(landing));
            }
            (Goal::Size(path, mtime, expected), _) => {
                if size != expected.size {
                    if let Some(seen) = ancestor.seen.get_mut(&path) {
                        seen.is_not(now, size);
                    }
                } else if ancestor.seen.get(&path).map(|seen| seen.mtime) == Some(mtime) {
                    ancestor.resolve(now, &path, mtime, expected.content);
                    self.reply_stale = true;
                }
            }
            (_, None) => {}
        }
        true
    }
}
