//! The table of docs/architecture.md, section 2, row by row.
#![cfg(test)]

use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Timestamp};
use proto_core::index::reconcile::{Decision, Found, local_change, reconcile};
use proto_core::index::version_vector::VersionVector;

const A: IndexId = IndexId(0xa);
const B: IndexId = IndexId(0xb);

fn version<const N: usize>(changes: [(IndexId, u64); N]) -> VersionVector {
    VersionVector::from_sorted(changes).unwrap()
}

fn file(by: IndexId, content: u8, mtime: i64, mode: u16) -> Entry {
    let mtime = Timestamp {
        sec: mtime,
        nsec: 0,
    };
    let found = Found {
        kind: Kind::File,
        mode,
        size: 3,
        mtime,
        content: ContentId([content; 32]),
    };
    local_change(None, by, 1, found)
}

fn gone(by: IndexId) -> Entry {
    local_change(None, by, 1, Found::NOTHING)
}

/// What a decision about `winner` stores when both versions are merged.
fn merged(winner: &Entry) -> Entry {
    Entry {
        version: version([(A, 1), (B, 1)]),
        sequence: 0,
        ..winner.clone()
    }
}

#[test]
fn what_we_do_not_have_is_taken() {
    let theirs = file(B, 1, 0, 0o644);
    assert_eq!(
        reconcile(None, &theirs),
        Decision::Take(Entry {
            sequence: 0,
            ..theirs
        })
    );
    let theirs = gone(B);
    assert_eq!(
        reconcile(None, &theirs),
        Decision::Take(Entry {
            sequence: 0,
            ..theirs
        })
    );
}

#[test]
fn the_newer_one_wins_whatever_it_is() {
    let old = file(A, 9, 9, 0o777);
    for found in [
        Found::NOTHING,
        Found {
            kind: Kind::File,
            ..Found::NOTHING
        },
    ] {
        let new = local_change(Some(&old), B, 1, found);
        assert_eq!(reconcile(Some(&new), &old), Decision::Nothing);
        assert_eq!(
            reconcile(Some(&old), &new),
            Decision::Take(Entry { sequence: 0, ..new })
        );
    }
}

#[test]
fn the_same_entry_changes_nothing() {
    let ours = file(A, 1, 0, 0o644);
    assert_eq!(
        reconcile(
            Some(&ours),
            &Entry {
                sequence: 77,
                ..ours.clone()
            }
        ),
        Decision::Nothing
    );
}

#[test]
fn equal_contents_merge_to_the_greater_metadata() {
    let (ours, theirs) = (file(A, 1, 5, 0o600), file(B, 1, 4, 0o777));
    assert_eq!(
        reconcile(Some(&ours), &theirs),
        Decision::Merge(merged(&ours))
    );
    assert_eq!(
        reconcile(Some(&theirs), &ours),
        Decision::Merge(merged(&ours))
    );
    let (ours, theirs) = (file(A, 1, 5, 0o600), file(B, 1, 5, 0o600));
    assert_eq!(
        reconcile(Some(&ours), &theirs),
        Decision::Merge(merged(&theirs))
    );
    assert_eq!(
        reconcile(Some(&theirs), &ours),
        Decision::Merge(merged(&theirs))
    );
    assert_eq!(
        reconcile(Some(&gone(A)), &gone(B)),
        Decision::Merge(merged(&gone(B)))
    );
}

#[test]
fn a_modification_beats_a_deletion() {
    let (written, deleted) = (file(A, 1, 0, 0o644), gone(B));
    assert_eq!(
        reconcile(Some(&written), &deleted),
        Decision::Keep(merged(&written))
    );
    assert_eq!(
        reconcile(Some(&deleted), &written),
        Decision::Take(merged(&written))
    );
}

#[test]
fn only_the_holder_of_the_loser_resolves_a_conflict() {
    let (loser, winner) = (file(A, 1, 9, 0o777), file(B, 2, 0, 0));
    assert_eq!(reconcile(Some(&winner), &loser), Decision::ConflictInsist);
    assert_eq!(
        reconcile(Some(&loser), &winner),
        Decision::ConflictTake(merged(&winner))
    );
}

#[test]
fn a_directory_wins_over_a_file_and_a_file_over_a_symlink() {
    let directory = local_change(
        None,
        A,
        1,
        Found {
            kind: Kind::Directory,
            mode: 0o700,
            ..Found::NOTHING
        },
    );
    let link = Entry {
        kind: Kind::Symlink,
        ..file(A, 9, 0, 0)
    };
    let written = file(B, 5, 0, 0o644);
    assert_eq!(
        reconcile(Some(&written), &directory),
        Decision::ConflictTake(merged(&directory))
    );
    assert_eq!(
        reconcile(Some(&directory), &written),
        Decision::ConflictInsist
    );
    assert_eq!(
        reconcile(Some(&link), &written),
        Decision::ConflictTake(merged(&written))
    );
    assert_eq!(reconcile(Some(&written), &link), Decision::ConflictInsist);
}

#[test]
fn equal_versions_of_unequal_entries_have_one_winner() {
    let (loser, winner) = (merged(&file(A, 1, 0, 0)), merged(&file(B, 2, 0, 0)));
    assert_eq!(reconcile(Some(&winner), &loser), Decision::ConflictInsist);
    assert_eq!(
        reconcile(Some(&loser), &winner),
        Decision::ConflictTake(winner.clone())
    );
    let elder = Entry {
        mtime: Timestamp { sec: -1, nsec: 0 },
        ..winner.clone()
    };
    assert_eq!(reconcile(Some(&winner), &elder), Decision::Nothing);
    assert_eq!(
        reconcile(Some(&elder), &winner),
        Decision::Merge(winner.clone())
    );
    let deleted = merged(&gone(A));
    assert_eq!(reconcile(Some(&winner), &deleted), Decision::Nothing);
    assert_eq!(reconcile(Some(&deleted), &winner), Decision::Take(winner));
}

#[test]
fn a_local_change_goes_on_from_a_tombstone() {
    let deleted = local_change(Some(&file(A, 1, 0, 0o644)), B, 4, Found::NOTHING);
    let again = local_change(
        Some(&deleted),
        A,
        8,
        Found {
            kind: Kind::Directory,
            mode: 0o755,
            ..Found::NOTHING
        },
    );
    assert_eq!(again.version, version([(A, 8), (B, 4)]));
    assert_eq!(
        (again.modified_by, again.sequence, again.kind, again.mode),
        (A, 8, Kind::Directory, 0o755)
    );
}
