//! A file of an ancestor's gets into `share/` as if a user had written it (docs/legacy.md, "Taking").

use super::ancestor::{PATH_RETRY, timestamp};
use super::incoming::direct;
use super::job::{Job, SLICE};
use super::seen::{Expected, Seen, Stage};
use super::unpacking::Unpacking;
use super::{Ancestor, Legacy, download};
use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::jobs::Progress;
use crate::jobs::hash::HashJob;
use crate::peer::Peer;
use crate::watch::scan::join;
use proto_core::content::ContentId;
use proto_core::index::conflict::conflict_name;
use proto_core::index::entry::{Entry, IndexId, Kind};
use proto_core::index::version_vector::VersionVector;
use proto_core::legacy::{Fetch, MAX_ADD_TIMES, Ours, Reply, Taking, take};
use proto_core::path::{self, Escaped};
use proto_core::time::{Duration, Instant};
use std::io;

/// Its name in `download/`.
pub const FILE: &[u8] = b"legacy-file";
/// Before what we expect at a path counts.
pub const SETTLED: Duration = Duration::from_secs(1);
/// So long something may stand in the way of landing.
const PATIENCE: Duration = Duration::from_secs(10);
/// What stood still for so long before another bridge was lost, that bridge has taken if it was to be taken.
const LONG_BEFORE: Duration = Duration::from_secs(20);
/// Names that are tried for a conflict copy.
const COPIES: u32 = 100;

/// A file on its way into `share/`.
pub struct Landing<F> {
    place: usize,
    path: Vec<u8>,
    mtime: u64,
    size: u64,
    /// When its last byte came.
    came_at: Instant,
    /// Until it is hashed.
    pub hashing: Option<HashJob<F>>,
    content: ContentId,
    /// What it was unpacked from.
    pub rest: Option<Box<Unpacking<F>>>,
    /// The question whether the ancestor's file is as long as the member: it may have packed a file that was still being written.
    confirming: Option<Box<Fetch>>,
}

impl<F: DiskFile> Landing<F> {
    /// A file that has come from the ancestor at `place`, where it has this time, and is not hashed yet.
    pub fn new(now: Instant, place: usize, path: Vec<u8>, mtime: u64, file: F, size: u64) -> Self {
        Self {
            place,
            path,
            mtime,
            size,
            came_at: now,
            hashing: Some(HashJob::new(file, size)),
            content: ContentId([0; 32]),
            rest: None,
            confirming: None,
        }
    }

    /// Takes an answer of the ancestor at `place`. False: nothing was asked of that.
    pub fn handle_reply(&mut self, now: Instant, place: usize, reply: &Reply<'_>) -> bool {
        match &mut self.confirming {
            Some(fetch) if self.place == place => {
                fetch.handle_reply(now, reply);
                true
            }
            _ => false,
        }
    }

    /// Writes the next request: to which ancestor, its length, and the bytes that it asks for.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, usize, usize)> {
        let fetch = self.confirming.as_mut()?;
        if fetch.size().is_some() {
            return None;
        }
        let len = fetch.poll_transmit(now, out)?;
        Some((self.place, len, fetch.asked_bytes()))
    }

    /// When to poll again, if requests may leave from `ready` on.
    pub fn next_wake(&self, ready: Instant) -> Instant {
        match &self.confirming {
            _ if self.hashing.is_some() => Instant::ZERO,
            Some(fetch) if fetch.size().is_none() => fetch.poll_timeout().max(ready),
            // It waits for the ancestor or for the index.
            _ => Instant::FAR_FUTURE,
        }
    }

    /// Whether the ancestor's file is as long as what was unpacked; `None` before that is known.
    fn is_confirmed(&mut self, now: Instant) -> Option<bool> {
        if self.rest.is_none() {
            return Some(true);
        }
        if self.confirming.is_none() {
            let name = std::str::from_utf8(&self.path).map(direct);
            let fetch = name.ok().and_then(|name| Fetch::new(now, &name));
            self.confirming = fetch.map(Box::new);
        }
        let Some(fetch) = &self.confirming else {
            return Some(false);
        };
        match fetch.size() {
            Some(size) => Some(size == self.size),
            None => fetch.failed().map(|_| false),
        }
    }
}

