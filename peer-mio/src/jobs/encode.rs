//! Encoding and decoding of pieces (docs/protocol.md, "Encodings"): raw DEFLATE. The state of each direction is
//! made at its first use and used again, so that after it nothing is allocated.

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::{CompressionLvl, Compressor};
use proto_core::limits::MAX_PIECE;
use proto_core::wire::encoding::Encoding;
use std::fmt;

/// Of libdeflate's levels; docs/performance.md, "Encodings", has what they cost and give.
const FAST: i32 = 1;
const SMALL: i32 = 5;

/// The most that an encoded piece of this length may have: an eighth less, else it travels as it is.
#[must_use]
pub const fn longest(length: usize) -> usize {
    length - length.div_ceil(8)
}

/// Encodes pieces, each by itself: 200 KB for the fast encoding, 670 for the small one, once it was used. This is C, but sees only
/// files of our own; what comes over the network is decoded in Rust.
#[derive(Default)]
pub struct Encoder {
    fast: Option<Compressor>,
    small: Option<Compressor>,
}

impl Encoder {
    /// Encodes a piece into the start of `out`, which has [`longest`] bytes for it: its length so, or `None` if that
    /// is more.
    pub fn encode(&mut self, encoding: Encoding, piece: &[u8], out: &mut [u8]) -> Option<usize> {
        let out = out.get_mut(..longest(piece.len()))?;
        let (state, level) = match encoding {
            Encoding::FAST => (&mut self.fast, FAST),
            Encoding::SMALL => (&mut self.small, SMALL),
            _ => return None,
        };
        let level = CompressionLvl::new(level).ok()?;
        let used = state.get_or_insert_with(|| Compressor::new(level));
        used.deflate_compress(piece, out).ok()
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("fast", &self.fast.is_some())
            .field("small", &self.small.is_some())
            .finish()
    }
}

/// Decodes pieces. Some 50 KB and the longest piece so far.
#[derive(Debug, Default)]
pub struct Decoder {
    state: Option<Decompress>,
    bytes: Vec<u8>,
}

impl Decoder {
    /// The piece of just this length; `None` if it is none. Not a byte more is ever unpacked.
    pub fn decode(&mut self, encoded: &[u8], length: usize) -> Option<&[u8]> {
        self.decode_at_most(encoded, length)
            .filter(|piece| piece.len() == length)
    }

