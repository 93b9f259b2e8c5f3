//! Many files of one machine, which it serves in its own manner.

use crate::fetching::random;
use crate::liar::{Meeting, Shelf};
use peer_mio::disk::{At, Disk, DiskFile, Place};
use peer_mio::jobs::Progress;
use peer_mio::jobs::hash::content_of;
use peer_mio::jobs::pack::{Member, PackJob};
use peer_mio::store::Fingerprint;
use proto_core::boundary::{Objects, Read};
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Sequence, Timestamp};
use proto_core::index::version_vector::VersionVector;
use proto_core::wire::page::PageWriter;
use proto_core::wire::{BundleId, ObjectId};
use sim::disk::SimDisk;
use std::collections::BTreeMap;

/// Bytes of a part of a bundle.
const PART: u64 = 262_144;

/// How a machine serves its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// As it should.
    Honest,
    /// Of each piece the first segment, and then nothing.
    Beginnings,
    /// The same of bundles, and of so many questions for more it answers one.
    Trickle(usize),
    /// So many times it has no later part of a bundle.
    Forgets(usize),
    /// So many times a bundle was built anew, in another way, before a later part.
    Rebuilds(usize),
}

struct File {
    path: String,
    entry: Entry,
    bytes: Vec<u8>,
    recipe: Vec<u8>,
}

/// The files.
pub struct Files {
    /// How they are served.
    pub manner: Manner,
    /// Bundles whose first part was asked for.
    pub begun: usize,
    index: IndexId,
    /// Whose files they are; if not its own, it passes them on.
    author: IndexId,
    /// Entries that it says to want.
    pub wants: u32,
    /// It tells of nothing.
    pub mute: bool,
    asked: usize,
    size: u64,
    files: Vec<File>,
    places: BTreeMap<ContentId, usize>,
    bundles: BTreeMap<BundleId, Vec<u8>>,
    page: Vec<u8>,
}

impl Files {
    /// `count` files of `size` bytes below a folder.
    pub fn new(index: IndexId, manner: Manner, folder: &str, count: u64, size: u64) -> Self {
        Self::passed_on(index, index, manner, folder, count, size)
    }

    /// The same files that an author has.
    pub fn passed_on(
        index: IndexId,
        author: IndexId,
        manner: Manner,
        folder: &str,
        count: u64,
        size: u64,
    ) -> Self {
        let root = File {
            path: folder.to_owned(),
            entry: entry(author, Kind::Directory, 0, ContentId::default(), 1),
            bytes: Vec::new(),
            recipe: Vec::new(),
        };
        let mut files = Self {
            manner,
            begun: 0,
            index,
            author,
            wants: 0,
            mute: false,
            asked: 0,
            size,
            files: vec![root],
            places: BTreeMap::new(),
            bundles: BTreeMap::new(),
            page: Vec::new(),
        };
        files.add(count);
        files
    }

    /// What members of a bundle are called in `download/`.
    pub fn member_names(&self) -> impl Iterator<Item = String> {
        let files = self.files.iter().skip(1);
        files.map(|file| {
            let path = blake3::hash(file.path.as_bytes()).to_hex();
            format!("{}-{}.part", file.entry.content, &path[..16])
        })
    }

    /// More of them.
    pub fn add(&mut self, count: u64) {
        for _ in 0..count {
            let sequence = self.files.len() as u64 + 1;
            let mut bytes = random(self.size);
            bytes[..8].copy_from_slice(&(self.author.0 << 32 | sequence).to_be_bytes());
            let (content, recipe) = content_of(&bytes);
            self.places.insert(content, self.files.len());
            self.files.push(File {
                path: format!("{}/{sequence:05}", self.files[0].path),
                entry: entry(self.author, Kind::File, self.size, content, sequence),
                bytes,
                recipe,
            });
        }
    }

    fn make_page(&mut self, after: Sequence, length: usize) {
        let mut page = vec![0; length];
        let mut writer = PageWriter::new(&mut page, self.index, after).unwrap();
        let mut through = after;
        for file in self.files.iter().skip(usize::try_from(after).unwrap()) {
            if writer.push(&file.entry, file.path.as_bytes(), b"").is_err() {
                break;
            }
            through = file.entry.sequence;
        }
        let len = writer.finish(through, self.newest());
        page.truncate(len);
        self.page = page;
    }

