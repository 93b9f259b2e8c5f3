//! Datagrams in and out.

mod burst;
pub mod cipher;
pub mod send_errors;
pub mod socket;
mod sources;

#[cfg(test)]
mod tests;
