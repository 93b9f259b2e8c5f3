//! See `sim::hostile_session::hostile_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::hostile_session::hostile_session(data));