    /// Builds a bundle, with its members in their order or the other way round.
    fn bundle(&self, id: BundleId, reversed: bool) -> Vec<u8> {
        let wanted = self.files.iter();
        let wanted = wanted.filter(|file| id.contains(file.entry.sequence));
        let member = |file: &File| Member {
            path: file.path.clone(),
            fingerprint: Fingerprint {
                inode: 1,
                size: file.entry.size,
                mtime: file.entry.mtime,
                ctime: file.entry.mtime,
                mode: file.entry.mode,
                link: false,
            },
        };
        let mut members: Vec<Member> = wanted.map(member).collect();
        if reversed {
            members.reverse();
        }
        let disk = SimDisk::new();
        let at = At {
            place: Place::Zip,
            path: b"zip",
        };
        let mut job = PackJob::new(disk.create(at).unwrap(), members);
        let mut read = |member: &Member, bytes: &mut Vec<u8>| {
            let file = self.files.iter().find(|file| file.path == member.path);
            bytes.clear();
            bytes.extend_from_slice(&file.unwrap().bytes);
            true
        };
        while matches!(job.step(1 << 20, &mut read).unwrap(), Progress::More) {}
        let packed = job.finish().unwrap();
        let mut zip = vec![0; usize::try_from(packed.size).unwrap()];
        packed.file.read_at(0, &mut zip).unwrap();
        zip
    }

    fn find(&mut self, object: ObjectId, start: u64, length: usize) -> &[u8] {
        let from = usize::try_from(start).unwrap();
        match object {
            ObjectId::Content(content) => self
                .places
                .get(&content)
                .and_then(|place| self.files[*place].bytes.get(from..from + length))
                .unwrap_or_default(),
            ObjectId::Recipe(content) => match self.places.get(&content) {
                Some(place) if from == 0 => &self.files[*place].recipe,
                _ => &[],
            },
            ObjectId::Journal(index) if index == self.index => {
                self.make_page(start, length);
                &self.page
            }
            ObjectId::Bundle(id) if id.index == self.author => {
                if !self.bundles.contains_key(&id) {
                    self.bundles.insert(id, self.bundle(id, false));
                }
                let zip = self.bundles[&id].get(from..).unwrap_or_default();
                zip.get(..length.min(zip.len())).unwrap_or_default()
            }
            _ => &[],
        }
    }
}

impl Objects for Files {
    fn piece(&mut self, object: ObjectId, start: u64, length: usize) -> Read {
        if let ObjectId::Bundle(id) = object {
            self.begun += usize::from(start == 0);
            match self.manner {
                Manner::Forgets(left) if left > 0 && start >= PART => {
                    self.manner = Manner::Forgets(left - 1);
                    return Read::Gone;
                }
                Manner::Rebuilds(left) if left > 0 && start >= PART => {
                    self.manner = Manner::Rebuilds(left - 1);
                    let zip = self.bundle(id, left % 2 == 1);
                    self.bundles.insert(id, zip);
                }
                _ => {}
            }
        }
        match self.find(object, start, length).len() {
            0 => Read::Gone,
            len => Read::Ready(len),
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
        let is_journal = matches!(object, ObjectId::Journal(_));
        if self.manner == Manner::Beginnings && at > 0 && !is_journal {
            return Read::NotYet;
        }
        if let (Manner::Trickle(of), ObjectId::Bundle(_)) = (self.manner, object) {
            self.asked += 1;
            if !self.asked.is_multiple_of(of) {
                return Read::NotYet;
            }
        }
        // What a page is asked for again by is the length that it had.
        let piece = if is_journal && !self.page.is_empty() {
            &self.page
        } else {
            self.find(object, start, length)
        };
        let part = piece.get(at..at + buffer.len()).unwrap();
        buffer.copy_from_slice(part);
        Read::Ready(buffer.len())
    }
}

impl Shelf for Files {
    fn objects(&mut self) -> &mut dyn Objects {
        self
    }

    fn newest(&self) -> Sequence {
        if self.mute {
            0
        } else {
            self.files.len() as u64
        }
    }

    fn pending(&self) -> u32 {
        self.wants
    }
}

fn entry(index: IndexId, kind: Kind, size: u64, content: ContentId, sequence: u64) -> Entry {
    Entry {
        kind,
        mode: 0o755,
        size,
        mtime: Timestamp::default(),
        content,
        modified_by: index,
        version: VersionVector::from_sorted([(index, sequence)]).unwrap(),
        sequence,
    }
}

/// Files of a folder that are in `share/`.
pub fn landed(meeting: &Meeting<Files>, folder: &str) -> usize {
    let tree = meeting.disk.tree(Place::Share);
    let prefix = format!("{folder}/");
    let paths = tree.keys();
    paths
        .filter(|path| path.starts_with(prefix.as_bytes()))
        .count()
}
