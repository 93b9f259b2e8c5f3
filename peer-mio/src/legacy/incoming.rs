//! What ancestors have and we do not know: fetched as a batch or by itself and unpacked; `landing.rs` does the
//! rest. One job at a time.

use super::ancestor::{Expected, PATH_RETRY};
use super::batch::BatchJob;
use super::unpack::{Member, UnpackJob, members};
use super::{Legacy, download};
use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::jobs::hash::HashJob;
use crate::peer::Peer;
use proto_core::content::ContentId;
use proto_core::legacy::{Fetch, FetchError, Fetched, Reply};
use proto_core::path::Escaped;
use proto_core::time::{Duration, Instant};
use std::io;

/// Bytes of work in one turn.
pub const SLICE: usize = 2 * 1024 * 1024;
/// Names in `download/`.
const ARCHIVE: &[u8] = b"legacy-batch";
pub(super) const FILE: &[u8] = b"legacy-file";
/// A path that an ancestor has changed must stay as it is for so long before it is fetched by itself: the
/// ancestor may publish it, and a file that vanishes while it is fetched ends the ancestor's server.
const CHANGED_GRACE: Duration = Duration::from_secs(3);
/// The same for a path that is new, which an ancestor does publish in the end.
const NEW_GRACE: Duration = Duration::from_secs(15);
/// Before what we expect at a path counts.
pub(super) const SETTLED: Duration = Duration::from_secs(1);
/// Room that is left on the disk.
const ROOM: u64 = 64 << 20;

/// What is being fetched from an ancestor.
enum Goal {
    /// Its batch of this number.
    Batch(u32),
    /// A file by itself, which had this time.
    File(Vec<u8>, u64),
    /// Only the size of a file, to believe that it is what we expect.
    Size(Vec<u8>, u64, Expected),
}

/// A fetch under way.
pub struct Fetching<F> {
    place: usize,
    goal: Goal,
    fetch: Box<Fetch>,
    file: Option<F>,
    room_checked: bool,
    failed: Option<io::Error>,
}

/// An archive that is being unpacked.
pub struct Unpacking<F> {
    place: usize,
    pub(super) number: u32,
    archive: Option<F>,
    waiting: Vec<Member>,
    current: Option<UnpackJob<F>>,
}

/// A file on its way into `share/`.
pub struct Landing<F> {
    pub(super) place: usize,
    pub(super) path: Vec<u8>,
    pub(super) mtime: u64,
    pub(super) size: u64,
    /// When its last byte came.
    pub(super) came_at: Instant,
    pub(super) hashing: Option<HashJob<F>>,
    pub(super) content: ContentId,
    /// What it was unpacked from.
    pub(super) rest: Option<Box<Unpacking<F>>>,
}

impl<F: DiskFile> Landing<F> {
    /// A file that has come and is not hashed yet.
    fn new(now: Instant, place: usize, path: Vec<u8>, mtime: u64, file: F, size: u64) -> Self {
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

/// What the bridge works on.
pub enum Job<F: DiskFile> {
    /// Nothing.
    None,
    /// Something comes.
    Fetch(Fetching<F>),
    /// An archive came.
    Unpack(Box<Unpacking<F>>),
    /// A file came.
    Land(Box<Landing<F>>),
    /// A batch is being made.
    Publish(Box<BatchJob<F>>),
}

impl<F: DiskFile> Job<F> {
    /// Whether there is nothing to do.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Takes an answer of the ancestor at `place`.
    pub fn handle_reply(&mut self, now: Instant, place: usize, reply: &Reply<'_>) {
        let Self::Fetch(fetching) = self else {
            return;
        };
        if fetching.place != place {
            return;
        }
        if let Some(Fetched::Bytes(offset, bytes)) = fetching.fetch.handle_reply(now, reply)
            && let Some(file) = &fetching.file
            && let Err(error) = file.write_all_at(offset, bytes)
        {
            fetching.failed.get_or_insert(error);
        }
    }

    /// Writes the next request: to which ancestor, and its length.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, usize)> {
        let Self::Fetch(fetching) = self else {
            return None;
        };
        if fetching.is_over() {
            return None;
        }
        let len = fetching.fetch.poll_transmit(now, out)?;
        Some((fetching.place, len))
    }

    /// When to poll again.
    pub fn next_wake(&self) -> Instant {
        match self {
            Self::None => Instant::FAR_FUTURE,
            Self::Fetch(fetching) if !fetching.is_over() => fetching.fetch.poll_timeout(),
            // It waits for the ancestor or for the index.
            Self::Land(landing) if landing.hashing.is_none() => Instant::FAR_FUTURE,
            _ => Instant::ZERO,
        }
    }
}

impl<F> Fetching<F> {
    fn is_over(&self) -> bool {
        self.failed.is_some()
            || self.fetch.failed().is_some()
            || self.fetch.is_done()
            || (matches!(self.goal, Goal::Size(..)) && self.fetch.size().is_some())
    }
}

/// Removes what an earlier run left.
pub fn clean<D: Disk>(disk: &D) {
    for name in [ARCHIVE, FILE] {
        let _removed = disk.remove_file(download(name));
    }
}

/// Whether a time in an archive, in an ancestor's time zone and in steps of two seconds, may be that of a file.
fn is_time_of(member: i64, mtime: u64) -> bool {
    let mtime = f64::from_bits(mtime).floor();
    if mtime.abs() > 1e15 {
        return false;
    }
    let apart = mtime as i64 - member;
    // Zones are quarters of an hour apart, up to 14 hours.
    apart.abs() <= 14 * 3600 + 1 && matches!(apart.rem_euclid(900), 0 | 1)
}

impl<D: Disk> Legacy<D> {
    /// Begins to fetch something that an ancestor has and we do not know. False if there is nothing.
    pub(super) fn choose_incoming(&mut self, now: Now, peer: &Peer<D>) -> bool {
        for place in 0..self.ancestors.len() {
            let Some((goal, name)) = self.next_goal(now.mono, place) else {
                continue;
            };
            match self.begin_fetch(now.mono, peer, place, goal, &name) {
                Ok(()) => return true,
                Err(error) => log::warn!("{name} cannot be fetched: {error}"),
            }
        }
        false
    }

