//! See `sim::archive_bodies::bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::archive_bodies::bundle(data));
