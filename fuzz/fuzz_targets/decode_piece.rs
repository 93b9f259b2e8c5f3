//! See `sim::fuzz_bodies::decode_piece`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::fuzz_bodies::decode_piece(data));
