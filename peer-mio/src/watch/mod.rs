//! Noticing what users change in `share/`.

pub mod dirty;
pub mod inotify;
pub mod scan;
mod watched;

#[cfg(test)]
mod tests;
