//! Where contents are cut: the test vectors of the protocol and the laws of cutting.
#![cfg(test)]

use proptest::prelude::*;
use proto_core::content::cut::{Cutter, Params, cut};
use std::collections::BTreeSet;

const GIB: u64 = 1 << 30;

fn splitmix64(mut state: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// The input of the test vectors: splitmix64 from `seed`, each number in little-endian order.
fn random(seed: u64, len: usize) -> Vec<u8> {
    splitmix64(seed)
        .flat_map(u64::to_le_bytes)
        .take(len)
        .collect()
}

fn lengths(params: Params, mut data: &[u8]) -> Vec<usize> {
    let mut lengths = vec![];
    while let Some(len) = cut(params, data, true) {
        lengths.push(len);
        data = &data[len..];
    }
    assert!(data.is_empty());
    lengths
}

/// The hash of 32 bytes.
fn hash(window: &[u8]) -> u64 {
    window.chunks(8).fold(0, |hash, number| {
        let number = u64::from_le_bytes(number.try_into().unwrap());
        let hash = (hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ (hash >> 32)
    })
}

/// The definition of docs/protocol.md word by word: slow, but there is nothing to get wrong.
fn lengths_by_definition(params: Params, data: &[u8]) -> Vec<usize> {
    let mut lengths = vec![];
    let mut start = 0;
    while start < data.len() {
        let longest = (data.len() - start).min(params.max());
        let is_cut = |&len: &usize| {
            let window = &data[start + len - 32..start + len];
            let sum = window
                .iter()
                .fold(0_u8, |sum, &byte| sum.wrapping_mul(2).wrapping_add(byte));
            let hash = hash(window);
            let limit = match (params.min(), len < params.avg()) {
                (16_384, true) => 9 << 51,
                (16_384, false) => 9 << 55,
                (_, true) => 9 << 49,
                (_, false) => 9 << 53,
            };
            sum == 0x25 && hash < limit
        };
        let len = (params.min()..longest).find(is_cut).unwrap_or(longest);
        lengths.push(len);
        start += len;
    }
    lengths
}

#[test]
fn sizes_follow_the_file() {
    let sizes = |size| {
        let params = Params::for_size(size);
        (params.min() >> 10, params.avg() >> 10, params.max() >> 10)
    };
    assert_eq!(sizes(0), (16, 64, 256));
    assert_eq!(sizes(GIB), (16, 64, 256));
    assert_eq!(sizes(GIB + 1), (64, 256, 1024));
    assert_eq!(sizes(u64::MAX), (64, 256, 1024));
}

#[test]
fn test_vectors() {
    assert_eq!(
        lengths(Params::for_size(1 << 20), &random(1, 1 << 20)),
        [
            66646, 90351, 82115, 74793, 85335, 78873, 53575, 91193, 76676, 77797, 78800, 79105,
            16906, 65676, 30735
        ]
    );
    assert_eq!(
        lengths(Params::for_size(2 * GIB), &random(2, 4 << 20)),
        [
            283_069, 313_148, 290_463, 395_795, 318_109, 76760, 430_884, 266_164, 581_942, 303_533,
            589_068, 340_018, 5351
        ]
    );
    assert_eq!(
        lengths(Params::for_size(1 << 20), &[0; 1 << 20]),
        [256 * 1024; 4]
    );
}

#[test]
fn short_files_are_one_chunk_and_empty_ones_none() {
    let params = Params::for_size(0);
    assert_eq!(cut(params, &[], true), None);
    for len in [1, 31, 32, 33, params.min() - 1, params.min()] {
        assert_eq!(cut(params, &random(3, len), true), Some(len));
    }
}

#[test]
fn more_data_is_asked_for_below_the_largest_chunk() {
    let params = Params::for_size(0);
    let data = random(1, params.max());
    assert_eq!(cut(params, &data[..data.len() - 1], false), None);
    assert_eq!(cut(params, &[], false), None);
    assert_eq!(cut(params, &data, false), Some(66646));
}

#[test]
fn an_insertion_changes_few_chunks() {
    let data = random(7, 8 << 20);
    let shifted: Vec<u8> = random(8, 100)
        .into_iter()
        .chain(data.iter().copied())
        .collect();
    let params = Params::for_size(data.len() as u64);
    let chunks = |data| {
        let mut rest: &[u8] = data;
        lengths(params, data)
            .into_iter()
            .map(move |len| rest.split_off(..len).unwrap())
    };
    let known: BTreeSet<&[u8]> = chunks(&data).collect();
    let changed = chunks(&shifted)
        .filter(|chunk| !known.contains(chunk))
        .count();
    assert!(
        (1..=4).contains(&changed),
        "{changed} of {} chunks changed",
        known.len()
    );
}

/// Contents of random runs: some random, some constant, as files are.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let run = (any::<u64>(), 0..200_000_usize, any::<bool>()).prop_map(|(seed, len, constant)| {
        if constant {
            vec![seed.to_le_bytes()[0]; len]
        } else {
            random(seed, len)
        }
    });
    prop::collection::vec(run, 0..6).prop_map(|runs| runs.concat())
}

