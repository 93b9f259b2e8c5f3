//! The only unsafe code of tinypeer: the heap, what is left out of a library, and system calls that no
//! crate gives us. One file for one of them.
#![allow(unsafe_code)]

mod aegis_families;
pub mod allocator;
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    path = "no_flusher.rs"
)]
pub mod flusher;
pub mod fragment;
pub mod signals;
pub mod writeback;