    /// The piece of a length that is not known, at most `most`; `None` if it is none. Not a byte more is ever unpacked.
    pub fn decode_at_most(&mut self, encoded: &[u8], most: usize) -> Option<&[u8]> {
        if most == 0 || most > MAX_PIECE {
            return None;
        }
        if self.bytes.len() < most {
            self.bytes.resize(most, 0);
        }
        let bytes = self.bytes.get_mut(..most)?;
        let state = self.state.get_or_insert_with(|| Decompress::new(false));
        state.reset(false);
        let decoded = state.decompress(encoded, bytes, FlushDecompress::Finish);
        let whole = decoded.is_ok_and(|status| status == Status::StreamEnd)
            && state.total_in() == encoded.len() as u64;
        let length = usize::try_from(state.total_out()).ok()?;
        bytes.get(..length).filter(|_| whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(encoding: Encoding, piece: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; longest(piece.len())];
        let len = Encoder::default().encode(encoding, piece, &mut out)?;
        out.truncate(len);
        Some(out)
    }

    fn text(len: usize) -> Vec<u8> {
        let words = b"one of the many words that a text has again and again, ";
        words.iter().copied().cycle().take(len).collect()
    }

    #[test]
    fn what_is_asked_for_twice_is_the_same_twice() {
        let mut encoder = Encoder::default();
        let pieces = [text(262_144), text(1_000), vec![0; MAX_PIECE]];
        for encoding in [Encoding::FAST, Encoding::SMALL] {
            for piece in &pieces {
                let mut out = vec![0; longest(piece.len())];
                let len = encoder.encode(encoding, piece, &mut out).unwrap();
                assert_eq!(encoded(encoding, piece).as_deref(), Some(&out[..len]));
            }
        }
    }

    #[test]
    fn a_piece_that_just_fits_is_encoded_and_one_that_does_not_leaves_the_encoder_as_good_as_new() {
        let mut noise = vec![0; 65_536];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for encoding in [Encoding::FAST, Encoding::SMALL] {
            let (mut fits, mut not) = (0, 0);
            // From noise to text: somewhere between lies what shrinks by just an eighth.
            for same in (0..16_384).step_by(16) {
                let mut piece = noise.clone();
                piece[..same].fill(7);
                let room = longest(piece.len());
                // What lies behind the room is not touched.
                let mut out = vec![9; room + 64];
                let len = encoder.encode(encoding, &piece, &mut out);
                assert!(out[room..].iter().all(|byte| *byte == 9));
                match len {
                    Some(len) => {
                        fits += 1;
                        assert!(len <= room);
                        assert_eq!(decoder.decode(&out[..len], piece.len()), Some(&piece[..]));
                    }
                    None => not += 1,
                }
            }
            assert!(fits > 100 && not > 100, "{fits} {not}");
        }
    }

    #[test]
    fn noise_has_no_room() {
        let mut noise = vec![0; 65_536];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(encoded(Encoding::FAST, &noise), None);
        assert_eq!(encoded(Encoding::SMALL, &noise), None);
        assert_eq!(encoded(Encoding::NONE, &text(1_000)), None);
        assert_eq!(encoded(Encoding(3), &text(1_000)), None);
    }

    #[test]
    fn one_encoder_takes_any_pieces_in_any_order() {
        let mut noise = vec![0; 70_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let (text, mut encoder, mut decoder) =
            (text(70_000), Encoder::default(), Decoder::default());
        let mut out = vec![0; longest(70_000)];
        for number in 0..2_000_usize {
            let len = number * 7919 % 70_000;
            let piece = if number % 3 == 0 { &text } else { &noise };
            for encoding in [Encoding::FAST, Encoding::SMALL] {
                let encoded = encoder.encode(encoding, &piece[..len], &mut out);
                if let Some(encoded) = encoded {
                    assert_eq!(decoder.decode(&out[..encoded], len), Some(&piece[..len]));
                }
            }
        }
        assert_eq!(
            encoder.encode(Encoding::FAST, &text, &mut [0; longest(70_000) - 1]),
            None
        );
    }

    #[test]
    fn a_bomb_is_unpacked_to_the_length_that_was_asked_for_and_no_further() {
        let bomb = encoded(Encoding::SMALL, &vec![0; MAX_PIECE]).unwrap();
        assert!(bomb.len() < 2_000);
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(&bomb, 1_000), None);
        assert_eq!(decoder.bytes.len(), 1_000);
        assert_eq!(decoder.decode(&bomb, MAX_PIECE - 1), None);
        assert!(decoder.decode(&bomb, MAX_PIECE).is_some());
        assert_eq!(decoder.decode(&bomb, MAX_PIECE + 1), None);
        assert_eq!(decoder.decode(&bomb[..bomb.len() - 1], MAX_PIECE), None);
        assert_eq!(decoder.decode_at_most(&bomb, MAX_PIECE - 1), None);
        assert_eq!(decoder.decode_at_most(&bomb, MAX_PIECE + 1), None);
        let more = [&bomb[..], &[0]].concat();
        assert_eq!(decoder.decode_at_most(&more, MAX_PIECE), None);
        assert_eq!(decoder.decode(&more, MAX_PIECE), None);
        assert_eq!(decoder.decode(&[], 1), None);
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_out_again(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..20),
            order in prop::collection::vec(any::<usize>(), 1..2_000),
            small: bool,
        ) {
            let piece: Vec<u8> = order.iter().flat_map(|word| words[word % words.len()].clone()).collect();
            let encoding = if small { Encoding::SMALL } else { Encoding::FAST };
            if let Some(encoded) = encoded(encoding, &piece) {
                prop_assert!(encoded.len() < piece.len());
                let mut decoder = Decoder::default();
                prop_assert_eq!(decoder.decode(&encoded, piece.len()), Some(&piece[..]));
                prop_assert_eq!(decoder.decode(&encoded, piece.len() + 1), None);
                prop_assert_eq!(decoder.decode_at_most(&encoded, piece.len() + 1), Some(&piece[..]));
                prop_assert_eq!(decoder.decode_at_most(&encoded, piece.len() - 1), None);
                prop_assert_eq!(decoder.decode(&encoded, piece.len() - 1), None);
                // Once more: nothing is left of what went wrong.
                prop_assert_eq!(decoder.decode(&encoded, piece.len()), Some(&piece[..]));
            }
        }

        #[test]
        fn anything_decodes_to_the_length_that_was_asked_for_or_not_at_all(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            length in 0usize..2_000,
        ) {
            if let Some(piece) = Decoder::default().decode(&bytes, length) {
                prop_assert_eq!(piece.len(), length);
            }
            if let Some(piece) = Decoder::default().decode_at_most(&bytes, length) {
                prop_assert!(piece.len() <= length);
            }
        }
    }
}
