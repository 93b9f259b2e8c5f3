//! Rows as bytes: a fixed layout behind a version byte. Reading is total: what cannot be read is damage.

use super::StoreError;
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Timestamp};
use proto_core::index::version_vector::VersionVector;
use proto_core::limits::MAX_VERSIONS;
use proto_core::wire::WireError;
use proto_core::wire::cursor::Reader;

/// Version of the layout.
const LAYOUT: u8 = 1;

/// What a file was when it was indexed or landed, to know it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time.
    pub mtime: Timestamp,
    /// Change time.
    pub ctime: Timestamp,
    /// It is a symlink: a followed one (then all of this is its target's) or a kept one.
    pub link: bool,
}

/// What the index says of one path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The entry.
    pub entry: Entry,
    /// Target of a kept symlink, else empty.
    pub target: Vec<u8>,
    /// The file as it was; none for directories and tombstones.
    pub local: Option<Fingerprint>,
}

/// An entry that a peer has, that is newer than ours and has not landed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// The entry.
    pub entry: Entry,
    /// Target of a kept symlink, else empty.
    pub target: Vec<u8>,
    /// Whose journal told of it.
    pub told_by: IndexId,
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.sec.to_be_bytes());
    out.extend_from_slice(&time.nsec.to_be_bytes());
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry, target: &[u8]) {
    out.push(LAYOUT);
    out.push(match entry.kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::Symlink => 3,
        Kind::Tombstone => 4,
    });
    out.extend_from_slice(&entry.mode.to_be_bytes());
    out.extend_from_slice(&entry.size.to_be_bytes());
    put_time(out, entry.mtime);
    out.extend_from_slice(&entry.content.0);
    out.extend_from_slice(&entry.modified_by.0.to_be_bytes());
    out.extend_from_slice(&entry.sequence.to_be_bytes());
    // At most MAX_VERSIONS and MAX_TARGET.
    out.push(u8::try_from(entry.version.len()).unwrap_or(u8::MAX));
    for (id, sequence) in entry.version.iter() {
        out.extend_from_slice(&id.0.to_be_bytes());
        out.extend_from_slice(&sequence.to_be_bytes());
    }
    out.extend_from_slice(
        &u16::try_from(target.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes(),
    );
    out.extend_from_slice(target);
}

fn take_time(reader: &mut Reader<'_>) -> Result<Timestamp, WireError> {
    let sec = reader.u64("seconds")?.cast_signed();
    let nsec = reader.u32("nanoseconds")?;
    Ok(Timestamp { sec, nsec })
}

fn take_entry(reader: &mut Reader<'_>) -> Result<(Entry, Vec<u8>), WireError> {
    if reader.u8("layout")? != LAYOUT {
        return Err(WireError::Invalid("layout"));
    }
    let kind = match reader.u8("kind")? {
        1 => Kind::File,
        2 => Kind::Directory,
        3 => Kind::Symlink,
        4 => Kind::Tombstone,
        _ => return Err(WireError::Invalid("kind")),
    };
    let mode = reader.u16("mode")?;
    let size = reader.u64("size")?;
    let mtime = take_time(reader)?;
    let content = ContentId(reader.array("content")?);
    let modified_by = IndexId(reader.u64("modified by")?);
    let sequence = reader.u64("sequence")?;
    let count = usize::from(reader.u8("version count")?);
    if count > MAX_VERSIONS {
        return Err(WireError::Invalid("version count"));
    }
    let mut changes = Vec::with_capacity(count);
    for _ in 0..count {
        changes.push((
            IndexId(reader.u64("version id")?),
            reader.u64("version sequence")?,
        ));
    }
    let version =
        VersionVector::from_sorted(changes).ok_or(WireError::Invalid("version vector"))?;
    let target_len = usize::from(reader.u16("target length")?);
    let target = reader.take(target_len, "target")?.to_vec();
    Ok((
        Entry {
            kind,
            mode,
            size,
            mtime,
            content,
            modified_by,
            version,
            sequence,
        },
        target,
    ))
}

impl Row {
    /// As bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_entry(&mut out, &self.entry, &self.target);
        match &self.local {
            None => out.push(0),
            Some(local) => {
                out.push(if local.link { 2 } else { 1 });
                out.extend_from_slice(&local.inode.to_be_bytes());
                out.extend_from_slice(&local.size.to_be_bytes());
                put_time(&mut out, local.mtime);
                put_time(&mut out, local.ctime);
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader::new(bytes);
        let row = (|| {
            let (entry, target) = take_entry(&mut reader)?;
            let local = match reader.u8("fingerprint")? {
                0 => None,
                code @ (1 | 2) => Some(Fingerprint {
                    inode: reader.u64("inode")?,
                    size: reader.u64("size")?,
                    mtime: take_time(&mut reader)?,
                    ctime: take_time(&mut reader)?,
                    link: code == 2,
                }),
                _ => return Err(WireError::Invalid("fingerprint")),
            };
            reader.end()?;
            Ok(Self {
                entry,
                target,
                local,
            })
        })();
        row.map_err(|error| StoreError::Damaged(format!("a row {error}")))
    }
}

impl Pending {
    /// As bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_entry(&mut out, &self.entry, &self.target);
        out.extend_from_slice(&self.told_by.0.to_be_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader::new(bytes);
        let pending = (|| {
            let (entry, target) = take_entry(&mut reader)?;
            let told_by = IndexId(reader.u64("told by")?);
            reader.end()?;
            Ok(Self {
                entry,
                target,
                told_by,
            })
        })();
        pending.map_err(|error: WireError| StoreError::Damaged(format!("a pending row {error}")))
    }
}
