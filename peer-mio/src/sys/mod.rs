//! The only unsafe code of tinypeer: system calls that no crate gives us. One file for one call.
#![allow(unsafe_code)]

pub mod signals;
pub mod writeback;
