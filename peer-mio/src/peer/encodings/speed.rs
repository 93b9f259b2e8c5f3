//! How fast the encoder is on this machine, with all else that runs there.

use proto_core::time::Duration;

/// Shorter pieces say more of the clock than of the encoder.
const SHORTEST: usize = 16 * 1024;
/// A new measurement counts for this part.
const WEIGHT: u64 = 8;
/// An encoder that is too slow is thought to be faster by this part with each piece that goes without it, so
/// that it is tried again.
const HOPE: u64 = 256;

/// Bytes taken in per second.
#[derive(Debug, Default)]
pub struct Speed(Option<u64>);

impl Speed {
    /// A piece of so many bytes took so long.
    pub fn measure(&mut self, bytes: usize, took: Duration) {
        if bytes < SHORTEST {
            return;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let speed = (bytes as u64).saturating_mul(1_000_000) / micros;
        let before = self.0.unwrap_or(speed);
        self.0 = Some(before - before / WEIGHT + speed / WEIGHT);
    }

    /// Whether it reaches this many bytes per second; one that was never measured does.
    pub fn reaches(&mut self, wanted: u64) -> bool {
        match &mut self.0 {
            Some(speed) if *speed < wanted => {
                *speed += *speed / HOPE + 1;
                false
            }
            _ => true,
        }
    }
}
