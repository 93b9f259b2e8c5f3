//! What the simulated disk loses: unflushed changes at a power cut, and single bits at any time.

use super::tree::{Body, Ino, Inode, Tree, Undo};
use crate::rng::Rng;

/// A block, in which a power cut keeps or loses bytes.
const BLOCK: usize = 4096;

impl Tree {
    /// Flips a bit of a file, silently.
    pub fn rot(&mut self, ino: Ino, at: usize) {
        if let Some(Inode {
            body: Body::File(bytes),
            ..
        }) = self.inodes.get_mut(&ino)
            && let Some(byte) = bytes.get_mut(at)
        {
            *byte ^= 0x10;
        }
    }

    /// The power is cut: of the changes since the last flush a random prefix survives, of unflushed
    /// bytes a random choice of blocks.
    pub fn power_cut(&mut self, rng: &mut Rng) {
        let survive = usize::try_from(rng.below(self.log.len() as u64 + 1)).unwrap_or(0);
        let lost = self.log.split_off(survive.min(self.log.len()));
        for undo in lost.into_iter().rev() {
            match undo {
                Undo::Name(directory, name, before) => {
                    let _ = self.change_name(directory, &name, before);
                }
                Undo::Mode(ino, mode) => {
                    if let Some(inode) = self.inodes.get_mut(&ino) {
                        inode.mode = mode;
                    }
                }
                Undo::Mtime(ino, mtime) => {
                    if let Some(inode) = self.inodes.get_mut(&ino) {
                        inode.mtime = mtime;
                    }
                }
            }
        }
        for inode in self.inodes.values_mut() {
            let writes = std::mem::take(&mut inode.unsynced);
            if let Body::File(bytes) = &mut inode.body {
                lose_writes(bytes, writes, rng);
            }
        }
        self.close_all();
        self.sync_names();
        self.used = self.inodes.values().map(Inode::allocated).sum();
    }
}

/// Takes back a random choice of blocks of unflushed writes.
fn lose_writes(bytes: &mut Vec<u8>, writes: Vec<(usize, Vec<u8>, usize)>, rng: &mut Rng) {
    let Some(durable) = writes.first().map(|(_, _, len)| *len) else {
        return;
    };
    for (at, old, before) in writes.into_iter().rev() {
        // What was cut off comes back where the cut itself is lost.
        if bytes.len() < before && rng.chance(500) {
            bytes.resize(before, 0);
        }
        for (number, block) in old.chunks(BLOCK).enumerate() {
            let from = at + number * BLOCK;
            if rng.chance(500)
                && let Some(place) = bytes.get_mut(from..from + block.len())
            {
                place.copy_from_slice(block);
            }
        }
    }
    // Appended bytes that never reached the disk: a hole, or not there at all.
    if bytes.len() > durable {
        for from in (durable..bytes.len()).step_by(BLOCK) {
            let end = (from + BLOCK).min(bytes.len());
            if rng.chance(500)
                && let Some(block) = bytes.get_mut(from..end)
            {
                block.fill(0);
            }
        }
        if rng.chance(500) {
            let keep = usize::try_from(rng.below((bytes.len() - durable) as u64)).unwrap_or(0);
            bytes.truncate(durable + keep);
        }
    }
}
