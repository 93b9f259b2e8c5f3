//! End-to-end tests: real peers, real folders, real sockets. What they need of the machine beyond
//! that (root, `ip`, room on the disk) they look for, and say so where it is missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test ends at the first thing that is not as it should be"
)]

#[allow(dead_code, reason = "the demo uses the rest of it")]
mod harness;

mod asking;
mod bundles;
mod cannot_start;
mod command_line;
mod conflict;
mod delta;
mod encoded;
mod guard;
mod hostile;
mod in_the_way;
mod large;
mod latency;
mod legacy;
mod limit;
mod lossy;
mod marks;
mod membership;
mod open_files;
mod own_addresses;
mod quiet;
mod restart;
mod restored;
mod slow_writer;
mod streams;
mod symlinks;
mod three_peers;
mod watch_limit;
