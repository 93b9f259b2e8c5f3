//! The guard against filling the disk: nothing is fetched that would leave less than a hundredth of it,
//! and the oldest trash makes room where that suffices.

use super::begin::{download_stat, part_name};
use super::draft_name;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place, Space};
use crate::peer::Peer;
use crate::peer::trash::{folders_by_age, held, remove_all};
use proto_core::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::io;

/// Nothing is fetched below this much free disk, in bytes, or below a hundredth of it.
const LEAST_FREE: u64 = 64 * 1024 * 1024;
/// On a small disk an eighth of it is enough.
const LEAST_FREE_PART: u64 = 8;
/// Trash that did not suffice is not counted again before this.
const COUNTED_FOR: Duration = Duration::from_secs(60);

/// Bytes that must stay free on a disk.
#[must_use]
pub fn least_free(space: &Space) -> u64 {
    (space.total / 100).max(LEAST_FREE.min(space.total / LEAST_FREE_PART))
}

/// What the guard remembers.
#[derive(Debug, Default)]
pub struct SpaceGuard {
    /// Whether something was refused in this pass over what is pending.
    refused: bool,
    /// Bytes in the trash, when it did not suffice.
    trash: Option<(u64, Instant)>,
}

impl<D: Disk> Peer<D> {
    /// Whether there is room for a content of `size` bytes that gathers in `name`.
    pub(in crate::peer) fn has_room(&mut self, now: Now, name: &[u8], size: u64) -> bool {
        let Ok(space) = self.disk.space() else {
            return true;
        };
        // What is reserved or written already is not free any more.
        let allocated = download_stat(&self.disk, name).map_or(0, |stat| stat.allocated);
        let bundles = self.bundles.bytes();
        let needed = least_free(&space).saturating_add(bundles);
        let needed = needed.saturating_add(size.saturating_sub(allocated));
        // With plenty of room it does not matter how much of the running ones is there already.
        let running = self.transfers.iter().map(|transfer| transfer.size);
        if space.free >= running.fold(needed, u64::saturating_add) {
            return true;
        }
        let needed = needed.saturating_add(self.still_to_allocate());
        if space.free >= needed {
            return true;
        }
        // Two that wait for room must not keep each other's bundles for it.
        if self.remove_built_zips(|_| true)
            && self.disk.space().is_ok_and(|space| space.free >= needed)
        {
            return true;
        }
        if self.end_unnamed_drafts() {
            return self.has_room(now, name, size);
        }
        let made = self.remove_unwanted_parts(name) || self.make_room(now, needed - space.free);
        if made && self.disk.space().is_ok_and(|space| space.free >= needed) {
            return true;
        }
        self.fetching.space.refused = true;
        self.errors.set(
            "space",
            format!(
                "the disk is nearly full ({} MB free): nothing more is fetched; make room",
                space.free / 1_000_000
            ),
        );
        false
    }

    /// Whether there is room for so many bytes without making any.
    pub(super) fn has_plenty_of_room(&self, size: u64) -> bool {
        let Ok(space) = self.disk.space() else {
            return true;
        };
        let needed = least_free(&space)
            .saturating_add(self.bundles.bytes())
            .saturating_add(self.still_to_allocate());
        space.free >= needed.saturating_add(size)
    }

    /// Removes partial files that nothing wants any more, but `name`: a newer version came, or the file was deleted.
    /// True if there were any.
    fn remove_unwanted_parts(&mut self, name: &[u8]) -> bool {
        let root = At {
            place: Place::Download,
            path: b"",
        };
        let mut parts: BTreeSet<Vec<u8>> = self
            .disk
            .list(root)
            .unwrap_or_default()
            .into_iter()
            .collect();
        parts.retain(|part| {
            let runs = self.transfers.iter().any(|transfer| transfer.name == *part);
            let runs = runs || self.bundles.has_name(part);
            part.ends_with(b".part") && part != name && !runs && !self.landing.has_name(part)
        });
        let mut after: Option<Vec<u8>> = None;
        while !parts.is_empty()
            && let Ok(Some((path, pending))) = self.store.next_pending(after.as_deref())
        {
            parts.remove(&part_name(pending.entry.content, None));
            parts.remove(&part_name(pending.entry.content, Some(&path)));
            parts.remove(&draft_name(&path, pending.entry.size));
            after = Some(path);
        }
        for part in &parts {
            // If it cannot be removed now, the next time will do.
            let _ = self.disk.remove_file(At {
                place: Place::Download,
                path: part,
            });
        }
        !parts.is_empty()
    }

    /// Bytes that running transfers will take up, where room cannot be reserved for them.
    fn still_to_allocate(&self) -> u64 {
        let transfers = self.transfers.iter().map(|transfer| {
            let allocated = transfer.file.stat().map_or(0, |stat| stat.allocated);
            transfer.size.saturating_sub(allocated)
        });
        transfers.fold(0, u64::saturating_add)
    }

    /// Removes the oldest folders of the trash that hold `short` bytes together; none if all of them
    /// do not.
    fn make_room(&mut self, now: Now, short: u64) -> bool {
        let counted = self.fetching.space.trash;
        if counted.is_some_and(|(bytes, at)| bytes < short && now.mono < at + COUNTED_FOR) {
            return false;
        }
        match remove_oldest(&self.disk, short) {
            Ok(None) => {
                self.fetching.space.trash = None;
                true
            }
            Ok(Some(bytes)) => {
                self.fetching.space.trash = Some((bytes, now.mono));
                false
            }
            Err(error) => {
                log::warn!("the trash cannot make room: {error}");
                false
            }
        }
    }

    /// A pass over all that is pending has ended.
    pub(in crate::peer) fn end_space_check(&mut self) {
        if !std::mem::take(&mut self.fetching.space.refused) {
            self.errors.clear("space");
        }
    }
}

/// `None`: done. Else how much the trash holds.
fn remove_oldest<D: Disk>(disk: &D, short: u64) -> io::Result<Option<u64>> {
    let folders = folders_by_age(disk)?;
    let mut bytes = 0u64;
    let mut enough = None;
    for (place, folder) in folders.iter().enumerate() {
        bytes = bytes.saturating_add(held(disk, folder)?);
        if bytes >= short {
            enough = Some(place);
            break;
        }
    }
    let Some(last) = enough else {
        return Ok(Some(bytes));
    };
    log::info!("the disk is nearly full: the oldest {bytes} bytes of the trash make room");
    for folder in folders.iter().take(last + 1) {
        remove_all(disk, folder, 0)?;
    }
    // Where removing is journaled, the room is free only then.
    disk.sync_dir(At {
        place: Place::Trash,
        path: b"",
    })?;
    Ok(None)
}