    fn next_goal(&mut self, now: Instant, place: usize) -> Option<(Goal, String)> {
        let published = self.publishing.number;
        let own = &self.own;
        let ancestor = self
            .ancestors
            .get_mut(place)
            .filter(|ancestor| ancestor.is_online())?;
        let add_times = ancestor.add_times?;
        let direct = |path: &[u8]| {
            let path = std::str::from_utf8(path).ok()?;
            Some(format!("../share/{path}"))
        };
        let ready = || {
            ancestor
                .unresolved()
                .filter(move |(_, seen)| seen.retry_at <= now)
        };
        for (path, seen) in ready() {
            if let Some(expected) = seen.expected
                && expected.number <= add_times
                && now.saturating_since(seen.since) >= SETTLED
                && let Some(name) = direct(path)
            {
                return Some((Goal::Size(path.clone(), seen.mtime, expected), name));
            }
        }
        let strange = ready().any(|(_, seen)| seen.expected.is_none());
        if add_times > ancestor.taken && add_times != published && strange {
            return Some((Goal::Batch(add_times), format!("zip{add_times}.zip")));
        }
        let due = ready().find_map(|(path, seen)| {
            let ours = std::str::from_utf8(path).is_ok_and(|path| own.contains_key(path));
            let grace = if seen.known.is_some() || ours {
                CHANGED_GRACE
            } else {
                NEW_GRACE
            };
            let still = now.saturating_since(seen.since.max(ancestor.online_since)) >= grace;
            let name = direct(path).filter(|_| still)?;
            Some((Goal::File(path.clone(), seen.mtime), name))
        });
        if due.is_none() && ancestor.unresolved().next().is_none() {
            ancestor.taken = ancestor.taken.max(add_times);
        }
        due
    }

