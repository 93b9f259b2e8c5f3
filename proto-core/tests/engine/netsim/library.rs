//! What a host serves: contents and recipes made from a seed, and a journal.

use super::random::Random;
use proto_core::boundary::{Asked, Objects, Read};
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Sequence, Timestamp};
use proto_core::index::version_vector::VersionVector;
use proto_core::wire::ObjectId;
use proto_core::wire::encoding::Encoding;
use proto_core::wire::page::PageWriter;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A prime, so that chunks of one content differ.
const PATTERN: usize = 65_521;
/// Bytes of a full recipe block.
const RECIPE_BLOCK: usize = 128 * 36;

/// The bytes of a content: a pattern that repeats, so that a large one takes no memory.
#[derive(Clone)]
pub struct Content {
    pub id: ContentId,
    pub size: usize,
    pattern: Rc<Vec<u8>>,
}

impl Content {
    pub fn new(seed: u64, size: usize) -> Self {
        let mut random = Random(seed);
        let pattern = std::iter::repeat_with(|| random.next() as u8);
        let mut id = [0; 32];
        id[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            id: ContentId(id),
            size,
            pattern: Rc::new(pattern.take(PATTERN).collect()),
        }
    }

    /// The bytes from `at` on.
    pub fn fill(&self, at: usize, mut out: &mut [u8]) {
        let mut from = at % PATTERN;
        while !out.is_empty() {
            let len = out.len().min(PATTERN - from);
            let (head, tail) = out.split_at_mut(len);
            head.copy_from_slice(&self.pattern[from..from + len]);
            (out, from) = (tail, 0);
        }
    }

    /// Whether `bytes` are those of the piece of `object` that begins at `start`.
    pub fn is_right(&self, object: ObjectId, start: u64, bytes: &[u8]) -> bool {
        let (at, length) = match object {
            ObjectId::Recipe(_) => self.recipe_block(start),
            _ => (start as usize, bytes.len()),
        };
        let mut right = vec![0; length];
        self.fill(at, &mut right);
        right == bytes
    }

    /// Where a block of its recipe begins and its length: one chunk for every 64 KiB.
    pub fn recipe_block(&self, number: u64) -> (usize, usize) {
        let all = self.size.div_ceil(64 * 1024) * 36;
        let at = number as usize * RECIPE_BLOCK;
        (at, all.saturating_sub(at).min(RECIPE_BLOCK))
    }
}

/// How a host answers for its contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serving {
    Ready,
    Gone,
    Changed,
    /// The disk has not brought anything yet.
    NotYet,
    /// Wrong bytes.
    Corrupt,
}

/// What becomes of pieces that may be encoded; here an encoded piece is the beginning of the piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shrinking {
    /// Nothing.
    None,
    /// So many bytes become one.
    To(usize),
    /// One of two becomes an eighth.
    Half,
    /// Each time that it is asked for, something else.
    Never,
}

/// What one host serves.
pub struct Library {
    pub contents: BTreeMap<ContentId, Content>,
    pub serving: Serving,
    /// Contents that stay on their way from the disk.
    pub slow: Option<ContentId>,
    /// After this many more reads of a content its file has changed.
    pub reads_left: usize,
    pub index: IndexId,
    pub journal: Vec<(Entry, Vec<u8>)>,
    /// Whether the journal cannot be read.
    pub journal_gone: bool,
    /// Bytes of every bundle of ours.
    pub bundle: usize,
    /// So often a bundle is looked for before it is built.
    pub building: usize,
    page: (Sequence, usize, usize, Vec<u8>),
    pub shrinking: Shrinking,
    /// What was asked for to be encoded.
    pub encodings: Vec<Asked>,
}

impl Library {
    pub fn new(index: IndexId) -> Self {
        Self {
            contents: BTreeMap::new(),
            serving: Serving::Ready,
            slow: None,
            reads_left: usize::MAX,
            index,
            journal: Vec::new(),
            journal_gone: false,
            bundle: 0,
            building: 0,
            page: (0, 0, 0, Vec::new()),
            shrinking: Shrinking::None,
            encodings: Vec::new(),
        }
    }

    /// Adds a change to the journal; its sequence.
    pub fn change(&mut self, path: &str) -> Sequence {
        self.change_to(path, ContentId([1; 32]), 0)
    }

    /// The same for a file with a content.
    pub fn change_to(&mut self, path: &str, content: ContentId, size: usize) -> Sequence {
        let sequence = self.journal.len() as u64 + 1;
        let entry = Entry {
            kind: Kind::File,
            mode: 0o644,
            size: size as u64,
            mtime: Timestamp { sec: 1, nsec: 0 },
            content,
            modified_by: self.index,
            version: VersionVector::from_sorted([(self.index, sequence)]).unwrap(),
            sequence,
        };
        self.journal.push((entry, path.as_bytes().to_vec()));
        sequence
    }

