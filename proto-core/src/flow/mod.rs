//! What a puller knows of the network between it and one peer, and how much it may have
//! outstanding there (docs/protocol.md, "Flow"). BBR's model, driven from the receiver: delivery rate and
//! minimum round trip are measured, loss is no signal.

mod delivery;
mod rtt;
mod window;

pub use delivery::{Delivery, Sent};
pub use rtt::Rtt;
pub(crate) use rtt::whole_micros;
pub use window::Window;

use crate::time::{Duration, Instant};

/// One peer's flow: everything that a REQUEST to it is sized by.
#[derive(Debug, Default)]
pub struct Flow {
    /// Round trips.
    pub rtt: Rtt,
    /// Delivery rate.
    pub delivery: Delivery,
    window: Window,
    /// Bytes asked for and neither here nor given up.
    outstanding: usize,
}

impl Flow {
    /// Bytes that may be asked for now, with `budget` bytes left of what all peers together may
    /// send us (the receive buffer that the kernel granted).
    #[must_use]
    pub fn room(&self, budget: usize) -> usize {
        self.window
            .bytes()
            .saturating_sub(self.outstanding)
            .min(budget)
    }

    /// The window in bytes.
    #[must_use]
    pub fn window(&self) -> usize {
        self.window.bytes()
    }

    /// Bytes outstanding.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// `bytes` were asked for; the result goes back into [`Self::arrived`] with the answer.
    pub fn asked(&mut self, now: Instant, bytes: usize) -> Sent {
        if self.outstanding == 0 {
            // An idle flow must not count the pause as time in which little was delivered.
            self.delivery.restart(now);
        }
        self.outstanding = self.outstanding.saturating_add(bytes);
        self.delivery.sent(now)
    }

    /// `bytes` arrived of what was asked for with `sent` (`None`: it is not known when), `outstanding`
    /// of them not given up before; `first` if they are surely the first ones of that request.
    pub fn arrived(
        &mut self,
        now: Instant,
        sent: Option<&Sent>,
        bytes: usize,
        outstanding: usize,
        first: bool,
    ) {
        self.outstanding = self.outstanding.saturating_sub(outstanding);
        let Some(sent) = sent else {
            self.delivery.count(now, bytes);
            return;
        };
        if first {
            self.rtt.sample(now, now.saturating_since(sent.at));
        }
        if let Some(rate) = self.delivery.arrived(now, sent, bytes) {
            self.window.update(rate, self.rtt.min());
        }
    }

    /// `bytes` are given up: lost, refused, or no longer wanted.
    pub fn given_up(&mut self, bytes: usize) {
        self.outstanding = self.outstanding.saturating_sub(bytes);
    }

    /// Nothing at all came back within the retransmission timeout: what was measured holds no more.
    pub fn stalled(&mut self) {
        self.delivery.forget();
        self.window.reset();
    }

    /// How long to wait for an answer before asking again.
    #[must_use]
    pub fn retransmission_timeout(&self) -> Duration {
        self.rtt.retransmission_timeout()
    }
}
