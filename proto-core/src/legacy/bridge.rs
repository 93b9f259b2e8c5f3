//! Decisions between an ancestor and the index: what of its files counts as its change, and under which number
//! ours are published (docs/legacy.md, "Taking" and "Publishing").

use crate::content::ContentId;
use crate::wire::announce::MAX_BRIDGE;
use core::net::Ipv4Addr;

/// Ancestors that one peer speaks to: a group of theirs has three members.
pub const MAX_ANCESTORS: usize = 2;

/// Greatest `add_times` that works: an ancestor unpacks the archive that the last digit names.
pub const MAX_ADD_TIMES: u32 = 9;

/// Files up to which anything is published: an ancestor that has more answers no question any more.
pub const MAX_LEGACY_FILES: usize = 1500;

/// What we have at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ours {
    /// Nothing, and never had.
    Never,
    /// Nothing any more.
    Deleted,
    /// A file.
    File(ContentId),
    /// Something else: a directory, a link that is kept as such.
    Other,
}

/// What an ancestor has at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Foreign {
    /// What it has now.
    pub content: ContentId,
    /// What it had when we knew last, if we ever did.
    pub before: Option<ContentId>,
}

/// What is done with a file of an ancestor's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taking {
    /// Nothing: we have it, or have more.
    Nothing,
    /// It is new here.
    New,
    /// It replaces what we have, which the ancestor had before.
    Replace,
    /// Both have changed: ours keeps the name, its becomes a conflict copy.
    Copy,
}

/// Whether what an ancestor has is a change of its, and how it lands. It never replaces what it has not had.
#[must_use]
pub fn take(ours: Ours, foreign: Foreign) -> Taking {
    let changed = foreign.before != Some(foreign.content);
    match ours {
        Ours::File(content) if content == foreign.content => Taking::Nothing,
        // It has what we have deleted or replaced since.
        _ if !changed => Taking::Nothing,
        Ours::Never | Ours::Deleted => Taking::New,
        Ours::File(content) if foreign.before == Some(content) => Taking::Replace,
        Ours::File(_) | Ours::Other => Taking::Copy,
    }
}

/// What a bridge to this ancestor tells other peers (docs/legacy.md, "Two bridges"). Not 0.
#[must_use]
pub fn bridge_number(ancestor: Ipv4Addr) -> u8 {
    let number = u32::from(ancestor) % u32::from(MAX_BRIDGE);
    u8::try_from(number).unwrap_or(0) + 1
}

/// The number of the next batch: above ours and those of all ancestors that are online. `None`: the numbers
/// are used up, and only ancestors that begin again bring them back.
#[must_use]
pub fn next_number(ours: u32, theirs: impl Iterator<Item = u32>) -> Option<u32> {
    let newest = theirs.fold(ours, u32::max);
    newest.checked_add(1).filter(|next| *next <= MAX_ADD_TIMES)
}
