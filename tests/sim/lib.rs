//! The simulator.

pub mod fuzz_bodies;
pub mod hostile_session;
