//! One ancestor as we see it: what it says that it has, and what we know of that.

use super::seen::{Expected, Known, Seen, Stage};
use crate::peer::legacy_files::OwnFile;
use crate::peer::report::AncestorLine;
use proto_core::content::ContentId;
use proto_core::index::entry::Timestamp;
use proto_core::legacy::{Asking, DictError, Foreign, InformationReply, Serve, parse_dict};
use proto_core::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

/// Questions of one ancestor that wait for their answer: it has two threads that ask.
const QUESTIONS: usize = 8;
/// After a failure a path is left alone for so long.
pub const PATH_RETRY: Duration = Duration::from_secs(20);
/// Bytes per second that an ancestor surely unpacks, and fetches from others.
const SLOWEST: u64 = 10_000_000;
/// So long after its last block an ancestor may begin to unpack a batch, and tell of it.
pub const UNPACKING: Duration = Duration::from_secs(5);

/// One ancestor.
pub struct Ancestor {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Our questions.
    pub asking: Asking,
    /// Our batches.
    pub serve: Serve,
    /// Ports that asked what we have, and when the answer is due.
    pub questions: VecDeque<(Instant, u16)>,
    /// Its counter; `None` before it has told.
    pub add_times: Option<u32>,
    /// When its counter changed last.
    pub adopted_at: Instant,
    /// The time zone of its archives, in quarters of an hour.
    pub zone: Option<i64>,
    /// The zone in which alone the last archive agreed with its dict, if that was another.
    other_zone: Option<i64>,
    /// Its newest batch that we have looked at.
    pub taken: u32,
    /// Its paths.
    pub seen: BTreeMap<Vec<u8>, Seen>,
    /// Answers to requests of an earlier fetch that may still come, and until when.
    pub late: (u32, Instant),
    /// When the last block of a batch was sent.
    pub completed_at: Instant,
    /// What it told last was so since then.
    pub told_since: Instant,
    /// Datagrams and archives that could not be read.
    pub rejected: u64,
    /// Bytes of UDP payload that went to it.
    pub bytes_sent: u64,
    /// And came from it.
    pub bytes_received: u64,
    /// When it came online.
    pub online_since: Instant,
    /// Whether what is known changed since it was kept, and since when.
    pub unkept: Option<Instant>,
}

impl Ancestor {
    /// Before anything was heard of it.
    pub fn new(now: Instant, ip: Ipv4Addr) -> Self {
        Self {
            ip,
            asking: Asking::new(now),
            serve: Serve::default(),
            questions: VecDeque::with_capacity(QUESTIONS),
            add_times: None,
            adopted_at: now,
            zone: None,
            other_zone: None,
            taken: 0,
            seen: BTreeMap::new(),
            late: (0, Instant::ZERO),
            completed_at: Instant::ZERO,
            told_since: Instant::ZERO,
            rejected: 0,
            bytes_sent: 0,
            bytes_received: 0,
            online_since: now,
            unkept: None,
        }
    }

