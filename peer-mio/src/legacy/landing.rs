//! A file of an ancestor's gets into `share/` as if a user had written it (docs/legacy.md, "Taking").

use super::ancestor::{Expected, PATH_RETRY, timestamp};
use super::job::{Job, SLICE};
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
use proto_core::legacy::{Taking, take};
use proto_core::path::{self, Escaped};
use proto_core::time::{Duration, Instant};
use std::io;

/// Its name in `download/`.
pub const FILE: &[u8] = b"legacy-file";
/// Before what we expect at a path counts.
pub const SETTLED: Duration = Duration::from_secs(1);
/// So long something may stand in the way of landing.
const PATIENCE: Duration = Duration::from_secs(10);
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
        let seen = ancestor.seen.get(&landing.path);
        if seen.is_none_or(|seen| !seen.here || seen.mtime != landing.mtime) {
            return self.landed(now.mono, *landing, Some(Duration::ZERO));
        }
        let Some((ours, local)) = peer.ours_at(&landing.path) else {
            if waited > PATIENCE {
                return self.landed(now.mono, *landing, Some(PATH_RETRY));
            }
            self.job = Job::Land(landing);
            return false;
        };
        let taking = take(ours, ancestor.foreign(&landing.path, landing.content));
        let ip = ancestor.ip;
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
            has_come: false,
        };
        ancestor.expect(path, expected);
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
