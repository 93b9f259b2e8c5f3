//! Messages, journal pages and paths: what is written is read alike, and what must be refused is refused.
#![cfg(test)]

mod boundaries;
mod hostile;
mod paths;
mod round_trip;
mod samples;
mod writers;
