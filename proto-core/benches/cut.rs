//! How fast contents are cut into chunks.

use divan::Bencher;
use divan::counter::BytesCount;
use proto_core::content::cut::{Cutter, Params};

fn main() {
    divan::main();
}

/// Bytes that do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// 16 MiB in pieces of 256 KiB, as a file is read.
#[divan::bench]
fn cut(bencher: Bencher<'_, '_>) {
    let data = noise(16 << 20);
    bencher.counter(BytesCount::of_slice(&data)).bench(|| {
        let mut cutter = Cutter::new(Params::for_size(data.len() as u64));
        let mut cuts = 0;
        for mut piece in data.chunks(256 << 10) {
            while let Some(taken) = cutter.push(piece) {
                piece = piece.get(taken..).unwrap_or_default();
                cuts += 1;
            }
        }
        cuts
    });
}
