//! The tree of the simulated disk: inodes and names, with a log of what a power cut may take back.
//!
//! The model is a journaled file system: changes of names and attributes become durable in their
//! order, and all of them when anything is flushed; bytes of a file only when that file is flushed.

use peer_mio::disk::{FileKind, Stat};
use proto_core::index::entry::Timestamp;
use std::collections::BTreeMap;
use std::io;

/// Inode number.
pub type Ino = u64;

/// Names in a directory, bytes of a file, or target of a symlink.
#[derive(Clone, Debug)]
pub enum Body {
    /// A directory.
    Directory(BTreeMap<Vec<u8>, Ino>),
    /// A regular file.
    File(Vec<u8>),
    /// A symlink.
    Symlink(Vec<u8>),
}

/// One inode.
#[derive(Clone, Debug)]
pub struct Inode {
    /// What it is.
    pub body: Body,
    pub(super) mode: u16,
    pub(super) mtime: Timestamp,
    ctime: Timestamp,
    links: u64,
    handles: u64,
    /// Room kept for it, in bytes; what is more than its length is as good as written.
    reserved: u64,
    /// Writes since the last flush: where, what was there, and the length before.
    pub(super) unsynced: Vec<(usize, Vec<u8>, usize)>,
}

/// How to take back one change of names or attributes.
#[derive(Clone, Debug)]
pub(super) enum Undo {
    Name(Ino, Vec<u8>, Option<Ino>),
    Mode(Ino, u16),
    Mtime(Ino, Timestamp),
}

/// All inodes.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(super) inodes: BTreeMap<Ino, Inode>,
    next: Ino,
    pub(super) log: Vec<Undo>,
    /// The clock that files get their times from; it ticks every four milliseconds.
    pub now: Timestamp,
    /// Bytes that all files together may have.
    pub capacity: u64,
    pub(super) used: u64,
    /// Flushes of a file's bytes so far.
    pub(super) flushes: u64,
}

const TICK: u32 = 4_000_000;

pub(super) fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// The errors that file systems give (errno(3)).
pub(super) mod code {
    pub const ENOENT: i32 = 2;
    pub const EIO: i32 = 5;
    pub const EBADF: i32 = 9;
    pub const EACCES: i32 = 13;
    pub const EEXIST: i32 = 17;
    pub const ENOTDIR: i32 = 20;
    pub const EISDIR: i32 = 21;
    pub const EINVAL: i32 = 22;
    pub const ENOSPC: i32 = 28;
    pub const ENOTEMPTY: i32 = 39;
}
use code::{EINVAL, EISDIR, ENOENT, ENOSPC, ENOTDIR};

impl Inode {
    /// Bytes of disk that it takes up.
    pub(super) fn allocated(&self) -> u64 {
        match &self.body {
            Body::File(bytes) => (bytes.len() as u64).max(self.reserved),
            Body::Directory(_) | Body::Symlink(_) => 0,
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            inodes: BTreeMap::new(),
            next: 1,
            log: Vec::new(),
            now: Timestamp::default(),
            capacity: u64::MAX,
            used: 0,
            flushes: 0,
        }
    }
}

impl Tree {
    fn tick(&self) -> Timestamp {
        Timestamp {
            sec: self.now.sec,
            nsec: self.now.nsec - self.now.nsec % TICK,
        }
    }

    /// A new inode without a name.
    pub fn make(&mut self, body: Body, mode: u16) -> Ino {
        let ino = self.next;
        self.next += 1;
        let now = self.tick();
        self.inodes.insert(
            ino,
            Inode {
                body,
                mode,
                mtime: now,
                ctime: now,
                links: 0,
                handles: 0,
                reserved: 0,
                unsynced: Vec::new(),
            },
        );
        ino
    }

    /// The inode with this number.
    pub fn get(&self, ino: Ino) -> io::Result<&Inode> {
        self.inodes.get(&ino).ok_or_else(|| errno(ENOENT))
    }

