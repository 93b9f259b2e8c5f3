//! Messages and journal pages: what is written is read alike, and what must be refused is refused.
#![cfg(test)]

mod boundaries;
mod hostile;
mod round_trip;
mod samples;
