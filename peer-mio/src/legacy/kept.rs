//! What is known of an ancestor, kept in `.tinypeer/`, so that a start need not fetch all to compare it.

use super::ancestor::Ancestor;
use super::seen::{Known, Seen};
use crate::disk::{At, Disk, DiskFile, Place, RenameMode};
use proto_core::content::ContentId;
use std::collections::BTreeMap;
use std::io;

/// Longest file of what is known of an ancestor.
const MAX_KEPT: u64 = 4 << 20;

impl Ancestor {
    fn kept_name(&self) -> Vec<u8> {
        format!("legacy-{}", self.ip).into_bytes()
    }

    /// Keeps what is known of it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn keep<D: Disk>(&mut self, disk: &D) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (path, known) in self
            .seen
            .iter()
            .filter_map(|(path, seen)| Some((path, seen.known?)))
        {
            bytes.extend_from_slice(&u16::try_from(path.len()).unwrap_or(0).to_be_bytes());
            bytes.extend_from_slice(path);
            bytes.extend_from_slice(&known.mtime.to_be_bytes());
            bytes.extend_from_slice(&known.content.0);
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        let name = self.kept_name();
        let fresh = [&name[..], b".new"].concat();
        let at = |path| At {
            place: Place::State,
            path,
        };
        let file = disk.create(at(&fresh))?;
        file.set_len(0)?;
        file.write_all_at(0, &bytes)?;
        file.sync_data()?;
        disk.rename(at(&fresh), at(&name), RenameMode::Replace)?;
        self.unkept = None;
        Ok(())
    }

    /// Reads what was kept; anything wrong with it is as if nothing were.
    pub fn load<D: Disk>(&mut self, disk: &D) {
        let name = self.kept_name();
        let at = At {
            place: Place::State,
            path: &name,
        };
        if let Some(kept) = read_kept(disk, at) {
            self.seen = kept;
        }
    }
}

fn read_kept<D: Disk>(disk: &D, at: At<'_>) -> Option<BTreeMap<Vec<u8>, Seen>> {
    let file = disk.open(at, false).ok()?;
    let size = file.stat().ok()?.size;
    if size > MAX_KEPT {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(filled as u64, rest).ok()? {
            0 => return None,
            count => filled += count,
        }
    }
    let (mut rest, sum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(rest).to_be_bytes() != *sum {
        return None;
    }
    let mut seen = BTreeMap::new();
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let (path, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let (mtime, after) = after.split_first_chunk::<8>()?;
        let (content, after) = after.split_first_chunk::<32>()?;
        rest = after;
        let known = Known {
            mtime: u64::from_be_bytes(*mtime),
            content: ContentId(*content),
        };
        let kept = Seen {
            mtime: known.mtime,
            known: Some(known),
            ..Seen::UNHEARD
        };
        seen.insert(path.to_vec(), kept);
    }
    Some(seen)
}
