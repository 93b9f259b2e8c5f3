//! The laws of version vectors.
#![cfg(test)]

use proptest::prelude::*;
use proto_core::index::entry::{IndexId, Sequence};
use proto_core::index::version_vector::{Order, VersionVector};
use proto_core::limits::MAX_VERSIONS;
use std::collections::BTreeMap;

fn vector(changes: impl IntoIterator<Item = (u64, Sequence)>) -> VersionVector {
    VersionVector::from_sorted(
        changes
            .into_iter()
            .map(|(id, sequence)| (IndexId(id), sequence)),
    )
    .unwrap()
}

/// Vectors over few ids and sequences, so that every order between two of them is common.
fn few() -> impl Strategy<Value = VersionVector> {
    prop::collection::btree_map(0..4_u64, 1..4_u64, 0..4).prop_map(vector)
}

/// Vectors that two by two overflow.
fn many() -> impl Strategy<Value = VersionVector> {
    prop::collection::btree_map(0..60_u64, 1..40_u64, 0..=MAX_VERSIONS).prop_map(vector)
}

fn not_before(left: &VersionVector, right: &VersionVector) -> bool {
    matches!(left.compare(right), Order::After | Order::Equal)
}

proptest! {
    #[test]
    fn comparing_mirrors(a in few(), b in few()) {
        let mirrored = match b.compare(&a) {
            Order::After => Order::Before,
            Order::Before => Order::After,
            same => same,
        };
        prop_assert_eq!(a.compare(&b), mirrored);
        prop_assert_eq!(a.compare(&b) == Order::Equal, a == b);
    }

    #[test]
    fn comparing_is_the_order_of_the_components(a in few(), b in few()) {
        let ids = || (0..4).map(IndexId);
        let expected = match (ids().any(|id| a.get(id) > b.get(id)), ids().any(|id| a.get(id) < b.get(id))) {
            (false, false) => Order::Equal,
            (true, false) => Order::After,
            (false, true) => Order::Before,
            (true, true) => Order::Concurrent,
        };
        prop_assert_eq!(a.compare(&b), expected);
    }

    #[test]
    fn after_is_transitive(a in few(), b in few(), c in few()) {
        if not_before(&a, &b) && not_before(&b, &c) {
            prop_assert!(not_before(&a, &c));
        }
    }

    #[test]
    fn merging_is_the_least_that_contains_both(a in few(), b in few(), other in few()) {
        let merged = a.merge(&b);
        prop_assert!(not_before(&merged, &a) && not_before(&merged, &b));
        if not_before(&other, &a) && not_before(&other, &b) {
            prop_assert!(not_before(&other, &merged));
        }
    }

    #[test]
    fn merging_does_not_depend_on_order(a in prop_oneof![few(), many()], b in many(), c in many()) {
        prop_assert_eq!(a.merge(&b), b.merge(&a));
        prop_assert_eq!(a.merge(&b).merge(&c), a.merge(&b.merge(&c)));
        prop_assert_eq!(a.merge(&a), a.clone());
        prop_assert_eq!(a.merge(&b).merge(&b), a.merge(&b));
    }

    #[test]
    fn merging_keeps_the_greatest_components(a in many(), b in many()) {
        let mut union: BTreeMap<IndexId, Sequence> = a.iter().collect();
        for (id, sequence) in b.iter() {
            let known = union.entry(id).or_default();
            *known = sequence.max(*known);
        }
        let mut greatest: Vec<_> = union.into_iter().map(|(id, sequence)| (sequence, id)).collect();
        greatest.sort_unstable();
        let mut kept: Vec<_> = greatest.iter().rev().take(MAX_VERSIONS).map(|&(sequence, id)| (id, sequence)).collect();
        kept.sort_unstable();
        prop_assert_eq!(a.merge(&b).iter().collect::<Vec<_>>(), kept);
    }

    #[test]
    fn a_local_change_is_after_what_it_replaces(a in few(), id in 0..8_u64, sequence in 0..8_u64) {
        let mut changed = a.clone();
        changed.set(IndexId(id), sequence);
        prop_assert_eq!(changed.compare(&a), Order::After);
        prop_assert!(changed.get(IndexId(id)) >= sequence);
    }

    #[test]
    fn a_local_change_survives_a_full_vector(a in many(), id in 0..60_u64, sequence in 1..8_u64) {
        let mut changed = a.clone();
        changed.set(IndexId(id), sequence);
        prop_assert!(changed.get(IndexId(id)) >= sequence);
        prop_assert!(changed.compare(&a) != Order::Before && changed != a);
        prop_assert_eq!(VersionVector::from_sorted(changed.iter()), Some(changed));
    }

    #[test]
    fn components_come_back_as_they_went_in(changes in prop::collection::btree_map(any::<u64>(), 1_u64.., 0..=MAX_VERSIONS)) {
        let made = vector(changes.clone());
        prop_assert_eq!(made.len(), changes.len());
        prop_assert_eq!(made.is_empty(), changes.is_empty());
        prop_assert!(made.iter().map(|(id, sequence)| (id.0, sequence)).eq(changes));
    }
}

#[test]
fn a_local_change_sets_our_component_to_its_sequence() {
    let mut version = vector([(1, 5), (3, 9)]);
    version.set(IndexId(2), 70);
    version.set(IndexId(3), 71);
    assert_eq!(version, vector([(1, 5), (2, 70), (3, 71)]));
}

#[test]
fn a_full_vector_drops_its_smallest_sequence() {
    let full = (0..MAX_VERSIONS as u64).map(|id| (id, if id == 7 { 2 } else { 10 + id }));
    let mut version = vector(full);
    version.set(IndexId(1000), 1);
    assert_eq!(
        (version.get(IndexId(7)), version.get(IndexId(1000))),
        (0, 1)
    );
    assert_eq!(version.len(), MAX_VERSIONS);
}

#[test]
fn what_is_not_a_vector_is_refused() {
    let refused = |changes: &[(u64, u64)]| {
        VersionVector::from_sorted(
            changes
                .iter()
                .map(|&(id, sequence)| (IndexId(id), sequence)),
        )
        .is_none()
    };
    assert!(refused(&[(1, 0)]));
    assert!(refused(&[(1, 1), (1, 2)]));
    assert!(refused(&[(2, 1), (1, 2)]));
    let crowd: Vec<_> = (0..=MAX_VERSIONS as u64).map(|id| (id, 1)).collect();
    assert!(refused(&crowd));
}
