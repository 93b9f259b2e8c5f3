//! How many files may be open at once, shared out among those who keep some open: the system may allow few (RLIMIT_NOFILE).

use super::Peer;
use super::transfer::MAX_TRANSFERS;
use super::zips::MAX_ZIPS;
use crate::disk::Disk;

/// Files that make a group. No content is begun while so many wait (`peer/transfer/begin.rs`), so that there are never more
/// than this and those under way.
const GROUP: usize = 512;
/// What else is open: sockets, folders, the index, the log, eight bundles on their way with their readers, what is served and hashed.
const OTHERS: usize = 64;
/// Zip files get this part of all.
const ZIPS: usize = 8;
/// With fewer nothing would get on; then some fail and are tried again.
const LEAST: usize = 8;

/// Files that are kept open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenFiles {
    /// Complete contents that wait to land.
    pub group: usize,
    /// Contents on their way.
    pub transfers: usize,
    /// Zip files for others.
    pub zips: usize,
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self {
            group: GROUP,
            transfers: MAX_TRANSFERS,
            zips: MAX_ZIPS,
        }
    }
}

impl OpenFiles {
    /// Those of a process that may have so many files open.
    #[must_use]
    pub fn within(limit: u64) -> Self {
        let all = usize::try_from(limit).unwrap_or(usize::MAX);
        let zips = (all / ZIPS).clamp(LEAST, MAX_ZIPS);
        let contents = all.saturating_sub(OTHERS + zips);
        // Who comes to its end waits to land: each of those under way may need a place there.
        let transfers = (contents / 2).clamp(LEAST, MAX_TRANSFERS);
        Self {
            group: contents.saturating_sub(transfers).clamp(LEAST, GROUP),
            transfers,
            zips,
        }
    }
}

impl<D: Disk> Peer<D> {
    /// How many files the system lets this process have open, if that is bounded.
    pub fn set_open_files(&mut self, limit: Option<u64>) {
        self.open_files = limit.map_or_else(OpenFiles::default, OpenFiles::within);
        self.zips.set_most(self.open_files.zips);
    }

    /// Whether so many contents wait to land that no more should be begun.
    pub(super) fn is_landing_full(&self) -> bool {
        self.landing.len() >= self.open_files.group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_limit_changes_nothing_and_a_low_one_is_kept() {
        assert_eq!(OpenFiles::within(1024), OpenFiles::default());
        assert_eq!(OpenFiles::within(u64::MAX), OpenFiles::default());
        for limit in 96..1024 {
            let OpenFiles {
                group,
                transfers,
                zips,
            } = OpenFiles::within(limit);
            assert!(
                (group + transfers + zips + OTHERS) as u64 <= limit,
                "{limit}"
            );
        }
        let none = OpenFiles::within(0);
        assert!(none.group > 0 && none.transfers > 1 && none.zips > 0);
    }
}
