//! What the user of a simulated disk does, and what the harness sees.

use super::tree::code::EINVAL;
use super::tree::{Body, Ino, Tree, errno};
use super::{SimDisk, State};
use peer_mio::disk::{At, Place, RenameMode};
use proto_core::index::entry::Timestamp;
use std::collections::BTreeMap;
use std::io;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory with this mode.
    Directory(u16),
    /// A file with mode, time and bytes.
    File(u16, Timestamp, Vec<u8>),
    /// A symlink to this.
    Symlink(Vec<u8>),
}

fn share(path: &[u8]) -> At<'_> {
    At {
        place: Place::Share,
        path,
    }
}

impl SimDisk {
    /// Writes a whole file, as an editor does in place: made if it is not there.
    ///
    /// # Errors
    /// As of open and write.
    pub fn user_write(&self, path: &[u8], bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let ino = match state.find(share(path)) {
            Ok(ino) => ino,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                state.add(share(path), |tree| tree.make(Body::File(Vec::new()), 0o644))?
            }
            Err(error) => return Err(error),
        };
        state.tree.bytes(ino)?;
        state.tree.set_len(ino, 0)?;
        state.tree.write(ino, 0, bytes)?;
        state.tell(share(path), true);
        Ok(())
    }

    /// A new file in `download/` with these bytes, as if they had come before.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn put_download(&self, name: &[u8], bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let root = state.root(Place::Download)?;
        let ino = state.tree.make(Body::File(bytes.to_vec()), 0o600);
        state.tree.set_name(root, name, Some(ino))
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As of mkdir.
    pub fn user_mkdir(&self, path: &[u8]) -> io::Result<()> {
        self.lock()
            .add(share(path), |tree| {
                tree.make(Body::Directory(BTreeMap::new()), 0o755)
            })
            .map(|_| ())
    }

    /// Makes a symlink.
    ///
    /// # Errors
    /// As of symlink.
    pub fn user_symlink(&self, target: &[u8], path: &[u8]) -> io::Result<()> {
        self.lock()
            .add(share(path), |tree| {
                tree.make(Body::Symlink(target.to_vec()), 0o777)
            })
            .map(|_| ())
    }

    /// Removes a file, or a directory and all below it.
    ///
    /// # Errors
    /// As of unlink.
    pub fn user_remove_all(&self, path: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        remove_all(&mut state, path)
    }

    /// Renames, replacing a file.
    ///
    /// # Errors
    /// As of rename.
    pub fn user_rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        if to == from || proto_core::path::is_below(to, from) {
            return Err(errno(EINVAL));
        }
        self.lock()
            .rename(share(from), share(to), RenameMode::Replace)
    }

    /// `download/` has this mode.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn chmod_download(&self, mode: u16) -> io::Result<()> {
        let mut state = self.lock();
        let root = state.root(Place::Download)?;
        state.tree.set_mode(root, mode)
    }

    /// Removes the index, if there is one.
    pub fn lose_index(&self) {
        let at = At {
            place: Place::State,
            path: b"index.redb",
        };
        let _ = self.lock().remove(at, false);
    }

    /// chmod.
    ///
    /// # Errors
    /// As of chmod.
    pub fn user_chmod(&self, path: &[u8], mode: u16) -> io::Result<()> {
        let mut state = self.lock();
        let ino = state.find(share(path))?;
        state.tell(share(path), false);
        state.tree.set_mode(ino, mode)
    }

    /// touch.
    ///
    /// # Errors
    /// As of utimens.
    pub fn user_touch(&self, path: &[u8], mtime: Timestamp) -> io::Result<()> {
        let mut state = self.lock();
        let ino = state.find(share(path))?;
        state.tell(share(path), false);
        state.tree.set_mtime(ino, mtime)
    }

    /// All that is in a place, by path.
    #[must_use]
    pub fn tree(&self, place: Place) -> BTreeMap<Vec<u8>, Node> {
        let state = self.lock();
        let mut nodes = BTreeMap::new();
        if let Ok(root) = state.root(place) {
            collect(&state.tree, root, &[], &mut nodes);
        }
        nodes
    }

    /// Somebody writes into every file that lies directly in a place.
    pub fn scribble(&self, place: Place, at: usize) {
        let mut state = self.lock();
        let files: Vec<Ino> = state
            .root(place)
            .and_then(|root| state.tree.names(root))
            .map(|names| names.values().copied().collect())
            .unwrap_or_default();
        for ino in files {
            let _ = state.tree.write(ino, at, b"scribble");
        }
    }

    /// Flips a bit of a file in `share/`, silently.
    pub fn rot(&self, path: &[u8], at: usize) {
        let mut state = self.lock();
        if let Ok(ino) = state.find(share(path)) {
            state.tree.rot(ino, at);
        }
    }
}

fn remove_all(state: &mut State, path: &[u8]) -> io::Result<()> {
    let ino = state.find(share(path))?;
    let names: Option<Vec<Vec<u8>>> = match &state.tree.get(ino)?.body {
        Body::Directory(names) => Some(names.keys().cloned().collect()),
        _ => None,
    };
    let is_directory = names.is_some();
    for name in names.unwrap_or_default() {
        remove_all(state, &[path, b"/", &name].concat())?;
    }
    state.remove(share(path), is_directory)
}

fn collect(tree: &Tree, directory: Ino, path: &[u8], nodes: &mut BTreeMap<Vec<u8>, Node>) {
    let Ok(names) = tree.names(directory) else {
        return;
    };
    for (name, ino) in names {
        let path = if path.is_empty() {
            name.clone()
        } else {
            [path, b"/", name].concat()
        };
        let (Ok(inode), Ok(stat)) = (tree.get(*ino), tree.stat(*ino)) else {
            continue;
        };
        let node = match &inode.body {
            Body::Directory(_) => Node::Directory(stat.mode),
            Body::File(bytes) => Node::File(stat.mode, stat.mtime, bytes.clone()),
            Body::Symlink(target) => Node::Symlink(target.clone()),
        };
        let is_directory = matches!(node, Node::Directory(_));
        nodes.insert(path.clone(), node);
        if is_directory {
            collect(tree, *ino, &path, nodes);
        }
    }
}
