//! The simulator.

pub mod archive_bodies;
pub mod cluster;
pub mod disk;
pub mod fuzz_bodies;
pub mod hostile_session;
pub mod model;
pub mod network;
pub mod original;
pub mod rng;
pub mod scenario;
pub mod stored_zip;
