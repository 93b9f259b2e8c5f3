//! What operations on paths do to the simulated disk, whoever runs them.

use super::tree::code::{EACCES, EBADF, EEXIST, EINVAL, EIO, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY};
use super::tree::{Body, Ino, Tree, errno};
use super::{PLACES, SEARCH, SimEvent, State, WRITE};
use peer_mio::disk::{At, Place, RenameMode};
use std::collections::BTreeMap;
use std::io;

impl State {
    pub(super) fn check(&mut self, life: u64) -> io::Result<()> {
        if life != self.life {
            return Err(errno(EBADF));
        }
        if let Some((permille, rng)) = self.failing.as_mut()
            && rng.chance(*permille)
        {
            return Err(errno(EIO));
        }
        Ok(())
    }

    pub(super) fn root(&self, place: Place) -> io::Result<Ino> {
        if place == Place::Share && self.share_gone {
            return Err(errno(ENOENT));
        }
        let at = PLACES.iter().position(|known| *known == place);
        at.and_then(|at| self.roots.get(at))
            .copied()
            .ok_or_else(|| errno(ENOENT))
    }

    /// Whether the mode lets the peer, as the owner, do this.
    pub(super) fn allow(&self, ino: Ino, bits: u16) -> io::Result<()> {
        if self.enforcing && self.acting && self.tree.stat(ino)?.mode & bits != bits {
            return Err(errno(EACCES));
        }
        Ok(())
    }

    /// The directory and name that a path means.
    pub(super) fn parent<'a>(&self, at: At<'a>) -> io::Result<(Ino, &'a [u8])> {
        proto_core::path::check(at.path).map_err(|_| errno(EINVAL))?;
        let mut directory = self.root(at.place)?;
        for component in proto_core::path::parent(at.path)
            .unwrap_or_default()
            .split(|byte| *byte == b'/')
            .filter(|component| !component.is_empty())
        {
            directory = self
                .tree
                .lookup(directory, component)?
                .ok_or_else(|| errno(ENOENT))?;
            self.tree.names(directory)?;
            self.allow(directory, SEARCH)?;
        }
        Ok((directory, proto_core::path::name(at.path)))
    }

    pub(super) fn find(&self, at: At<'_>) -> io::Result<Ino> {
        if at.path.is_empty() {
            return self.root(at.place);
        }
        let (directory, name) = self.parent(at)?;
        self.tree
            .lookup(directory, name)?
            .ok_or_else(|| errno(ENOENT))
    }

    /// A new name for something; there must be nothing yet.
    pub(super) fn add(
        &mut self,
        at: At<'_>,
        make: impl FnOnce(&mut Tree) -> Ino,
    ) -> io::Result<Ino> {
        let (directory, name) = self.parent(at)?;
        if self.tree.lookup(directory, name)?.is_some() {
            return Err(errno(EEXIST));
        }
        self.allow(directory, WRITE)?;
        let ino = make(&mut self.tree);
        self.tree.set_name(directory, name, Some(ino))?;
        self.tell_of(at, ino);
        Ok(ino)
    }

    /// What the trash of a full disk gives up is noted: nobody promised to keep it.
    pub(super) fn note_made_room(&mut self, at: At<'_>) {
        if at.place != Place::Trash || self.tree.capacity == u64::MAX {
            return;
        }
        let bytes = self.find(at).and_then(|ino| self.tree.bytes(ino));
        if let Ok(bytes) = bytes.map(<[u8]>::to_vec) {
            self.made_room.push(bytes);
        }
    }

    pub(super) fn remove(&mut self, at: At<'_>, directory_wanted: bool) -> io::Result<()> {
        let (directory, name) = self.parent(at)?;
        let ino = self
            .tree
            .lookup(directory, name)?
            .ok_or_else(|| errno(ENOENT))?;
        match (&self.tree.get(ino)?.body, directory_wanted) {
            (Body::Directory(names), true) if !names.is_empty() => return Err(errno(ENOTEMPTY)),
            (Body::Directory(_), false) => return Err(errno(EISDIR)),
            (Body::File(_) | Body::Symlink(_), true) => return Err(errno(ENOTDIR)),
            _ => {}
        }
        self.allow(directory, WRITE)?;
        self.tell_of(at, ino);
        self.tree.set_name(directory, name, None)?;
        Ok(())
    }

    pub(super) fn rename(&mut self, from: At<'_>, to: At<'_>, mode: RenameMode) -> io::Result<()> {
        let (from_directory, from_name) = self.parent(from)?;
        let moved = self
            .tree
            .lookup(from_directory, from_name)?
            .ok_or_else(|| errno(ENOENT))?;
        let (to_directory, to_name) = self.parent(to)?;
        let there = self.tree.lookup(to_directory, to_name)?;
        self.allow(from_directory, WRITE)?;
        self.allow(to_directory, WRITE)?;
        match (there, mode) {
            (Some(_), RenameMode::NoReplace) => return Err(errno(EEXIST)),
            (None, RenameMode::Exchange) => return Err(errno(ENOENT)),
            (Some(other), RenameMode::Replace) => {
                let is_directory = |ino| self.tree.names(ino).map(BTreeMap::is_empty);
                match (is_directory(moved), is_directory(other)) {
                    (Ok(_), Ok(false)) => return Err(errno(ENOTEMPTY)),
                    (Ok(_), Err(_)) => return Err(errno(ENOTDIR)),
                    (Err(_), Ok(_)) => return Err(errno(EISDIR)),
                    _ => {}
                }
            }
            _ => {}
        }
        self.tree.set_name(to_directory, to_name, Some(moved))?;
        let left = if mode == RenameMode::Exchange {
            there
        } else {
            None
        };
        self.tree.set_name(from_directory, from_name, left)?;
        self.tell_of(from, left.unwrap_or(moved));
        self.tell_of(to, moved);
        Ok(())
    }

    /// What inotify tells of.
    pub(super) fn tell(&mut self, at: At<'_>, settled: bool) {
        if at.place == Place::Share {
            self.events.push(SimEvent {
                path: at.path.to_vec(),
                settled,
                directory: false,
            });
        }
    }

    /// A name came or went.
    pub(super) fn tell_of(&mut self, at: At<'_>, ino: Ino) {
        self.tell(at, true);
        let directory = self.tree.names(ino).is_ok();
        if let Some(event) = self.events.last_mut().filter(|_| at.place == Place::Share) {
            event.directory = directory;
        }
    }
}
