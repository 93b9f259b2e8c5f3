//! Noticing what users change in `share/`.

pub mod inotify;
mod watched;

#[cfg(test)]
mod tests;
