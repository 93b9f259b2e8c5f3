//! The simulator.

pub mod hostile_session;
