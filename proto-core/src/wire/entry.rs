//! One index entry as bytes (docs/protocol.md, "Entries"). What may be in it is checked here.

use super::cursor::{Reader, WireError, Writer};
use crate::content::ContentId;
use crate::index::entry::{Entry, IndexId, Kind, MODE_MASK, Timestamp};
use crate::index::version_vector::VersionVector;
use crate::limits::{MAX_TARGET, MAX_VERSIONS};
use crate::path;

/// Bytes before the version vector.
pub const HEAD_LEN: usize = 76;

/// An entry with its path and target, which borrow the page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryRef<'a> {
    /// All but path and target.
    pub entry: Entry,
    /// Where, relative to `share/`; it has passed [`path::check`].
    pub path: &'a [u8],
    /// Target of a symlink, else empty.
    pub target: &'a [u8],
}

fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::Symlink => 3,
        Kind::Tombstone => 4,
    }
}

pub(super) fn parse<'a>(reader: &mut Reader<'a>) -> Result<EntryRef<'a>, WireError> {
    let kind = match reader.u8("kind")? {
        1 => Kind::File,
        2 => Kind::Directory,
        3 => Kind::Symlink,
        4 => Kind::Tombstone,
        _ => return Err(WireError::Invalid("kind")),
    };
    let versions = reader.u8("version count")?;
    let mode = reader.u16("mode")?;
    let path_len = reader.u16("path length")?;
    let target_len = reader.u16("target length")?;
    let nsec = reader.u32("nanoseconds")?;
    let sec = reader.u64("seconds")?.cast_signed();
    let size = reader.u64("size")?;
    let sequence = reader.u64("sequence")?;
    let modified_by = IndexId(reader.u64("modified by")?);
    let content = ContentId(reader.array("content")?);
    if usize::from(versions) > MAX_VERSIONS {
        return Err(WireError::Invalid("version count"));
    }
    let mut changes = heapless::Vec::<_, MAX_VERSIONS>::new();
    for _ in 0..versions {
        let change = (
            IndexId(reader.u64("version id")?),
            reader.u64("version sequence")?,
        );
        changes
            .push(change)
            .map_err(|_| WireError::Invalid("version count"))?;
    }
    let version =
        VersionVector::from_sorted(changes).ok_or(WireError::Invalid("version vector"))?;
    let path = reader.take(usize::from(path_len), "path")?;
    let target = reader.take(usize::from(target_len), "target")?;
    let entry = Entry {
        kind,
        mode,
        size,
        mtime: Timestamp { sec, nsec },
        content,
        modified_by,
        version,
        sequence,
    };
    check(&entry, path, target)?;
    Ok(EntryRef {
        entry,
        path,
        target,
    })
}

/// The rules for an entry, whoever made it.
fn check(entry: &Entry, path: &[u8], target: &[u8]) -> Result<(), WireError> {
    path::check(path).map_err(|_| WireError::Invalid("path"))?;
    if entry.mode & !MODE_MASK != 0 {
        return Err(WireError::Invalid("mode"));
    }
    if entry.mtime.nsec >= 1_000_000_000 {
        return Err(WireError::Invalid("nanoseconds"));
    }
    if entry.sequence == 0 {
        return Err(WireError::Invalid("sequence"));
    }
    if entry.version.is_empty() {
        return Err(WireError::Invalid("version count"));
    }
    let is_link = entry.kind == Kind::Symlink;
    if is_link == target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
        return Err(WireError::Invalid("target"));
    }
    if entry.kind != Kind::File && entry.size != 0 {
        return Err(WireError::Invalid("size"));
    }
    if matches!(entry.kind, Kind::Directory | Kind::Tombstone)
        && entry.content != ContentId::default()
    {
        return Err(WireError::Invalid("content"));
    }
    Ok(())
}

/// Bytes that an entry takes.
#[must_use]
pub fn len(entry: &Entry, path: &[u8], target: &[u8]) -> usize {
    HEAD_LEN + entry.version.len() * 16 + path.len() + target.len()
}

/// Writes all of it or nothing.
pub(super) fn emit(
    writer: &mut Writer<'_>,
    entry: &Entry,
    path: &[u8],
    target: &[u8],
) -> Result<(), WireError> {
    let path_len = u16::try_from(path.len()).map_err(|_| WireError::Invalid("path"))?;
    let target_len = u16::try_from(target.len()).map_err(|_| WireError::Invalid("target"))?;
    let versions =
        u8::try_from(entry.version.len()).map_err(|_| WireError::Invalid("version count"))?;
    check(entry, path, target)?;
    if writer.room() < len(entry, path, target) {
        return Err(WireError::NoRoom);
    }
    writer.put(&[kind_code(entry.kind), versions])?;
    writer.put(&entry.mode.to_be_bytes())?;
    writer.put(&path_len.to_be_bytes())?;
    writer.put(&target_len.to_be_bytes())?;
    writer.put(&entry.mtime.nsec.to_be_bytes())?;
    writer.put(&entry.mtime.sec.to_be_bytes())?;
    writer.put(&entry.size.to_be_bytes())?;
    writer.put(&entry.sequence.to_be_bytes())?;
    writer.put(&entry.modified_by.0.to_be_bytes())?;
    writer.put(&entry.content.0)?;
    for (id, sequence) in entry.version.iter() {
        writer.put(&id.0.to_be_bytes())?;
        writer.put(&sequence.to_be_bytes())?;
    }
    writer.put(path)?;
    writer.put(target)
}
