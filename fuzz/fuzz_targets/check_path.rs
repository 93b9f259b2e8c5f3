//! See `sim::fuzz_bodies::check_path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::fuzz_bodies::check_path(data));
