//! Reconciling: what becomes of our entry of a path when a peer tells of theirs; and the entry that a
//! local change makes. The table and its reasons are in docs/architecture.md, section 2.

use super::entry::{Entry, IndexId, Kind, Sequence, Timestamp};
use super::version_vector::Order;
use crate::content::ContentId;
use crate::limits::MAX_VERSIONS;

/// What is to be done about a path. The sequence of an entry in a decision is 0: whoever stores it
/// gives it the next one of our index, so that the entry is relayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Nothing: our entry stays as it is.
    Nothing,
    /// Land this entry in place of ours; what it replaces is contained in it or was deleted, so no
    /// copy is kept (the trash has it for a while).
    Take(Entry),
    /// Same kind and content: nothing to fetch, our entry becomes this one. Mode and mtime may differ
    /// from ours.
    Merge(Entry),
    /// Ours beats their tombstone: our entry becomes this one, only its version is new.
    Keep(Entry),
    /// Conflict that ours loses: keep a copy of ours under its conflict name, then land this entry.
    ConflictTake(Entry),
    /// Conflict that ours wins: nothing changes here, but ours is told again. Whoever holds the loser may
    /// have read it while what they had then won against it.
    ConflictInsist,
}

/// What was found at a path by looking at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// What is there.
    pub kind: Kind,
    /// Permission bits, as [`Entry::mode`].
    pub mode: u16,
    /// Bytes, as [`Entry::size`].
    pub size: u64,
    /// Modification time, as [`Entry::mtime`].
    pub mtime: Timestamp,
    /// Content, as [`Entry::content`].
    pub content: ContentId,
}

impl Found {
    /// The path is gone.
    pub const NOTHING: Self = Self {
        kind: Kind::Tombstone,
        mode: 0,
        size: 0,
        mtime: Timestamp { sec: 0, nsec: 0 },
        content: ContentId([0; 32]),
    };
}

/// The entry that a change made here leads to. `previous` is our entry before it, also if that is a
/// tombstone; `sequence` is the next one of our index `index_id`. What is written into a damaged file makes
/// it nobody's still: who has not met the damage yet must keep what that did away with.
#[must_use]
pub fn local_change(
    previous: Option<&Entry>,
    index_id: IndexId,
    sequence: Sequence,
    found: Found,
) -> Entry {
    let Found {
        kind,
        mode,
        size,
        mtime,
        content,
    } = found;
    let mut version = previous
        .map(|entry| entry.version.clone())
        .unwrap_or_default();
    version.set(index_id, sequence);
    Entry {
        kind,
        mode,
        size,
        mtime,
        content,
        modified_by: match previous {
            Some(previous) if is_damage(previous) && kind == Kind::File => IndexId::NOBODY,
            _ => index_id,
        },
        version,
        sequence,
    }
}

