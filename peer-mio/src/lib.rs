//! The driver of tinypeer: one thread, one mio poll loop around `proto_core`.
#![deny(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod jobs;
pub mod store;
