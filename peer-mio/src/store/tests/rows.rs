//! Rows as bytes: what was written is read, and any other bytes are refused without a panic.

use super::super::row::{Fingerprint, Pending, Row};
use proptest::prelude::*;
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Timestamp};
use proto_core::index::version_vector::VersionVector;
use proto_core::limits::{MAX_TARGET, MAX_VERSIONS};

fn any_time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), any::<u32>()).prop_map(|(sec, nsec)| Timestamp { sec, nsec })
}

fn any_version() -> impl Strategy<Value = VersionVector> {
    proptest::collection::btree_map(any::<u64>(), 1..=u64::MAX, 0..=MAX_VERSIONS).prop_map(
        |changes| {
            VersionVector::from_sorted(
                changes
                    .into_iter()
                    .map(|(id, sequence)| (IndexId(id), sequence)),
            )
            .unwrap()
        },
    )
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        Just(Kind::Tombstone),
        Just(Kind::Symlink),
        Just(Kind::File),
        Just(Kind::Directory)
    ];
    (
        kind,
        any::<u16>(),
        any::<u64>(),
        any_time(),
        any::<[u8; 32]>(),
        any::<u64>(),
        any_version(),
        any::<u64>(),
    )
        .prop_map(
            |(kind, mode, size, mtime, content, modified_by, version, sequence)| Entry {
                kind,
                mode,
                size,
                mtime,
                content: ContentId(content),
                modified_by: IndexId(modified_by),
                version,
                sequence,
            },
        )
}

fn any_target() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |len: std::ops::RangeInclusive<usize>| proptest::collection::vec(any::<u8>(), len);
    prop_oneof![bytes(0..=60), bytes(MAX_TARGET..=MAX_TARGET)]
}

fn any_fingerprint() -> impl Strategy<Value = Fingerprint> {
    (
        any::<u64>(),
        any::<u64>(),
        any_time(),
        any_time(),
        any::<u16>(),
        any::<bool>(),
    )
        .prop_map(|(inode, size, mtime, ctime, mode, link)| Fingerprint {
            inode,
            size,
            mtime,
            ctime,
            mode,
            link,
        })
}

proptest! {
    #[test]
    fn a_row_reads_as_it_was_written(entry in any_entry(), target in any_target(), local in proptest::option::of(any_fingerprint()), run in any::<u32>()) {
        let row = Row { entry, target, local, run };
        prop_assert_eq!(Row::decode(&row.encode()), Some(row));
    }

    #[test]
    fn a_pending_change_reads_as_it_was_written(entry in any_entry(), target in any_target(), told_by in any::<u64>()) {
        let pending = Pending { entry, target, told_by: IndexId(told_by) };
        prop_assert_eq!(Pending::decode(&pending.encode()), Some(pending));
    }

    #[test]
    fn what_reads_at_all_reads_as_what_is_written_again(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..4u8) {
        let mut bytes = bytes;
        if let [layout, local, at_kind, ..] = bytes.as_mut_slice() {
            (*layout, *local, *at_kind) = (1, 0, kind);
        }
        if let Some(row) = Row::decode(&bytes) {
            prop_assert_eq!(row.encode(), bytes.clone());
        }
        if let Some(pending) = Pending::decode(&bytes) {
            prop_assert_eq!(pending.encode(), bytes);
        }
    }

    #[test]
    fn a_row_that_is_cut_short_is_no_row(entry in any_entry(), local in proptest::option::of(any_fingerprint()), cut in any::<prop::sample::Index>()) {
        let bytes = Row { entry, target: Vec::new(), local, run: 3 }.encode();
        prop_assert_eq!(Row::decode(&bytes[..cut.index(bytes.len())]), None);
    }
}
