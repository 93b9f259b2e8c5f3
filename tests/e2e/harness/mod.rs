//! What the end-to-end tests and the demo are played on: scratch folders, groups of real peers on
//! loopback addresses or in network namespaces, and waiting for a state instead of for a time.

pub mod folder;
pub mod group;
pub mod netns;
pub mod original;
pub mod peer;
pub mod program;
pub mod relay;
pub mod scratch;
pub mod skip;
pub mod status;
pub mod wait;

pub use folder::Snapshot;
pub use group::Group;
pub use peer::Peer;
pub use scratch::Scratch;
pub use skip::skip;
pub use wait::{seconds, wait_until};
