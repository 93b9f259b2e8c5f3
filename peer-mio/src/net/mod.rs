//! Datagrams in and out.

mod burst;
pub mod socket;

#[cfg(test)]
mod tests;
