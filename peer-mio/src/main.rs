//! tinypeer.
fn main() {}
