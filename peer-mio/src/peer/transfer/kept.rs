//! What is verified of interrupted contents, so that it is not read and hashed again when they go on.

use super::{State, Transfer};
use crate::disk::{DiskFile, Stat};
use proto_core::content::ContentId;

/// Contents remembered.
const MAX_CONTENTS: usize = 8;
/// Words of 64 chunks remembered in all: 256 KB, enough for one content of 130 GB or eight of 16 GB.
const MAX_WORDS: usize = 32 * 1024;

/// Verified chunks by content, the oldest first.
#[derive(Debug, Default)]
pub struct Kept {
    contents: Vec<KeptContent>,
}

#[derive(Debug)]
struct KeptContent {
    content: ContentId,
    /// Of the partial file: if it differs, somebody wrote to it.
    stat: Stat,
    verified: Vec<u64>,
    here: u64,
}

impl Kept {
    /// Remembers what is verified of a content that was being fetched.
    pub fn keep<F: DiskFile>(&mut self, transfer: Transfer<F>) {
        if !matches!(transfer.state, State::Fetch) || transfer.here == 0 {
            return;
        }
        let Ok(stat) = transfer.file.stat() else {
            return;
        };
        self.contents
            .retain(|kept| kept.content != transfer.content);
        self.contents.push(KeptContent {
            content: transfer.content,
            stat,
            verified: transfer.verified,
            here: transfer.here,
        });
        let words = |contents: &[KeptContent]| -> usize {
            contents.iter().map(|kept| kept.verified.len()).sum()
        };
        while self.contents.len() > MAX_CONTENTS || words(&self.contents) > MAX_WORDS {
            self.contents.remove(0);
        }
    }

    /// The verified chunks of a content, and their bytes, if its partial file is still as it was.
    pub fn take(&mut self, content: ContentId, stat: &Stat) -> Option<(Vec<u64>, u64)> {
        let place = self
            .contents
            .iter()
            .position(|kept| kept.content == content)?;
        let kept = self.contents.remove(place);
        let same = (kept.stat.inode, kept.stat.size) == (stat.inode, stat.size)
            && (kept.stat.mtime, kept.stat.ctime) == (stat.mtime, stat.ctime);
        same.then_some((kept.verified, kept.here))
    }
}
