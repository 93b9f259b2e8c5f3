//! See `sim::fuzz_bodies::decode_dict`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::fuzz_bodies::decode_dict(data));
