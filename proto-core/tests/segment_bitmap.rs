//! The bitmap of segments against a set of numbers.
#![cfg(test)]

use proptest::prelude::*;
use proto_core::limits::{MAX_PIECE, MIN_DATAGRAM};
use proto_core::storage::segment_bitmap::{MAX_BITMAP_BYTES, MAX_SEGMENTS, SegmentBitmap};
use std::collections::BTreeSet;

fn sets() -> impl Strategy<Value = BTreeSet<usize>> {
    prop::collection::btree_set(0..MAX_SEGMENTS, 0..200)
}

fn bitmap(set: &BTreeSet<usize>) -> SegmentBitmap {
    let mut bitmap = SegmentBitmap::new();
    for &at in set {
        assert!(bitmap.set(at));
        assert!(!bitmap.set(at));
    }
    bitmap
}

#[test]
fn the_largest_piece_fits() {
    const { assert!(MAX_SEGMENTS * (MIN_DATAGRAM - 60) >= MAX_PIECE) };
    assert_eq!((MAX_SEGMENTS, MAX_BITMAP_BYTES), (920, 115));
}

#[test]
fn the_first_segment_is_the_most_significant_bit() {
    let mut wire = [0xee; 4];
    let bitmap = bitmap(&BTreeSet::from([0, 9, 23]));
    assert_eq!(bitmap.write(24, &mut wire), Some(3));
    assert_eq!(wire, [0x80, 0x40, 0x01, 0xee]);
    assert_eq!(bitmap.write(23, &mut wire), Some(3));
    assert_eq!(wire, [0x80, 0x40, 0x00, 0xee]);
    assert_eq!(bitmap.write(0, &mut []), Some(0));
    assert_eq!(bitmap.write(24, &mut wire[..2]), None);
    assert_eq!(bitmap.write(MAX_SEGMENTS + 1, &mut [0; 200]), None);
}

#[test]
fn beyond_the_last_segment_there_is_nothing() {
    let mut bitmap = SegmentBitmap::fill(usize::MAX);
    assert_eq!(bitmap.count(), MAX_SEGMENTS);
    for at in [MAX_SEGMENTS, 959, 960, usize::MAX] {
        assert!(!bitmap.get(at) && !bitmap.set(at) && !bitmap.clear(at));
    }
    assert_eq!(bitmap, SegmentBitmap::fill(MAX_SEGMENTS));
    assert!(bitmap.all_set(usize::MAX));
    assert_eq!(
        SegmentBitmap::new().missing(usize::MAX).count(),
        MAX_SEGMENTS
    );
    assert_eq!(SegmentBitmap::read(&[0; MAX_BITMAP_BYTES + 1]), None);
    assert_eq!(SegmentBitmap::read(&[0xff; MAX_BITMAP_BYTES]), Some(bitmap));
}

proptest! {
    #[test]
    fn it_is_a_set(set in sets(), cleared in sets(), count in 0..=MAX_SEGMENTS) {
        let mut bitmap = bitmap(&set);
        let mut set = set;
        for at in cleared {
            prop_assert_eq!(bitmap.clear(at), set.remove(&at));
        }
        prop_assert_eq!(bitmap.count(), set.len());
        prop_assert_eq!(bitmap.is_empty(), set.is_empty());
        prop_assert!((0..MAX_SEGMENTS).all(|at| bitmap.get(at) == set.contains(&at)));
        prop_assert!(bitmap.iter().eq(set.iter().copied()));
        let missing: Vec<_> = (0..count).filter(|at| !set.contains(at)).collect();
        prop_assert_eq!(bitmap.first_missing(count), missing.first().copied());
        prop_assert_eq!(bitmap.all_set(count), missing.is_empty());
        prop_assert!(bitmap.missing(count).eq(missing));
    }

    #[test]
    fn filled_is_all_below(count in 0..=MAX_SEGMENTS) {
        let filled = SegmentBitmap::fill(count);
        prop_assert!(filled.iter().eq(0..count));
        prop_assert!(filled.all_set(count));
        prop_assert_eq!(filled.first_missing(MAX_SEGMENTS), Some(count).filter(|&at| at < MAX_SEGMENTS));
    }

    #[test]
    fn it_crosses_the_wire(set in sets(), count in 0..=MAX_SEGMENTS) {
        let mut wire = [0; MAX_BITMAP_BYTES];
        let len = bitmap(&set).write(count, &mut wire).unwrap();
        let below: BTreeSet<_> = set.into_iter().filter(|&at| at < count).collect();
        prop_assert_eq!(SegmentBitmap::read(&wire[..len]), Some(bitmap(&below)));
    }

    #[test]
    fn any_bytes_are_refused_or_a_set(wire in prop::collection::vec(any::<u8>(), 0..=MAX_BITMAP_BYTES + 2)) {
        match SegmentBitmap::read(&wire) {
            Some(bitmap) => {
                let mut again = vec![0; wire.len()];
                prop_assert_eq!(bitmap.write((8 * wire.len()).min(MAX_SEGMENTS), &mut again), Some(wire.len()));
                prop_assert_eq!(again, wire);
            }
            None => prop_assert!(wire.len() > MAX_BITMAP_BYTES),
        }
    }
}
