//! The only unsafe code of tinypeer: the heap, and system calls that no crate gives us. One file for
//! one of them.
#![allow(unsafe_code)]

pub mod allocator;
pub mod flusher;
pub mod fragment;
pub mod signals;
pub mod writeback;
