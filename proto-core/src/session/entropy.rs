//! Randomness from one seed. The core has none of its own; the driver gives 32 bytes once.

use super::secret::Secret;
use zeroize::Zeroize;

/// Yields unpredictable bytes, each once. Every draw replaces the state by a one-way function of it,
/// so that whoever reads the state later cannot compute a key that was drawn before.
pub struct Entropy {
    state: Secret,
    draws: u64,
}

impl Entropy {
    /// Begins from `seed`, which must be as good as a key: 32 bytes of the system's randomness, never
    /// used for anything else and never twice.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self {
            state: Secret(blake3::derive_key("tinypeer 1 entropy", seed)),
            draws: 0,
        }
    }

    /// 32 fresh bytes.
    #[must_use]
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.state.0);
        hasher.update(&self.draws.to_be_bytes());
        let mut output = hasher.finalize_xof();
        output.fill(&mut self.state.0);
        let mut drawn = [0; 32];
        output.fill(&mut drawn);
        self.draws = self.draws.wrapping_add(1);
        drawn
    }

    /// 32 fresh bytes that are erased when dropped.
    pub(super) fn secret(&mut self) -> Secret {
        let mut bytes = self.bytes();
        let secret = Secret(bytes);
        bytes.zeroize();
        secret
    }

    /// A fresh number of 64 bits.
    #[must_use]
    pub fn u64(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// A fresh number of 32 bits.
    #[must_use]
    pub fn u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Entropy")
            .field("draws", &self.draws)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Entropy;

    #[test]
    fn one_seed_gives_one_sequence_and_never_the_same_draw_twice() {
        let (mut left, mut right) = (Entropy::new(&[7; 32]), Entropy::new(&[7; 32]));
        let mut last = [0; 32];
        for _ in 0..1000 {
            let drawn = left.bytes();
            assert_eq!(drawn, right.bytes());
            assert_ne!(drawn, last);
            assert_ne!(
                drawn, left.state.0,
                "what was drawn must not tell the state"
            );
            last = drawn;
        }
        assert_ne!(
            Entropy::new(&[8; 32]).bytes(),
            Entropy::new(&[7; 32]).bytes()
        );
    }
}
