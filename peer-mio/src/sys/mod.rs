//! The only unsafe code of tinypeer: the heap, and system calls that no crate gives us. One file for
//! one of them.
#![allow(unsafe_code)]

pub mod allocator;
pub mod fragment;
pub mod flusher;
pub mod signals;
pub mod writeback;
