//! The simulator.

pub mod hostile_session;
pub mod disk;
pub mod rng;
pub mod cluster;
pub mod model;
pub mod network;
pub mod scenario;