    fn get_mut(&mut self, ino: Ino) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&ino).ok_or_else(|| errno(ENOENT))
    }

    /// The names in a directory.
    pub fn names(&self, ino: Ino) -> io::Result<&BTreeMap<Vec<u8>, Ino>> {
        match &self.get(ino)?.body {
            Body::Directory(names) => Ok(names),
            _ => Err(errno(ENOTDIR)),
        }
    }

    /// What a name in a directory leads to.
    pub fn lookup(&self, directory: Ino, name: &[u8]) -> io::Result<Option<Ino>> {
        Ok(self.names(directory)?.get(name).copied())
    }

    /// Sets or removes a name, and logs it.
    pub fn set_name(&mut self, directory: Ino, name: &[u8], to: Option<Ino>) -> io::Result<()> {
        let before = self.change_name(directory, name, to)?;
        self.log.push(Undo::Name(directory, name.to_vec(), before));
        let now = self.tick();
        for ino in to.into_iter().chain(before) {
            if let Ok(inode) = self.get_mut(ino) {
                inode.ctime = now;
            }
        }
        Ok(())
    }

    pub(super) fn change_name(
        &mut self,
        directory: Ino,
        name: &[u8],
        to: Option<Ino>,
    ) -> io::Result<Option<Ino>> {
        let Body::Directory(names) = &mut self.get_mut(directory)?.body else {
            return Err(errno(ENOTDIR));
        };
        let before = match to {
            Some(ino) => names.insert(name.to_vec(), ino),
            None => names.remove(name),
        };
        if let Some(ino) = to {
            self.get_mut(ino)?.links += 1;
        }
        if let Some(ino) = before
            && let Ok(inode) = self.get_mut(ino)
        {
            inode.links = inode.links.saturating_sub(1);
        }
        Ok(before)
    }

    /// What stat says.
    pub fn stat(&self, ino: Ino) -> io::Result<Stat> {
        let inode = self.get(ino)?;
        let (kind, size) = match &inode.body {
            Body::Directory(_) => (FileKind::Directory, 0),
            Body::File(bytes) => (FileKind::File, bytes.len() as u64),
            Body::Symlink(target) => (FileKind::Symlink, target.len() as u64),
        };
        Ok(Stat {
            kind,
            size,
            allocated: inode.allocated(),
            mode: inode.mode,
            mtime: inode.mtime,
            ctime: inode.ctime,
            inode: ino,
            links: inode.links,
        })
    }

    /// chmod.
    pub fn set_mode(&mut self, ino: Ino, mode: u16) -> io::Result<()> {
        let now = self.tick();
        let inode = self.get_mut(ino)?;
        let before = std::mem::replace(&mut inode.mode, mode);
        inode.ctime = now;
        self.log.push(Undo::Mode(ino, before));
        Ok(())
    }

    /// utimens.
    pub fn set_mtime(&mut self, ino: Ino, mtime: Timestamp) -> io::Result<()> {
        let now = self.tick();
        let inode = self.get_mut(ino)?;
        let before = std::mem::replace(&mut inode.mtime, mtime);
        inode.ctime = now;
        self.log.push(Undo::Mtime(ino, before));
        Ok(())
    }

    /// The bytes of a file.
    pub fn bytes(&self, ino: Ino) -> io::Result<&[u8]> {
        match &self.get(ino)?.body {
            Body::File(bytes) => Ok(bytes),
            Body::Directory(_) => Err(errno(EISDIR)),
            Body::Symlink(_) => Err(errno(EINVAL)),
        }
    }

    /// pwrite.
    pub fn write(&mut self, ino: Ino, at: usize, new: &[u8]) -> io::Result<()> {
        let now = self.tick();
        let (capacity, used) = (self.capacity, self.used);
        let inode = self.get_mut(ino)?;
        let Body::File(bytes) = &mut inode.body else {
            return Err(errno(EISDIR));
        };
        let (end, before) = (at + new.len(), bytes.len());
        let grown = (end as u64).saturating_sub((before as u64).max(inode.reserved));
        if grown > 0 && used + grown > capacity {
            return Err(errno(ENOSPC));
        }
        let old = bytes
            .get(at.min(before)..end.min(before))
            .unwrap_or_default()
            .to_vec();
        if end > before {
            bytes.resize(end, 0);
        }
        if let Some(place) = bytes.get_mut(at..end) {
            place.copy_from_slice(new);
        }
        inode.unsynced.push((at, old, before));
        inode.mtime = now;
        inode.ctime = now;
        self.used += grown;
        Ok(())
    }

    /// ftruncate.
    pub fn set_len(&mut self, ino: Ino, len: usize) -> io::Result<()> {
        let now = self.tick();
        let (capacity, used) = (self.capacity, self.used);
        let inode = self.get_mut(ino)?;
        let Body::File(bytes) = &mut inode.body else {
            return Err(errno(EISDIR));
        };
        let before = bytes.len();
        let taken = (before as u64).max(inode.reserved);
        let grown = (len as u64).saturating_sub(taken);
        if grown > 0 && used + grown > capacity {
            return Err(errno(ENOSPC));
        }
        let old = bytes.get(len.min(before)..).unwrap_or_default().to_vec();
        bytes.resize(len, 0);
        inode.unsynced.push((len.min(before), old, before));
        inode.mtime = now;
        inode.ctime = now;
        let mut freed = 0;
        if len < before {
            // What was reserved behind the new end goes too.
            inode.reserved = 0;
            freed = taken - len as u64;
        }
        self.used = (self.used + grown).saturating_sub(freed);
        Ok(())
    }

    /// fallocate, without a change of the length.
    pub fn reserve(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        let (capacity, used) = (self.capacity, self.used);
        let inode = self.get_mut(ino)?;
        let grown = len.saturating_sub(inode.allocated());
        if grown > 0 && used + grown > capacity {
            return Err(errno(ENOSPC));
        }
        inode.reserved = inode.reserved.max(len);
        self.used += grown;
        Ok(())
    }

    /// Flushes the bytes of a file.
    pub fn sync_bytes(&mut self, ino: Ino) -> io::Result<()> {
        self.get_mut(ino)?.unsynced.clear();
        self.flushes += 1;
        self.sync_names();
        Ok(())
    }

    /// Flushes everything.
    pub fn sync_all(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.unsynced.clear();
        }
        self.sync_names();
    }

    /// All changes of names and attributes are durable; what has neither name nor handle is gone.
    pub fn sync_names(&mut self) {
        self.log.clear();
        let mut freed = 0;
        self.inodes.retain(|_, inode| {
            let dead = inode.links == 0 && inode.handles == 0;
            if dead {
                freed += inode.allocated();
            }
            !dead
        });
        self.used = self.used.saturating_sub(freed);
    }

    /// A root: it stays without a name.
    pub fn keep(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.links += 1;
        }
    }

    /// Bytes that all files take up.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// What is left of the capacity.
    #[must_use]
    pub fn space(&self) -> peer_mio::disk::Space {
        let total = self.capacity.min(1 << 40);
        peer_mio::disk::Space {
            free: total.saturating_sub(self.used),
            total,
        }
    }

    /// Somebody opens or closes it.
    pub fn hold(&mut self, ino: Ino, opened: bool) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.handles = if opened {
                inode.handles + 1
            } else {
                inode.handles.saturating_sub(1)
            };
        }
    }

    /// All handles are gone.
    pub fn close_all(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.handles = 0;
        }
    }
}
