//! Containers of fixed size.

pub mod segment_bitmap;
