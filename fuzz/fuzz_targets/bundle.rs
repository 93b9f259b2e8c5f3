//! See `sim::bundle_body::bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::bundle_body::bundle(data));
