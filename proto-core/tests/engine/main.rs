//! Engines that talk over a simulated network under a simulated clock ([`netsim`]).
#![cfg(test)]
// A simulator is for its tests only; an index that is not there is a failed test.
#![allow(clippy::indexing_slicing)]

mod announcing;
mod bundles;
mod congestion;
mod drafts;
mod encodings;
mod fairness;
mod faults;
mod given_up;
mod hostile;
mod journals;
mod limits;
mod liveness;
mod netsim;
mod objects;
mod path_mtu;
mod reordering;
mod sharing;
mod sources;
mod table;
mod transfers;
