//! A file in memory that forgets, in a power cut, any part of what was not synced, and that can
//! begin to refuse writes.

use super::Random;
use crate::disk::{DiskFile, FileKind, Stat};
use proto_core::index::entry::Timestamp;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a disk writes in one piece or not at all.
const SECTOR: usize = 512;

/// Clones are the same file.
#[derive(Clone, Debug, Default)]
pub struct MemoryFile(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// What readers see.
    bytes: Vec<u8>,
    /// What is on the platter.
    synced: Vec<u8>,
    /// What was done since the last sync, in order.
    unsynced: Vec<Change>,
    /// Changes until the disk is full, if it ever is.
    room: Option<u64>,
    /// Whether syncing fails too when there is no room: the disk is gone rather than full.
    gone: bool,
    /// Whether the file must stay as long as it is.
    must_not_grow: bool,
    unreadable: bool,
    changes: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl MemoryFile {
    /// A file with these bytes on the platter.
    pub fn holding(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            bytes: bytes.to_vec(),
            synced: bytes.to_vec(),
            ..Inner::default()
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// What readers see.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// How many writes and changes of length there were.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// After so many more changes the disk is full.
    pub fn fill_after(&self, changes: u64) {
        let mut inner = self.lock();
        (inner.room, inner.gone) = (Some(changes), false);
    }

    /// After so many more changes neither writing nor syncing works.
    pub fn vanish_after(&self, changes: u64) {
        let mut inner = self.lock();
        (inner.room, inner.gone) = (Some(changes), true);
    }

    /// What is there can be written over; the file cannot grow.
    pub fn forbid_growth(&self) {
        self.lock().must_not_grow = true;
    }

    /// From now on nothing can be read (EIO).
    pub fn fail_reading(&self) {
        self.lock().unreadable = true;
    }

    /// There is room again.
    pub fn recover(&self) {
        let mut inner = self.lock();
        (inner.room, inner.must_not_grow) = (None, false);
    }

    /// The power goes and comes back: of what was not synced any part is lost, to the sector.
    pub fn crash(&self, random: &mut Random) {
        let mut inner = self.lock();
        let mut bytes = std::mem::take(&mut inner.synced);
        let lost_in_64 = random.below(65);
        for change in std::mem::take(&mut inner.unsynced) {
            match change {
                Change::Write(offset, data) => {
                    for (place, sector) in data.chunks(SECTOR).enumerate() {
                        if random.below(64) >= lost_in_64 {
                            write(&mut bytes, offset + place * SECTOR, sector);
                        }
                    }
                }
                Change::Length(length) => {
                    if random.below(64) >= lost_in_64 {
                        bytes.resize(length, 0);
                    }
                }
            }
        }
        inner.bytes.clone_from(&bytes);
        inner.synced = bytes;
        inner.room = None;
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl Inner {
    fn take_room(&mut self) -> io::Result<()> {
        match &mut self.room {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(room) => *room -= 1,
            None => {}
        }
        self.changes += 1;
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn stat(&self) -> io::Result<Stat> {
        let size = self.lock().bytes.len() as u64;
        Ok(Stat {
            kind: FileKind::File,
            size,
            allocated: size,
            mode: 0o600,
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            inode: 1,
            links: 1,
        })
    }

    /// Never more than 1000 bytes at once, as a file may.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let inner = self.lock();
        if inner.unreadable {
            return Err(io::Error::from_raw_os_error(5));
        }
        let rest = inner.bytes.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len()).min(1000);
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    /// A write that fails may have been done in part.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let room = inner.take_room();
        let done = if room.is_ok() {
            bytes
        } else {
            &bytes[..bytes.len() / 2]
        };
        write(&mut inner.bytes, offset as usize, done);
        inner
            .unsynced
            .push(Change::Write(offset as usize, done.to_vec()));
        room
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.lock();
        // Shrinking needs no room.
        let grows = len as usize > inner.bytes.len();
        if grows && inner.must_not_grow {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if grows || inner.gone {
            inner.take_room()?;
        }
        inner.bytes.resize(len as usize, 0);
        inner.unsynced.push(Change::Length(len as usize));
        Ok(())
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn start_writeback(&self, _: u64, _: u64) {}

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.gone && inner.room == Some(0) {
            return Err(io::Error::other("gone"));
        }
        inner.synced = inner.bytes.clone();
        inner.unsynced.clear();
        Ok(())
    }

    fn set_mode(&self, _: u16) -> io::Result<()> {
        Ok(())
    }

    fn set_mtime(&self, _: Timestamp) -> io::Result<()> {
        Ok(())
    }
}
