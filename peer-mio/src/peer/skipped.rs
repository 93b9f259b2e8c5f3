//! What is in `share/` and is never shared: named in the log once.

use proto_core::path::Escaped;
use std::collections::BTreeSet;

/// Paths remembered.
const MAX_NOTED: usize = 256;

/// Paths that were named.
#[derive(Debug, Default)]
pub struct Skipped {
    noted: BTreeSet<Vec<u8>>,
    full: bool,
}

impl Skipped {
    /// Names a path in the log, unless that was done before.
    pub fn note(&mut self, path: &[u8], what: std::fmt::Arguments<'_>) {
        if self.noted.contains(path) {
            return;
        }
        if self.noted.len() < MAX_NOTED {
            self.noted.insert(path.to_vec());
            log::info!("{} is {what}: skipped", Escaped(path));
        } else if !std::mem::replace(&mut self.full, true) {
            log::info!("more than {MAX_NOTED} paths are skipped: further ones are not named");
        }
    }

    /// Something else, or nothing, is at this path now.
    pub fn forget(&mut self, path: &[u8]) {
        self.noted.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_what_went_is_forgotten() {
        let mut skipped = Skipped::default();
        for number in 0..2 * MAX_NOTED {
            skipped.note(&number.to_be_bytes(), format_args!("a fifo"));
        }
        assert_eq!(skipped.noted.len(), MAX_NOTED);
        skipped.forget(&0_usize.to_be_bytes());
        assert_eq!(skipped.noted.len(), MAX_NOTED - 1);
    }
}
