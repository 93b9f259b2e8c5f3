//! See `sim::fuzz_bodies::decode_page`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::fuzz_bodies::decode_page(data));
