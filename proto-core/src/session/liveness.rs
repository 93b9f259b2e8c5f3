//! When to initiate, and when a silent peer counts as dead.

use super::entropy::Entropy;
use crate::time::{Duration, Instant};

/// A connected peer from which nothing valid came for this long is dead. Its heartbeats come every
/// second, so this is three lost in a row and the fourth late.
pub const DEAD_AFTER: Duration = Duration::from_secs(4);
/// Age of a session in which its initiator begins the next handshake.
pub const REKEY_AFTER: Duration = Duration::from_secs(120);
/// How much longer its responder waits before it does so in the initiator's stead.
pub const RESPONDER_WAITS: Duration = Duration::from_secs(15);
/// Datagrams sent under one session after which a new one is begun.
pub const REKEY_AFTER_DATAGRAMS: u64 = 1 << 32;
/// Age of a session from which on nothing is sent or received under it.
pub const REJECT_AFTER: Duration = Duration::from_secs(180);
/// Pause after a peer said that it leaves.
pub const RETRY_AFTER_CLOSE: Duration = Duration::from_secs(1);
/// Pause after an address sent our own INITIATION back. Not for ever: the address may pass to
/// another machine, and whoever can throw our INITIATION back could else part two peers for good.
pub const RETRY_ECHO: Duration = Duration::from_secs(300);
/// Pauses after the first unanswered INITIATIONs while not connected; the last one for ever.
const RETRIES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// Pause between INITIATIONs while the present session still works. Long, so that a RESPONSE on a
/// slow path comes before the next one is sent.
const RETRY_REKEY: Duration = Duration::from_secs(5);

/// Timers of one peer.
#[derive(Debug)]
pub struct Liveness {
    /// When the next INITIATION is due.
    pub initiate_at: Instant,
    /// When something valid last came, while connected.
    pub heard: Instant,
    /// INITIATIONs sent since the last handshake was complete.
    unanswered: u32,
}

impl Liveness {
    /// Not connected, to initiate at once.
    pub const fn new() -> Self {
        Self {
            initiate_at: Instant::ZERO,
            heard: Instant::ZERO,
            unanswered: 0,
        }
    }

    /// The peer counts as dead from then on, if connected.
    pub fn dead_at(&self) -> Instant {
        self.heard + DEAD_AFTER
    }

    /// A session has come to be.
    pub fn established(&mut self, now: Instant, entropy: &mut Entropy, initiated: bool) {
        self.unanswered = 0;
        self.heard = now;
        // Random for the responder, so that two who both take themselves for it do not begin at once.
        let wait = if initiated {
            Duration::ZERO
        } else {
            RESPONDER_WAITS + up_to(entropy, RETRY_REKEY)
        };
        self.initiate_at = now + REKEY_AFTER + wait;
    }

    /// Not connected any more: initiate at `at`.
    pub fn lost(&mut self, at: Instant) {
        self.unanswered = 0;
        self.initiate_at = at;
    }

    /// An INITIATION is sent now: sets when the next one is due.
    pub fn initiated(&mut self, now: Instant, entropy: &mut Entropy, connected: bool) {
        let pause = if connected {
            RETRY_REKEY
        } else {
            let place = usize::try_from(self.unanswered).unwrap_or(usize::MAX);
            RETRIES
                .get(place)
                .or(RETRIES.last())
                .copied()
                .unwrap_or(RETRY_REKEY)
        };
        self.unanswered = self.unanswered.saturating_add(1);
        self.initiate_at = now + jitter(entropy, pause);
    }
}

/// `pause`, a quarter more or less at random, so that peers that start together fall out of step.
fn jitter(entropy: &mut Entropy, pause: Duration) -> Duration {
    pause - pause / 4 + up_to(entropy, pause / 2)
}

/// Anything from zero to `most`, each as likely.
fn up_to(entropy: &mut Entropy, most: Duration) -> Duration {
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(entropy.u64() % micros.saturating_add(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_to_two_seconds_give_or_take_a_quarter() {
        let mut entropy = Entropy::new(&[1; 32]);
        let mut liveness = Liveness::new();
        let mut now = Instant::ZERO;
        for wanted in [250, 500, 1000, 2000, 2000, 2000, 2000] {
            liveness.initiated(now, &mut entropy, false);
            let pause = (liveness.initiate_at - now).as_millis();
            assert!(
                (wanted * 3 / 4..=wanted * 5 / 4).contains(&pause),
                "{wanted} {pause}"
            );
            now = liveness.initiate_at;
        }
    }
}
