//! The index: what a peer knows of each path, and how two such states are reconciled.

pub mod conflict;
pub mod entry;
pub mod reconcile;
pub mod version_vector;
