//! The driver of tinypeer: one mio poll loop around `proto_core`, on one thread; a second one does nothing but wait for syncfs.
#![deny(unsafe_code)]

pub mod addresses;
pub mod cli;
pub mod clock;
pub mod control;
pub mod disk;
pub mod event_loop;
pub mod jobs;
pub mod key;
pub mod legacy;
pub mod net;
pub mod peer;
pub mod progress;
pub mod run;
pub mod stalls;
pub mod store;
pub mod sys;
pub mod watch;
