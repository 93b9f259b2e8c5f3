//! One ancestor as we see it: what it says that it has, and what we know of that.

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
/// A file of so many bytes is unpacked so fast that no dict shows a half of it.
const SMALL: u64 = 1 << 20;

/// What we know of a file of an ancestor's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its time when it held that content, as bits of a float.
    pub mtime: u64,
    /// The content.
    pub content: ContentId,
}

/// What it must hold once it has unpacked a batch that we know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The content.
    pub content: ContentId,
    /// Bytes of it.
    pub size: u64,
    /// The number of the batch.
    pub number: u32,
    /// Whether its time changed since it learnt of that batch: then it held the content, or part of it.
    pub has_come: bool,
}

/// One path of an ancestor's.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its time, as bits of a float.
    pub mtime: u64,
    /// The time that it had before that; 0: none.
    pub previous: u64,
    /// Since when it has had its time.
    pub since: Instant,
    /// Whether the newest dict has it.
    pub here: bool,
    /// What it held when we knew last.
    pub known: Option<Known>,
    /// What it will hold.
    pub expected: Option<Expected>,
    /// Nothing is tried before.
    pub retry_at: Instant,
}

impl Seen {
    /// A path of which no dict has told.
    pub const UNHEARD: Self = Self {
        mtime: 0,
        previous: 0,
        since: Instant::ZERO,
        here: false,
        known: None,
        expected: None,
        retry_at: Instant::ZERO,
    };

    /// A dict of an ancestor with this `add_times` tells of it.
    fn told(&mut self, now: Instant, mtime: u64, add_times: u32) {
        self.here = true;
        if self.mtime == mtime {
            return;
        }
        self.previous = std::mem::replace(&mut self.mtime, mtime);
        self.since = now;
        let Some(expected) = self
            .expected
            .as_mut()
            .filter(|expected| expected.number <= add_times)
        else {
            return;
        };
        // The first change after the batch was the unpacking: what follows is a change of that.
        if std::mem::replace(&mut expected.has_come, true) {
            self.known = Some(Known {
                mtime: self.previous,
                content: expected.content,
            });
            self.expected = self.expected.filter(|expected| expected.size > SMALL);
        }
    }

    /// Whether we know what it holds now.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.known.is_some_and(|known| known.mtime == self.mtime)
    }
}

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
    /// Its newest batch that we have looked at.
    pub taken: u32,
    /// Its paths.
    pub seen: BTreeMap<Vec<u8>, Seen>,
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
            taken: 0,
            seen: BTreeMap::new(),
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
        }
        self.add_times = Some(reply.add_times);
        self.told_since = self.asking.round_at();
        if !was_online {
            self.online_since = now;
        }
        Ok(())
    }

    /// Paths that hold something we do not know.
    pub fn unresolved(&self) -> impl Iterator<Item = (&Vec<u8>, &Seen)> {
        self.seen
            .iter()
            .filter(|(_, seen)| seen.here && !seen.is_resolved())
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
    pub fn expect(&mut self, path: &[u8], expected: Expected) {
        let seen = self.seen.entry(path.to_vec()).or_insert(Seen::UNHEARD);
        seen.expected = Some(expected);
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