    fn begin_fetch(
        &mut self,
        now: Instant,
        peer: &Peer<D>,
        place: usize,
        goal: Goal,
        name: &str,
    ) -> io::Result<()> {
        let to = match &goal {
            Goal::Batch(_) => Some(ARCHIVE),
            Goal::File(..) => Some(FILE),
            Goal::Size(..) => None,
        };
        let file = match to {
            Some(to) => {
                let file = peer.disk().create(download(to))?;
                file.set_len(0)?;
                Some(file)
            }
            None => None,
        };
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

    /// A slice of the job. True if there is more to do at once.
    pub(super) fn step_job(&mut self, now: Now, peer: &mut Peer<D>) -> bool {
        match std::mem::replace(&mut self.job, Job::None) {
            Job::None => false,
            Job::Fetch(fetching) => self.step_fetch(now.mono, peer, fetching),
            Job::Unpack(unpacking) => self.step_unpack(now.mono, peer, unpacking),
            Job::Land(landing) => self.step_land(now, peer, landing),
            Job::Publish(job) => self.step_publish(now.mono, peer, job),
        }
    }

    fn step_fetch(
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
        let Some(ancestor) = self.ancestors.get_mut(fetching.place) else {
            return false;
        };
        let size = fetching.fetch.size();
        let failed = match (&fetching.failed, fetching.fetch.failed()) {
            (Some(error), _) => Some(error.to_string()),
            (None, Some(FetchError::NotFound)) => Some("it is not there".to_owned()),
            (None, Some(FetchError::Changed)) => Some("it changes".to_owned()),
            (None, Some(FetchError::Silent)) => Some("nothing comes any more".to_owned()),
            (None, None) => None,
        };
        if let Some(why) = failed {
            log::debug!("{}: {:?}: {why}", ancestor.ip, fetching.fetch.name());
            match &fetching.goal {
                // Its files come one by one.
                Goal::Batch(number) => ancestor.taken = *number,
                Goal::File(path, _) | Goal::Size(path, ..) => {
                    ancestor.postpone(path, now + PATH_RETRY);
                }
            }
            return false;
        }
        match (fetching.goal, fetching.file) {
            (Goal::Batch(number), Some(file)) => {
                ancestor.taken = number;
                match members(file) {
                    Ok((mut waiting, archive)) => {
                        waiting.reverse();
                        self.job = Job::Unpack(Box::new(Unpacking {
                            place: fetching.place,
                            number,
                            archive: Some(archive),
                            waiting,
                            current: None,
                        }));
                    }
                    Err(error) => {
                        ancestor.refused += 1;
                        log::warn!("{}: zip{number}.zip is refused: {error}", ancestor.ip);
                    }
                }
            }
            (Goal::File(path, mtime), Some(file)) => {
                let size = size.unwrap_or(0);
                let landing = Landing::new(now, fetching.place, path, mtime, file, size);
                self.job = Job::Land(Box::new(landing));
            }
            (Goal::Size(path, mtime, expected), _) => {
                if size == Some(expected.size) {
                    if ancestor.seen.get(&path).map(|seen| seen.mtime) == Some(mtime) {
                        ancestor.resolve(now, &path, mtime, expected.content);
                        self.reply_stale = true;
                    }
                } else if let Some(seen) = ancestor.seen.get_mut(&path) {
                    seen.expected = None;
                }
            }
            (_, None) => {}
        }
        true
    }

    fn step_unpack(
        &mut self,
        now: Instant,
        peer: &Peer<D>,
        mut unpacking: Box<Unpacking<D::File>>,
    ) -> bool {
        if unpacking.current.is_none() {
            return self.next_member(peer, unpacking);
        }
        let stepped = match &mut unpacking.current {
            Some(current) => current.step(SLICE),
            None => Ok(false),
        };
        match (stepped, unpacking.current.take()) {
            (Ok(false), current) => {
                unpacking.current = current;
                self.job = Job::Unpack(unpacking);
            }
            (Ok(true), Some(current)) => {
                let Member { path, size, .. } = current.member().clone();
                let (archive, file) = current.into_files();
                unpacking.archive = Some(archive);
                let mtime = self
                    .ancestors
                    .get(unpacking.place)
                    .and_then(|ancestor| ancestor.seen.get(&path))
                    .map_or(0, |seen| seen.mtime);
                let landing = Landing::new(now, unpacking.place, path, mtime, file, size);
                self.job = Job::Land(Box::new(Landing {
                    rest: Some(unpacking),
                    ..landing
                }));
            }
            (Err(error), _) => {
                if let Some(ancestor) = self.ancestors.get_mut(unpacking.place) {
                    ancestor.refused += 1;
                    log::warn!(
                        "{}: zip{}.zip is refused: {error}",
                        ancestor.ip,
                        unpacking.number
                    );
                }
            }
            (Ok(true), None) => {}
        }
        true
    }

    fn next_member(&mut self, peer: &Peer<D>, mut unpacking: Box<Unpacking<D::File>>) -> bool {
        let Some(ancestor) = self.ancestors.get(unpacking.place) else {
            return false;
        };
        while let Some(member) = unpacking.waiting.pop() {
            // An archive of an earlier life of the ancestor may have the same name: what counts is the file
            // that its dict tells of.
            let wanted = ancestor.seen.get(&member.path).is_some_and(|seen| {
                seen.here && !seen.is_resolved() && is_time_of(member.time, seen.mtime)
            });
            if !wanted {
                continue;
            }
            let Some(archive) = unpacking.archive.take() else {
                return false;
            };
            let free = peer.disk().space().map_or(u64::MAX, |space| space.free);
            if free < member.size.saturating_add(ROOM) {
                log::warn!(
                    "{} is not unpacked: the disk is nearly full",
                    Escaped(&member.path)
                );
                return false;
            }
            match UnpackJob::begin(peer.disk(), archive, member, FILE) {
                Ok(job) => {
                    unpacking.current = Some(job);
                    self.job = Job::Unpack(unpacking);
                    return true;
                }
                Err(error) => {
                    log::warn!("nothing can be unpacked: {error}");
                    return false;
                }
            }
        }
        let _removed = peer.disk().remove_file(download(ARCHIVE));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_archives_are_compared_across_zones() {
        let mtime = 1_795_401_269.823_f64.to_bits();
        for (member, same) in [
            (1_795_401_268, true),
            (1_795_401_268 + 7200, true),
            (1_795_401_268 - 12_600, true),
            (1_795_401_270, false),
            (1_795_401_266, false),
            (1_795_401_268 + 86_400, false),
        ] {
            assert_eq!(is_time_of(member, mtime), same, "{member}");
        }
        assert!(!is_time_of(0, f64::INFINITY.to_bits()) && !is_time_of(0, 1e300_f64.to_bits()));
    }
}
