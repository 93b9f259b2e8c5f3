//! One ancestor as we see it: what it says that it has, and what we know of that.

use crate::disk::{At, Disk, DiskFile, Place, RenameMode};
use crate::peer::legacy_files::OwnFile;
use proto_core::content::ContentId;
use proto_core::legacy::{Asking, DictError, Foreign, InformationReply, Serve, parse_dict};
use proto_core::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;

/// Questions of one ancestor that wait for their answer: it has two threads that ask.
const QUESTIONS: usize = 8;
/// After a failure a path is left alone for so long.
pub const PATH_RETRY: Duration = Duration::from_secs(20);
/// Longest file of what is known of an ancestor.
const MAX_KEPT: u64 = 4 << 20;

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
}

/// One path of an ancestor's.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its time, as bits of a float.
    pub mtime: u64,
    /// Since when it has had that.
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
    /// When it told what it has last.
    pub told_at: Instant,
    /// Datagrams and archives that could not be read.
    pub refused: u64,
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
            told_at: Instant::ZERO,
            refused: 0,
            online_since: now,
            unkept: None,
        }
    }

    /// Whether it answers and has told what it has.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.asking.is_online() && self.add_times.is_some()
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
            let entry = seen.entry(path.to_vec()).or_insert(Seen {
                mtime,
                since: now,
                here: true,
                known: None,
                expected: None,
                retry_at: Instant::ZERO,
            });
            entry.here = true;
            if entry.mtime != mtime {
                entry.mtime = mtime;
                entry.since = now;
            }
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
        self.told_at = now;
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

    /// Once it has unpacked batch `number`, these paths hold this.
    pub fn expect(
        &mut self,
        now: Instant,
        members: &BTreeMap<String, ContentId>,
        own: &BTreeMap<String, OwnFile>,
        number: u32,
    ) {
        for (path, content) in members {
            let expected = own.get(path).map(|own| Expected {
                content: *content,
                size: own.size,
                number,
            });
            let seen = self.seen.entry(path.clone().into_bytes()).or_insert(Seen {
                mtime: 0,
                since: now,
                here: false,
                known: None,
                expected,
                retry_at: Instant::ZERO,
            });
            seen.expected = expected;
        }
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

    fn kept_name(&self) -> Vec<u8> {
        format!("legacy-{}", self.ip).into_bytes()
    }

    /// Keeps what is known of it in `.tinypeer/`, so that a start need not fetch all to compare it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn keep<D: Disk>(&mut self, disk: &D) -> io::Result<()> {
        self.unkept = None;
        let mut bytes = Vec::new();
        for (path, known) in self
            .seen
            .iter()
            .filter_map(|(path, seen)| Some((path, seen.known?)))
        {
            bytes.extend_from_slice(&u16::try_from(path.len()).unwrap_or(0).to_be_bytes());
            bytes.extend_from_slice(path);
            bytes.extend_from_slice(&known.mtime.to_be_bytes());
            bytes.extend_from_slice(&known.content.0);
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        let name = self.kept_name();
        let fresh = [&name[..], b".new"].concat();
        let at = |path| At {
            place: Place::State,
            path,
        };
        let file = disk.create(at(&fresh))?;
        file.set_len(0)?;
        file.write_all_at(0, &bytes)?;
        file.sync_data()?;
        disk.rename(at(&fresh), at(&name), RenameMode::Replace)
    }

    /// Reads what was kept; anything wrong with it is as if nothing were.
    pub fn load<D: Disk>(&mut self, disk: &D) {
        let name = self.kept_name();
        let at = At {
            place: Place::State,
            path: &name,
        };
        if let Some(kept) = read_kept(disk, at) {
            self.seen = kept;
        }
    }
}

fn read_kept<D: Disk>(disk: &D, at: At<'_>) -> Option<BTreeMap<Vec<u8>, Seen>> {
    let file = disk.open(at, false).ok()?;
    let size = file.stat().ok()?.size;
    if size > MAX_KEPT {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(filled as u64, rest).ok()? {
            0 => return None,
            count => filled += count,
        }
    }
    let (mut rest, sum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(rest).to_be_bytes() != *sum {
        return None;
    }
    let mut seen = BTreeMap::new();
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let (path, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let (mtime, after) = after.split_first_chunk::<8>()?;
        let (content, after) = after.split_first_chunk::<32>()?;
        rest = after;
        let mtime = u64::from_be_bytes(*mtime);
        let known = Known {
            mtime,
            content: ContentId(*content),
        };
        seen.insert(
            path.to_vec(),
            Seen {
                mtime,
                since: Instant::ZERO,
                here: false,
                known: Some(known),
                expected: None,
                retry_at: Instant::ZERO,
            },
        );
    }
    Some(seen)
}
