//! Rows, and how they lie in the index: fixed fields in big-endian order after a version byte, then
//! the version vector and the target. Reading is total: bytes that were not written here are `None`.

use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Timestamp};
use proto_core::index::version_vector::VersionVector;
use proto_core::limits::MAX_TARGET;

/// What the index holds of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What peers are told.
    pub entry: Entry,
    /// Target of a symlink that is kept as such; empty for anything else.
    pub target: Vec<u8>,
    /// What the file looked like here when it last agreed with the entry; `None` if it never did.
    pub local: Option<Fingerprint>,
    /// The run of this peer in which the file last agreed with the entry: a later one may find that a
    /// power cut came between.
    pub run: Run,
}

/// Names a run of a peer, from its start to its end: a random number.
pub type Run = u32;

/// What shows that a file was not touched since.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Fingerprint {
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last modification of the content.
    pub mtime: Timestamp,
    /// Last change of content or attributes.
    pub ctime: Timestamp,
    /// Permission bits: a change of them within the tick of the clock in which it landed leaves ctime as
    /// it was.
    pub mode: u16,
    /// Whether it was reached through a symlink.
    pub link: bool,
}

/// A change that was told and is not landed yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// What the path shall hold.
    pub entry: Entry,
    /// Target of a symlink that is kept as such; empty for anything else.
    pub target: Vec<u8>,
    /// The peer who told of it.
    pub told_by: IndexId,
}

/// First byte of every row, so that another layout can be told from this one.
const LAYOUT: u8 = 1;
/// Usual length of an encoded row, to begin with.
const USUAL: usize = 256;

impl Row {
    /// The row as bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL);
        out.push(LAYOUT);
        out.extend_from_slice(&self.run.to_be_bytes());
        match &self.local {
            None => out.push(0),
            Some(local) => {
                out.push(if local.link { 2 } else { 1 });
                out.extend_from_slice(&local.inode.to_be_bytes());
                out.extend_from_slice(&local.size.to_be_bytes());
                put_time(&mut out, local.mtime);
                put_time(&mut out, local.ctime);
                out.extend_from_slice(&local.mode.to_be_bytes());
            }
        }
        put_entry(&mut out, &self.entry);
        out.extend_from_slice(&self.target);
        out
    }

    /// The row that these bytes are.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.layout()?;
        let run = reader.u32()?;
        let local = match reader.u8()? {
            0 => None,
            flag @ 1..=2 => Some(Fingerprint {
                inode: reader.u64()?,
                size: reader.u64()?,
                mtime: reader.time()?,
                ctime: reader.time()?,
                mode: reader.u16()?,
                link: flag == 2,
            }),
            _ => return None,
        };
        let entry = reader.entry()?;
        Some(Self {
            entry,
            target: reader.target()?,
            local,
            run,
        })
    }
}

impl Pending {
    /// The pending change as bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL);
        out.push(LAYOUT);
        out.extend_from_slice(&self.told_by.0.to_be_bytes());
        put_entry(&mut out, &self.entry);
        out.extend_from_slice(&self.target);
        out
    }

    /// The pending change that these bytes are.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.layout()?;
        let told_by = IndexId(reader.u64()?);
        let entry = reader.entry()?;
        Some(Self {
            entry,
            target: reader.target()?,
            told_by,
        })
    }
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.sec.to_be_bytes());
    out.extend_from_slice(&time.nsec.to_be_bytes());
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(match entry.kind {
        Kind::Tombstone => 0,
        Kind::Symlink => 1,
        Kind::File => 2,
        Kind::Directory => 3,
    });
    out.extend_from_slice(&entry.mode.to_be_bytes());
    out.extend_from_slice(&entry.size.to_be_bytes());
    put_time(out, entry.mtime);
    out.extend_from_slice(&entry.content.0);
    out.extend_from_slice(&entry.modified_by.0.to_be_bytes());
    out.extend_from_slice(&entry.sequence.to_be_bytes());
    // A vector has at most MAX_VERSIONS components.
    out.push(u8::try_from(entry.version.len()).unwrap_or(u8::MAX));
    for (id, sequence) in entry.version.iter() {
        out.extend_from_slice(&id.0.to_be_bytes());
        out.extend_from_slice(&sequence.to_be_bytes());
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn layout(&mut self) -> Option<()> {
        (self.u8()? == LAYOUT).then_some(())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        Some(Timestamp {
            sec: self.take().map(i64::from_be_bytes)?,
            nsec: self.take().map(u32::from_be_bytes)?,
        })
    }

    fn entry(&mut self) -> Option<Entry> {
        let kind = match self.u8()? {
            0 => Kind::Tombstone,
            1 => Kind::Symlink,
            2 => Kind::File,
            3 => Kind::Directory,
            _ => return None,
        };
        let mode = self.take().map(u16::from_be_bytes)?;
        let size = self.u64()?;
        let mtime = self.time()?;
        let content = ContentId(self.take()?);
        let modified_by = IndexId(self.u64()?);
        let sequence = self.u64()?;
        let version = self.version()?;
        Some(Entry {
            kind,
            mode,
            size,
            mtime,
            content,
            modified_by,
            version,
            sequence,
        })
    }

    fn version(&mut self) -> Option<VersionVector> {
        let count = usize::from(self.u8()?);
        let mut missing = false;
        let changes = (0..count).map_while(|_| {
            let change = self.u64().zip(self.u64());
            missing |= change.is_none();
            change.map(|(id, sequence)| (IndexId(id), sequence))
        });
        let version = VersionVector::from_sorted(changes)?;
        (!missing).then_some(version)
    }

    /// All that is left.
    fn target(self) -> Option<Vec<u8>> {
        (self.0.len() <= MAX_TARGET).then(|| self.0.to_vec())
    }
}
