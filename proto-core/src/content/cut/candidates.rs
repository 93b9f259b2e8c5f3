//! The first test of a place, for many places at once (docs/protocol.md, "Chunks").

/// Places that are tested at once: four registers of 16 bytes.
pub const LANES: usize = 64;

/// One place of 2 to the power of this is a candidate in random bytes.
pub const BITS: u32 = u8::BITS;

/// The sum that makes a place a candidate; not 0, so that none is among zeros.
const SUM: u8 = 0x25;

/// Bytes before a place that its sum is made of: the eighth doubling leaves nothing of a byte.
const TERMS: usize = u8::BITS as usize;

/// Bytes that the sums of [`LANES`] places are made of.
const SPAN: usize = TERMS - 1 + LANES;

/// Whether the compiler may count on vectors on this machine.
const VECTORS: bool = cfg!(any(target_feature = "sse2", target_feature = "neon"));

/// Which of the [`LANES`] places behind the first `passed` bytes, at least 7, are candidates: bit n stands for the place
/// that has n more bytes before it than the first. None where the bytes end.
pub fn candidates(bytes: &[u8], passed: usize) -> u64 {
    let from_span = passed.checked_sub(TERMS - 1);
    let rest = from_span
        .and_then(|start| bytes.get(start..))
        .unwrap_or_default();
    if let Some(span) = rest.first_chunk() {
        return candidates_of(span);
    }
    let mut span = [0; SPAN];
    for (to, from) in span.iter_mut().zip(rest) {
        *to = *from;
    }
    let places = rest.len().saturating_sub(TERMS - 1);
    candidates_of(&span) & ((1 << places) - 1)
}

fn candidates_of(span: &[u8; SPAN]) -> u64 {
    let sums = if VECTORS {
        sums_by_lanes(span)
    } else {
        sums_in_order(span)
    };
    let hits = sums.map(|sum| u8::from(sum == SUM));
    // In most spans there is none.
    if hits.iter().fold(0, |any, hit| any | hit) == 0 {
        return 0;
    }
    let (words, _) = hits.as_chunks();
    words.iter().rev().fold(0, |bits, word| {
        (bits << 8) | bits_of(u64::from_le_bytes(*word))
    })
}

/// The sums of all places, each term for all of them at once.
fn sums_by_lanes(span: &[u8; SPAN]) -> [u8; LANES] {
    let mut sums = [0_u8; LANES];
    for term in 0..TERMS {
        for (sum, byte) in sums.iter_mut().zip(span.get(term..).unwrap_or_default()) {
            *sum = (*sum << 1).wrapping_add(*byte);
        }
    }
    sums
}

/// The same, each sum from the one before.
fn sums_in_order(span: &[u8; SPAN]) -> [u8; LANES] {
    let (before, at_places) = span.split_at(TERMS - 1);
    let roll = |sum: u8, byte: &u8| (sum << 1).wrapping_add(*byte);
    let mut sum = before.iter().fold(0, roll);
    let mut sums = [0; LANES];
    for (place, byte) in sums.iter_mut().zip(at_places) {
        sum = roll(sum, byte);
        *place = sum;
    }
    sums
}

/// Bytes that are 0 or 1 as eight bits, the first byte as the lowest.
fn bits_of(word: u64) -> u64 {
    // Each byte meets the one power of two that takes it to its place among the highest eight bits.
    word.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The definition word by word.
    fn is_candidate(before: &[u8]) -> bool {
        let weighted = before.iter().rev().take(8).enumerate();
        let sum: u32 = weighted
            .map(|(behind, byte)| u32::from(*byte) << behind)
            .sum();
        sum % 256 == 0x25
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        // The constant whose sums are all candidates is among them.
        let constant = prop_oneof![Just(0xdb_u8), any::<u8>()];
        prop_oneof![
            prop::collection::vec(any::<u8>(), 7..400),
            (constant, 7..400_usize).prop_map(|(byte, len)| std::vec![byte; len]),
        ]
    }

    proptest! {
        #[test]
        fn candidates_are_those_of_the_definition(bytes in bytes(), passed in 7..400_usize) {
            let passed = passed.min(bytes.len());
            let found = candidates(&bytes, passed);
            for place in 0..LANES {
                let end = passed + place + 1;
                let expected = end <= bytes.len() && is_candidate(&bytes[..end]);
                prop_assert_eq!(found >> place & 1 == 1, expected, "place {}", place);
            }
        }

        #[test]
        fn machines_without_vectors_find_the_same(span in prop::array::uniform(any::<u8>())) {
            prop_assert_eq!(sums_by_lanes(&span), sums_in_order(&span));
        }
    }
}
