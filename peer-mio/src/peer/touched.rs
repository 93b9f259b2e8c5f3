//! What a group of landings has touched and what has to follow for all of it at once.

use super::open_way::Opened;
use super::trash::way;
use crate::disk::{At, Disk, Place, is_absent};
use proto_core::path;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io;

/// More directories than this are flushed at once, with all else.
const MANY: usize = 32;

/// Directories whose names changed: flushed once for the whole group, the trash first, so that
/// nothing is gone from `share/` before it is safe there. And those that were opened for it.
#[derive(Debug, Default)]
pub(super) struct Touched {
    trash: BTreeSet<Vec<u8>>,
    share: BTreeSet<Vec<u8>>,
    /// Directories that were opened for us, parents first.
    pub opened: Vec<Opened>,
    /// More than new files came: it is flushed whatever `--durability` says.
    pub flush: bool,
    /// Up to this directory the way is open.
    pub way: Option<Vec<u8>>,
}

impl Touched {
    /// Whether anything has to follow.
    pub fn any(&self) -> bool {
        !self.trash.is_empty() || !self.share.is_empty() || !self.opened.is_empty()
    }

    /// Something is in the trash now.
    pub fn trashed(&mut self, target: &[u8]) {
        self.trash.extend(way(target).map(<[u8]>::to_vec));
    }

    /// A name in `share/` came, went or was replaced.
    pub fn name(&mut self, path: &[u8]) {
        self.share
            .insert(path::parent(path).unwrap_or_default().to_vec());
    }

    /// Whether it has to be flushed now: something went to the trash.
    pub fn is_urgent(&self) -> bool {
        !self.trash.is_empty()
    }

    /// Takes the names of another one.
    pub fn take_names(&mut self, other: &mut Self) {
        self.trash.append(&mut other.trash);
        self.share.append(&mut other.share);
        self.flush |= std::mem::take(&mut other.flush);
    }

    /// They were flushed.
    pub fn flushed(&mut self) {
        self.trash.clear();
        self.share.clear();
        self.flush = false;
    }

    /// Flushes them.
    pub fn sync<D: Disk>(&self, disk: &D) -> io::Result<()> {
        if self.trash.len() + self.share.len() > MANY {
            return disk.sync_all();
        }
        let trash = self.trash.iter().map(|path| (Place::Trash, path));
        let share = self.share.iter().map(|path| (Place::Share, path));
        for (place, path) in trash.chain(share) {
            match disk.sync_dir(At { place, path }) {
                // What landed in it is where it was moved to; or a user has closed it to all who read, or put a link there.
                Err(error) if is_absent(&error) || is_out_of_reach(&error) => {
                    return disk.sync_all();
                }
                synced => synced?,
            }
        }
        Ok(())
    }
}

fn is_out_of_reach(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
        || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}
