//! Every decision of the tinypeer protocol, without std, allocation, I/O, clock or randomness of its
//! own. docs/protocol.md is the specification that this crate cites; docs/architecture.md has the
//! reading order.
#![no_std]
#![forbid(unsafe_code)]

pub mod boundary;
pub mod content;
pub mod engine;
pub mod flow;
pub mod index;
pub mod legacy;
pub mod limits;
pub mod path;
pub mod path_mtu;
pub mod pull;
mod serve;
pub mod session;
pub mod storage;
pub mod swarm;
pub mod time;
pub mod wire;