/// Decides between our entry of a path and theirs.
///
/// However entries travel (in any order, twice, late), peers that apply these decisions end with equal
/// entries, and every content that no local change replaced knowingly is the last entry's or was kept
/// by a [`Decision::ConflictTake`] (`tests/convergence.rs`).
#[must_use]
pub fn reconcile(ours: Option<&Entry>, theirs: &Entry) -> Decision {
    use Contents::{Different, OursDeleted, Same, TheirsDeleted};
    use Order::{After, Before, Concurrent, Equal};
    use Winner::{Ours, Theirs};

    let Some(ours) = ours else {
        return Decision::Take(unplaced(theirs));
    };
    let merged = |entry: &Entry| Entry {
        version: ours.version.merge(&theirs.version),
        ..unplaced(entry)
    };
    // What contains damage is damage to those who have not met it, whoever wrote the same.
    let same = |entry: Entry| match is_damage(ours) || is_damage(theirs) {
        true => Entry {
            modified_by: IndexId::NOBODY,
            ..entry
        },
        false => entry,
    };
    let order = if has_dropped_its_change(ours) || has_dropped_its_change(theirs) {
        Concurrent
    } else {
        ours.version.compare(&theirs.version)
    };
    let decision = match (order, contents(ours, theirs), winner(ours, theirs)) {
        (After, _, _) => Decision::Nothing,
        // Nobody wanted that change: what it did away with is kept, by whom it meets first.
        (Before, Different, _)
            if is_damage(theirs) && !is_damage(ours) && ours.kind != Kind::Directory =>
        {
            Decision::ConflictTake(unplaced(theirs))
        }
        (Before, _, _) => Decision::Take(unplaced(theirs)),
        // Equal versions of unequal entries arise where one peer merged a conflict and another one
        // merged it anew after a change to one side; they are reconciled as if they were concurrent.
        (Equal | Concurrent, Same, Ours) => Decision::Merge(same(merged(ours))),
        (Equal | Concurrent, Same, Theirs) => Decision::Merge(same(merged(theirs))),
        // A user's change wins against a deletion, but not what nobody wanted.
        (Equal | Concurrent, OursDeleted, _) if is_damage(theirs) => Decision::Nothing,
        (Equal | Concurrent, TheirsDeleted, _) if is_damage(ours) => {
            Decision::Take(unplaced(theirs))
        }
        (Equal | Concurrent, OursDeleted, _) => Decision::Take(merged(theirs)),
        (Equal | Concurrent, TheirsDeleted, _) => Decision::Keep(merged(ours)),
        // Were it merged, the winner would contain what the damage did away with, and replace that elsewhere.
        (Equal | Concurrent, Different, Theirs) if is_damage(ours) && !is_damage(theirs) => {
            Decision::ConflictTake(unplaced(theirs))
        }
        (Equal | Concurrent, Different, Theirs) => Decision::ConflictTake(merged(theirs)),
        // Only who holds the loser may merge, after keeping it: had we merged, our entry would
        // contain the loser's change and replace it elsewhere without a copy.
        (Equal | Concurrent, Different, Ours) => Decision::ConflictInsist,
    };
    match decision {
        Decision::Merge(entry) | Decision::Keep(entry) if entry == unplaced(ours) => {
            Decision::Nothing
        }
        changed => changed,
    }
}

/// Whether so many indexes changed a path that the version names the change no more which it came from:
/// another one that seems to contain it may never have met it.
fn has_dropped_its_change(entry: &Entry) -> bool {
    entry.version.len() == MAX_VERSIONS
        && !is_damage(entry)
        && entry.version.get(entry.modified_by) == 0
}

/// Whether it came from what a power cut left of a file.
fn is_damage(entry: &Entry) -> bool {
    entry.modified_by == IndexId::NOBODY
}

/// How what two entries say is there stands to each other.
enum Contents {
    Same,
    OursDeleted,
    TheirsDeleted,
    Different,
}

fn contents(ours: &Entry, theirs: &Entry) -> Contents {
    match (ours.kind, theirs.kind) {
        (Kind::Tombstone, Kind::Tombstone) => Contents::Same,
        (Kind::Tombstone, _) => Contents::OursDeleted,
        (_, Kind::Tombstone) => Contents::TheirsDeleted,
        (ours_kind, theirs_kind) if ours_kind == theirs_kind && ours.content == theirs.content => {
            Contents::Same
        }
        _ => Contents::Different,
    }
}

/// Whose entry all peers choose.
enum Winner {
    Ours,
    Theirs,
}

fn winner(ours: &Entry, theirs: &Entry) -> Winner {
    if rank(theirs) > rank(ours) {
        Winner::Theirs
    } else {
        Winner::Ours
    }
}

/// The greater one wins; the last two only so that no two unequal entries tie.
fn rank(entry: &Entry) -> (Kind, bool, ContentId, Timestamp, u16, u64, IndexId) {
    (
        entry.kind,
        !is_damage(entry),
        entry.content,
        entry.mtime,
        entry.mode,
        entry.size,
        entry.modified_by,
    )
}

/// The entry without its place in the index that told it.
fn unplaced(entry: &Entry) -> Entry {
    Entry {
        sequence: 0,
        ..entry.clone()
    }
}
