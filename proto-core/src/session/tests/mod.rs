//! Two sides over a small simulated network.

extern crate std;

mod convergence;
mod handshakes;
mod hostile;
mod liveness;
mod network;
mod rekeying;
mod replay;
