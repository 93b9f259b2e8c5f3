//! One entry a path: what is there, and which changes led to it.

use super::version_vector::VersionVector;
use crate::content::ContentId;

/// Names one life of one peer's index, and so whoever makes changes in it. A damaged or missing
/// index begins anew under a new id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct IndexId(pub u64);

impl IndexId {
    /// No index has it: in [`Entry::modified_by`] it says that a power cut changed the file.
    pub const NOBODY: Self = Self(0);
}

/// Place of a change in a peer's index; only grows (the ancestor's `add_times`). 0: before all.
pub type Sequence = u64;

/// What is at a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Kind {
    /// Was deleted.
    Tombstone,
    /// A symlink that is kept as such (`--symlinks keep`); its target is beside the entry.
    Symlink,
    /// A regular file.
    File,
    /// A directory; its time is not kept.
    Directory,
}

/// Seconds and nanoseconds since 1970-01-01 UTC as the file system gave them; carried, not believed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Default)]
pub struct Timestamp {
    /// Seconds, negative before 1970.
    pub sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nsec: u32,
}

/// Permission bits that peers carry: rwx for user, group, others. Setuid, setgid and sticky never
/// travel.
pub const MODE_MASK: u16 = 0o777;

/// All that an entry says but the path and the symlink's target, which are of any length and
/// stand beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What is there.
    pub kind: Kind,
    /// Permission bits, within [`MODE_MASK`]; 0 for tombstones and symlinks.
    pub mode: u16,
    /// Bytes of the content; 0 for anything but a file.
    pub size: u64,
    /// Modification time of a file; zero for anything else.
    pub mtime: Timestamp,
    /// Content of a file; for a symlink the BLAKE3 hash of its target; zero for anything else.
    pub content: ContentId,
    /// Whose change this is.
    pub modified_by: IndexId,
    /// Which changes led here.
    pub version: VersionVector,
    /// Place in the index of the peer that tells or holds this entry.
    pub sequence: Sequence,
}

impl core::fmt::Debug for IndexId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl core::fmt::Display for IndexId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