/// Lengths of parts: some shorter than what a cut depends on.
fn parts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![0..70_usize, 0..70_000_usize], 1..40)
}

/// 32 bytes whose hash is in this range, at the end of which there is a candidate.
fn window(hashes: std::ops::Range<u64>) -> Vec<u8> {
    (0..)
        .map(|seed| {
            let mut window = random(seed, 32);
            let sum = |window: &[u8]| {
                window
                    .iter()
                    .fold(0_u8, |sum, &byte| (sum << 1).wrapping_add(byte))
            };
            window[31] = window[31].wrapping_add(0x25_u8.wrapping_sub(sum(&window)));
            window
        })
        .find(|window| hashes.contains(&hash(window)))
        .unwrap()
}

#[test]
fn cuts_are_right_at_the_borders_of_the_sizes() {
    let params = Params::for_size(0);
    let borders = [params.min(), params.avg(), params.max()];
    let mut cuts = 0;
    for window in [window(0..9 << 51), window(9 << 51..9 << 55)] {
        for at in borders.iter().flat_map(|border| border - 2..=border + 2) {
            // Among zeros there is no candidate.
            let mut data = vec![0; params.max() + params.min()];
            data[at - 32..at].copy_from_slice(&window);
            let expected = lengths_by_definition(params, &data);
            assert_eq!(lengths(params, &data), expected, "{at}");
            cuts += usize::from(expected[0] == at);
            for split in at - 34..at + 2 {
                let mut cutter = Cutter::new(params);
                let (first, second) = data.split_at(split);
                let cut = cutter
                    .push(first)
                    .or_else(|| cutter.push(second).map(|behind| split + behind));
                assert_eq!(cut, Some(expected[0]), "{at} in parts of {split}");
            }
        }
    }
    assert!(cuts >= 12, "{cuts}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn cuts_are_those_of_the_definition(data in contents(), large in any::<bool>()) {
        let params = Params::for_size(if large { 2 * GIB } else { 0 });
        prop_assert_eq!(lengths(params, &data), lengths_by_definition(params, &data));
    }

    #[test]
    fn chunks_cover_the_content_within_bounds(data in contents()) {
        let params = Params::for_size(data.len() as u64);
        let lengths = lengths(params, &data);
        prop_assert_eq!(lengths.iter().sum::<usize>(), data.len());
        if let Some((last, others)) = lengths.split_last() {
            prop_assert!((1..=params.max()).contains(last));
            prop_assert!(others.iter().all(|len| (params.min()..=params.max()).contains(len)));
        }
    }

    #[test]
    fn cuts_do_not_depend_on_how_the_content_comes(data in contents(), parts in parts()) {
        let params = Params::for_size(0);
        let mut cutter = Cutter::new(params);
        let (mut came, mut len, mut rest) = (vec![], 0, &data[..]);
        for part in parts.iter().cycle().map(|&part| part + 1) {
            let (mut part, others) = rest.split_at(part.min(rest.len()));
            while let Some(end) = cutter.push(part) {
                came.push(len + end);
                len = 0;
                part = &part[end..];
            }
            len += part.len();
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        came.extend(Some(len).filter(|&len| len > 0));
        prop_assert_eq!(came, lengths(params, &data));
    }
}
