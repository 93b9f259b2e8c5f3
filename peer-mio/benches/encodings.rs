//! What it costs to encode and decode a piece (docs/performance.md, "Encodings").

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use peer_mio::jobs::encode::{Decoder, Encoder, longest};
use proto_core::wire::encoding::Encoding;

/// A chunk of average size.
const PIECE: usize = 65_536;

fn main() {
    divan::main();
}

/// Words as often as in a language: the n-th an n-th as often as the first.
fn text() -> Vec<u8> {
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let words: Vec<Vec<u8>> = (0..20_000)
        .map(|_| {
            (0..random(9) + 2)
                .map(|_| b'a' + (random(26) * random(26) / 26) as u8)
                .collect()
        })
        .collect();
    let mut text = Vec::with_capacity(PIECE + 20);
    while text.len() < PIECE {
        // The exponential of what is uniform.
        let exponent = random(100_000) as f64 / 100_000.0;
        let place = (words.len() as f64).powf(exponent) as usize - 1;
        text.extend(words.get(place).into_iter().flatten());
        text.push(b' ');
    }
    text.truncate(PIECE);
    text
}

fn encode(bencher: Bencher<'_, '_>, encoding: Encoding) {
    let (piece, mut out) = (text(), vec![0; longest(PIECE)]);
    let mut encoder = Encoder::default();
    bencher
        .counter(BytesCount::of_slice(&piece))
        .bench_local(|| encoder.encode(encoding, black_box(&piece), &mut out));
}

#[divan::bench]
fn encode_fast(bencher: Bencher<'_, '_>) {
    encode(bencher, Encoding::FAST);
}

#[divan::bench]
fn encode_small(bencher: Bencher<'_, '_>) {
    encode(bencher, Encoding::SMALL);
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let (piece, mut out) = (text(), vec![0; longest(PIECE)]);
    let len = Encoder::default().encode(Encoding::FAST, &piece, &mut out);
    let encoded = out.get(..len.unwrap_or_default()).unwrap_or_default();
    let mut decoder = Decoder::default();
    bencher
        .counter(BytesCount::of_slice(&piece))
        .bench_local(|| decoder.decode(black_box(encoded), PIECE).map(<[u8]>::len));
}