impl<D: Disk> Legacy<D> {
    pub(super) fn step_land(
        &mut self,
        now: Now,
        peer: &mut Peer<D>,
        mut landing: Box<Landing<D::File>>,
    ) -> bool {
        if let Some(hashing) = &mut landing.hashing {
            match hashing.step(SLICE, &mut |_, _| Ok(())) {
                Ok(Progress::More) => {
                    self.job = Job::Land(landing);
                    return true;
                }
                Ok(Progress::Done(hashed)) if hashed.size == landing.size => {
                    landing.content = hashed.content;
                    landing.hashing = None;
                }
                _ => return self.landed(now.mono, *landing, Some(PATH_RETRY)),
            }
        }
        let Some(ancestor) = self.ancestors.get_mut(landing.place) else {
            return false;
        };
        if landing.confirming.is_none() && landing.rest.is_some() && ancestor.awaits_late(now.mono)
        {
            self.job = Job::Land(landing);
            return false;
        }
        match landing.is_confirmed(now.mono) {
            None => {
                self.job = Job::Land(landing);
                return false;
            }
            Some(confirmed) => {
                if let Some(fetch) = &landing.confirming {
                    ancestor.late = fetch.unanswered();
                }
                if !confirmed {
                    return self.landed(now.mono, *landing, Some(SETTLED));
                }
            }
        }
        let waited = now.mono.saturating_since(landing.came_at);
        if landing.rest.is_none() && ancestor.told_since < landing.came_at {
            // What came counts only if the file is still the same after it.
            if waited > PATIENCE {
                return self.landed(now.mono, *landing, Some(PATH_RETRY));
            }
            ancestor.asking.hasten(now.mono);
            self.job = Job::Land(landing);
            return false;
        }
        let seen = ancestor.seen.get(&landing.path).copied();
        let Some(seen) = seen.filter(|seen| seen.here && seen.mtime == landing.mtime) else {
            return self.landed(now.mono, *landing, Some(Duration::ZERO));
        };
        let Some((ours, local)) = peer.ours_at(&landing.path) else {
            if waited > PATIENCE {
                return self.landed(now.mono, *landing, Some(PATH_RETRY));
            }
            self.job = Job::Land(landing);
            return false;
        };
        let taking = take(ours, ancestor.foreign(&landing.path, landing.content));
        let ip = ancestor.ip;
        let taking = self.careful(taking, ours, &seen, landing.size);
        let put = match taking {
            Taking::Nothing => Ok(true),
            Taking::New => put(now, peer, &landing, None),
            Taking::Replace => put(now, peer, &landing, local),
            Taking::Copy => put_copy(now, peer, &landing, u32::from(ip)),
        };
        match put {
            Ok(true) => {
                if taking != Taking::Nothing {
                    log::debug!("{ip}: landed {} ({taking:?})", Escaped(&landing.path));
                }
                self.landed(now.mono, *landing, None)
            }
            Ok(false) => self.landed(now.mono, *landing, Some(SETTLED)),
            Err(error) => {
                log::warn!("{} cannot be landed: {error}", Escaped(&landing.path));
                self.landed(now.mono, *landing, Some(PATH_RETRY))
            }
        }
    }

    /// Less is done where what an ancestor has may be no change of its user's.
    fn careful(&self, taking: Taking, ours: Ours, seen: &Seen, size: u64) -> Taking {
        let unpacks_old = || {
            self.ancestors
                .iter()
                .filter(|ancestor| ancestor.is_online())
                .any(|ancestor| ancestor.add_times > Some(MAX_ADD_TIMES))
        };
        let was_taken = || {
            self.took_over_at
                .is_some_and(|at| seen.since + LONG_BEFORE <= at)
        };
        match taking {
            Taking::Replace if seen.may_be_part(size) || unpacks_old() => Taking::Copy,
            // The bridge that led has published or taken it, and then it was deleted.
            Taking::New if ours == Ours::Deleted && seen.known.is_none() && was_taken() => {
                Taking::Nothing
            }
            taking => taking,
        }
    }

    /// A landing is over; with `retry` it is to be tried again after so long.
    fn landed(&mut self, now: Instant, landing: Landing<D::File>, retry: Option<Duration>) -> bool {
        let Landing {
            place,
            path,
            mtime,
            size,
            content,
            rest,
            ..
        } = landing;
        self.reply_stale = true;
        let number = rest.as_ref().map(|rest| rest.number);
        for (other, ancestor) in self.ancestors.iter_mut().enumerate() {
            match retry {
                Some(pause) if other == place => ancestor.postpone(&path, now + pause),
                None if other == place => ancestor.resolve(now, &path, mtime, content),
                None => expect_member(ancestor, &path, content, size, number),
                Some(_) => {}
            }
        }
        if let Some(rest) = rest {
            self.job = Job::Unpack(rest);
        }
        true
    }
}

/// The others unpack the same archive.
fn expect_member(
    ancestor: &mut Ancestor,
    path: &[u8],
    content: ContentId,
    size: u64,
    number: Option<u32>,
) {
    if let Some(number) = number {
        let expected = Expected {
            content,
            size,
            number,
            stage: Stage::Elsewhere,
        };
        ancestor.will_hold(path, expected);
    }
}

fn put<D: Disk>(
    now: Now,
    peer: &mut Peer<D>,
    landing: &Landing<D::File>,
    over: Option<crate::store::Fingerprint>,
) -> io::Result<bool> {
    prepare(peer, landing)?;
    peer.put_from_legacy(now, (FILE, landing.content), &landing.path, over)
}

fn prepare<D: Disk>(peer: &Peer<D>, landing: &Landing<D::File>) -> io::Result<()> {
    let file = peer.disk().open(download(FILE), false)?;
    file.set_mtime(timestamp(landing.mtime))?;
    file.sync_data()
}

/// What both have changed: the ancestor's goes beside ours.
fn put_copy<D: Disk>(
    now: Now,
    peer: &mut Peer<D>,
    landing: &Landing<D::File>,
    who: u32,
) -> io::Result<bool> {
    prepare(peer, landing)?;
    let loser = Entry {
        kind: Kind::File,
        mode: 0o644,
        size: landing.size,
        mtime: timestamp(landing.mtime),
        content: landing.content,
        modified_by: IndexId(u64::from(who)),
        version: VersionVector::default(),
        sequence: 0,
    };
    let parent = path::parent(&landing.path).unwrap_or_default();
    let mut name = heapless::Vec::new();
    for attempt in 0..COPIES {
        conflict_name(path::name(&landing.path), &loser, attempt, &mut name);
        let from = (FILE, landing.content);
        if peer.put_from_legacy(now, from, &join(parent, &name), None)? {
            log::info!(
                "{} was changed by both sides: the other one is kept as {}",
                Escaped(&landing.path),
                Escaped(&name)
            );
            return Ok(true);
        }
    }
    Ok(false)
}