    fn page(&mut self, after: Sequence, room: usize) -> &[u8] {
        let newest = self.journal.len();
        if (self.page.0, self.page.1, self.page.2) != (after, room, newest)
            || self.page.3.is_empty()
        {
            let mut out = vec![0; room];
            let mut writer = PageWriter::new(&mut out, self.index, after).unwrap();
            let mut through = after;
            for (entry, path) in self.journal.iter().skip(after as usize) {
                if writer.push(entry, path, &[]).is_err() {
                    break;
                }
                through = entry.sequence;
            }
            let len = writer.finish(through, newest as u64);
            out.truncate(len);
            self.page = (after, room, newest, out);
        }
        &self.page.3
    }

    /// Length of a piece of a content or recipe.
    fn length(&self, object: ObjectId, id: ContentId, start: u64, length: usize) -> Read {
        match (self.contents.get(&id), self.serving) {
            (None, _) | (_, Serving::Gone) => Read::Gone,
            (_, Serving::Changed) => Read::Changed,
            (_, Serving::NotYet) => Read::NotYet,
            _ if self.slow == Some(id) => Read::NotYet,
            _ if self.reads_left == 0 => Read::Changed,
            (Some(content), _) => match object {
                ObjectId::Recipe(_) => match content.recipe_block(start) {
                    (_, 0) => Read::Gone,
                    (_, block) => Read::Ready(block.min(length)),
                },
                _ if start as usize + length <= content.size => Read::Ready(length),
                _ => Read::Malformed,
            },
        }
    }
}

impl Objects for Library {
    fn piece(&mut self, object: ObjectId, start: u64, length: usize) -> Read {
        match object {
            ObjectId::Content(id) | ObjectId::Recipe(id) => self.length(object, id, start, length),
            ObjectId::Journal(index)
                if index == self.index
                    && !self.journal_gone
                    && start <= self.journal.len() as u64 =>
            {
                Read::Ready(self.page(start, length).len())
            }
            ObjectId::Bundle(bundle) if bundle.index == self.index && self.building > 0 => {
                self.building -= 1;
                Read::NotYet
            }
            ObjectId::Bundle(bundle) if bundle.index == self.index => {
                match self.bundle.saturating_sub(start as usize) {
                    0 => Read::Gone,
                    rest => Read::Ready(rest.min(length)),
                }
            }
            ObjectId::Journal(_) | ObjectId::Bundle(_) => Read::Gone,
        }
    }

    fn read(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        at: usize,
        buffer: &mut [u8],
    ) -> Read {
        match object {
            ObjectId::Content(id) | ObjectId::Recipe(id) => {
                let answer = self.length(object, id, start, length);
                if !matches!(answer, Read::Ready(_)) {
                    return answer;
                }
                self.reads_left -= 1;
                let content = &self.contents[&id];
                let from = match object {
                    ObjectId::Recipe(_) => content.recipe_block(start).0,
                    _ => start as usize,
                };
                content.fill(from + at, buffer);
                if self.serving == Serving::Corrupt {
                    buffer[0] ^= 1;
                }
                Read::Ready(buffer.len())
            }
            ObjectId::Bundle(_) => {
                buffer.fill(7);
                Read::Ready(buffer.len())
            }
            // `length` is the page's as it was; the room it was made for is what a puller asks for.
            ObjectId::Journal(_) => {
                let room = self.page.1.max(length);
                let page = self.page(start, room);
                let Some(bytes) = page.get(at..(at + buffer.len()).min(page.len())) else {
                    return Read::Ready(0);
                };
                buffer[..bytes.len()].copy_from_slice(bytes);
                Read::Ready(bytes.len())
            }
        }
    }

    fn encode(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        asked: Asked,
    ) -> Option<(Encoding, usize)> {
        object.sort()?;
        self.encodings.push(asked);
        let encoding = match asked.encoding {
            Encoding::ANY => Encoding::SMALL,
            begun => begun,
        };
        let length = match self.shrinking {
            Shrinking::None => return None,
            Shrinking::To(part) => length / part,
            Shrinking::Half if start.is_multiple_of(2) => length / 8,
            Shrinking::Half => return None,
            Shrinking::Never => length - 1 - self.encodings.len() % 7,
        };
        Some((encoding, length))
    }

    fn read_encoded(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        _: Encoding,
        at: usize,
        buffer: &mut [u8],
    ) -> Read {
        self.read(object, start, length, at, buffer)
    }
}
