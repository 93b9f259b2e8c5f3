//! Fetching from and serving to a model of the ancestor, on a network that loses, repeats and reorders.
#![cfg(test)]

mod fetching;
mod serving;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

fn file(size: usize) -> Vec<u8> {
    (0..size).map(|place| (place % 251) as u8).collect()
}