    /// Whether it answers and has told what it has.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.asking.is_online() && self.add_times.is_some()
    }

    /// For `tinypeer status`.
    #[must_use]
    pub fn line(&self) -> AncestorLine {
        AncestorLine {
            address: self.ip,
            online: self.is_online(),
            add_times: self.add_times,
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            rejected: self.rejected,
        }
    }

    /// Notes a question; one too many is dropped, the ancestor asks again.
    pub fn note_question(&mut self, due: Instant, port: u16) {
        if self.questions.len() < QUESTIONS {
            self.questions.push_back((due, port));
        }
    }

    /// Takes what it says.
    ///
    /// # Errors
    /// Its dict cannot be read; then nothing of it counts.
    pub fn told(&mut self, now: Instant, reply: &InformationReply<'_>) -> Result<(), DictError> {
        // All or nothing.
        parse_dict(reply.dict, &mut |_, _| ())?;
        let was_online = self.is_online();
        for seen in self.seen.values_mut() {
            seen.here = false;
        }
        let seen = &mut self.seen;
        parse_dict(reply.dict, &mut |path, mtime| {
            let entry = seen.entry(path.to_vec()).or_insert(Seen::UNHEARD);
            entry.told(now, mtime, reply.add_times);
        })?;
        // What it has not is not known of it any more: if it comes back it may be another file.
        self.seen.retain(|_, seen| {
            if !seen.here {
                seen.known = None;
            }
            seen.here || seen.expected.is_some()
        });
        if self.add_times != Some(reply.add_times) {
            // Smaller: it was started anew.
            self.taken = self.taken.min(reply.add_times);
            self.adopted_at = now;
        }
        if self
            .add_times
            .is_some_and(|before| reply.add_times < before)
        {
            self.taken = 0;
            // What it was sent went to an earlier life.
            for expected in self
                .seen
                .values_mut()
                .filter_map(|seen| seen.expected.as_mut())
            {
                expected.stage = Stage::Published;
            }
        }
        self.add_times = Some(reply.add_times);
        self.told_since = self.asking.round_at();
        if !was_online {
            self.online_since = now;
        }
        Ok(())
    }

    /// Paths that hold something we do not know. One that is not UTF-8 cannot be asked for, so it is none of them.
    pub fn unresolved(&self) -> impl Iterator<Item = (&str, &Seen)> {
        self.seen
            .iter()
            .filter(|(_, seen)| seen.here && !seen.is_resolved())
            .filter_map(|(path, seen)| Some((std::str::from_utf8(path).ok()?, seen)))
    }

    /// Whether a path holds something that we do not know.
    #[must_use]
    pub fn is_unknown(&self, path: &str) -> bool {
        self.seen
            .get(path.as_bytes())
            .is_some_and(|seen| seen.here && !seen.is_resolved())
    }

    /// So many bytes of a batch of another's are surely unpacked by then, if they came at all.
    #[must_use]
    pub fn unpacks_before(&self, bytes: u64) -> Instant {
        self.adopted_at + UNPACKING + time_for(bytes)
    }

    /// Whether a batch of which it told then can hold a file as it is now. One that changed since, or twice within the two seconds that a
    /// time in an archive stands for, may be there as it was before, as long and with the same time.
    #[must_use]
    pub fn may_have_packed(&self, told_at: Instant, seen: &Seen) -> bool {
        let step = |mtime| (f64::from_bits(mtime) / 2.0).floor();
        // Of what was there when it came nothing better is known.
        let first = [told_at, seen.since] == [self.online_since; 2];
        (first || seen.since < told_at) && step(seen.previous) != step(seen.mtime)
    }

    /// An archive is over: whether a member of it counted, and the zone of one that did not because of that alone. One archive of
    /// an earlier life may agree in any zone; two that agree in the same one tell that ours is wrong.
    pub fn note_zones(&mut self, zones: (bool, Option<i64>)) {
        match zones {
            (true, _) => self.other_zone = None,
            (false, None) => {}
            (false, other) => {
                if self.other_zone == other {
                    self.zone = other;
                }
                self.other_zone = other;
            }
        }
    }

    /// Whether an answer that comes now may belong to an earlier fetch.
    #[must_use]
    pub fn awaits_late(&self, now: Instant) -> bool {
        let (answers, until) = self.late;
        answers > 0 && now < until
    }

    /// We know what a path holds.
    pub fn resolve(&mut self, now: Instant, path: &[u8], mtime: u64, content: ContentId) {
        if let Some(seen) = self.seen.get_mut(path) {
            seen.known = Some(Known { mtime, content });
            seen.expected = None;
            self.unkept.get_or_insert(now);
        }
    }

    /// Once it has unpacked a batch, a path holds this.
    pub fn will_hold(&mut self, path: &[u8], expected: Expected) {
        let seen = self.seen.entry(path.to_vec()).or_insert(Seen::UNHEARD);
        seen.expected = Some(expected);
    }

    /// Whether the batch that it learnt of last brings it something at a path.
    #[must_use]
    pub fn expects_newest(&self, path: &str) -> bool {
        let expected = self
            .seen
            .get(path.as_bytes())
            .and_then(|seen| seen.expected);
        expected.is_some_and(|expected| Some(expected.number) == self.add_times)
    }

    /// The batch that a path is expected from has come so far.
    pub fn reached(&mut self, path: &[u8], number: u32, stage: Stage) {
        let seen = self.seen.get_mut(path);
        if let Some(expected) = seen
            .and_then(|seen| seen.expected.as_mut())
            .filter(|expected| expected.number == number)
        {
            expected.stage = stage;
        }
    }

    /// Another peer has taken what this ancestor has, or had, and gave it the ancestor's own time: so we know what it is.
    /// True if that explained anything.
    pub fn note_twins(&mut self, now: Instant, own: &BTreeMap<String, OwnFile>) -> bool {
        let mut any = false;
        for (path, seen) in &mut self.seen {
            if !seen.here || seen.is_resolved() {
                continue;
            }
            let ours = std::str::from_utf8(path)
                .ok()
                .and_then(|path| own.get(path));
            let is_twin = |mtime| ours.is_some_and(|ours| telling_time(mtime) == Some(ours.mtime));
            let Some(mtime) = [seen.mtime, seen.previous]
                .into_iter()
                .find(|mtime| is_twin(*mtime))
            else {
                continue;
            };
            let known = ours.map(|ours| Known {
                mtime,
                content: ours.content,
            });
            if seen.known != known {
                seen.known = known;
                self.unkept.get_or_insert(now);
                any = true;
            }
        }
        any
    }

    /// A path is left alone for a while.
    pub fn postpone(&mut self, path: &[u8], until: Instant) {
        if let Some(seen) = self.seen.get_mut(path) {
            seen.retry_at = until;
        }
    }

    /// What it has at a path, and had before.
    #[must_use]
    pub fn foreign(&self, path: &[u8], content: ContentId) -> Foreign {
        let known = self.seen.get(path).and_then(|seen| seen.known);
        Foreign {
            content,
            before: known.map(|known| known.content),
        }
    }

    /// Whether it has not what we have at a path, for all that we know.
    #[must_use]
    pub fn lacks(&self, path: &str, own: &OwnFile) -> bool {
        match self.seen.get(path.as_bytes()).filter(|seen| seen.here) {
            None => true,
            Some(seen) if seen.is_resolved() => {
                seen.known.is_some_and(|known| known.content != own.content)
            }
            Some(_) => false,
        }
    }
}

/// How long an ancestor may take to unpack so many bytes, or to fetch them from another.
pub fn time_for(bytes: u64) -> Duration {
    Duration::from_millis(bytes / (SLOWEST / 1000))
}

/// The time that a file with this one gets, if it is fine enough to tell two states of it apart: one in whole seconds may have been
/// copied with it.
fn telling_time(mtime: u64) -> Option<Timestamp> {
    Some(timestamp(mtime)).filter(|time| time.nsec != 0)
}

/// A time of a dict as that of a file.
pub fn timestamp(mtime: u64) -> Timestamp {
    let time = f64::from_bits(mtime);
    let sec = time.floor().clamp(-1e15, 1e15);
    Timestamp {
        sec: sec as i64,
        nsec: ((time - sec) * 1e9).clamp(0.0, 999_999_999.0) as u32,
    }
}
