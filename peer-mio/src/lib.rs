//! The driver of tinypeer: one thread, one mio poll loop around `proto_core`.
#![deny(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod net;
pub mod store;
pub mod sys;
pub mod watch;
