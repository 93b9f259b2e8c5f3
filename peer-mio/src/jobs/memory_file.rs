//! A file of memory, and contents to put into it, for the tests of jobs and of serving.

use crate::disk::{DiskFile, FileKind, Stat};
use proto_core::content::cut::{Params, cut};
use proto_core::content::recipe::{ContentIdHasher, hash_chunk};
use proto_core::content::{ChunkRef, ContentId};
use proto_core::index::entry::Timestamp;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file of memory; clones are the same file. Reads come in parts, as they may on a real one.
#[derive(Clone, Debug)]
pub struct MemoryFile(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    reads: Vec<u64>,
    writes: Vec<u64>,
    ahead: Vec<(u64, u64)>,
    fail_reads_from: u64,
    is_never_cached: bool,
    /// How often the bytes were looked for in memory, if they are there only now and then and in parts.
    looks: Option<usize>,
    mode: u16,
    mtime: Timestamp,
    /// What times are multiples of, in nanoseconds.
    tick: u32,
    /// How often it was asked what it is.
    asked: usize,
}

impl MemoryFile {
    pub fn new(bytes: &[u8]) -> Self {
        let state = State {
            bytes: bytes.to_vec(),
            reads: vec![],
            writes: vec![],
            ahead: vec![],
            fail_reads_from: u64::MAX,
            is_never_cached: false,
            looks: None,
            mode: 0o644,
            mtime: Timestamp::default(),
            tick: 1,
            asked: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Reads that go to this offset or behind it fail from now on.
    pub fn fail_reads_from(&self, offset: u64) {
        self.state().fail_reads_from = offset;
    }

    /// From now on the disk has to be waited for, however often it is asked to read ahead.
    pub fn never_cache(&self) {
        self.state().is_never_cached = true;
    }

    /// It has this mode, and keeps times that are multiples of so many nanoseconds.
    pub fn on_disk_with(self, mode: u16, tick: u32) -> Self {
        let mut state = self.state();
        (state.mode, state.tick) = (mode, tick);
        drop(state);
        self
    }

    /// How often it was asked what it is.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    /// From now on each second look finds something in memory, which ends anywhere.
    pub fn cache_in_part(&self) {
        self.state().looks = Some(0);
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// Offsets of all reads so far but those that went on with one that came in part.
    pub fn reads(&self) -> Vec<u64> {
        self.state().reads.clone()
    }

    /// Offsets of all writes so far.
    pub fn writes(&self) -> Vec<u64> {
        self.state().writes.clone()
    }

    /// Offsets and lengths of what was to be read ahead so far.
    pub fn read_ahead(&self) -> Vec<(u64, u64)> {
        self.state().ahead.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much as one read gives.
const READ_PART: usize = 100_000;

impl DiskFile for MemoryFile {
    fn stat(&self) -> io::Result<Stat> {
        let mut state = self.state();
        state.asked += 1;
        let (size, mode, mtime) = (state.bytes.len() as u64, state.mode, state.mtime);
        Ok(Stat {
            kind: FileKind::File,
            size,
            allocated: size,
            mode,
            mtime,
            ctime: Timestamp::default(),
            inode: 1,
            links: 1,
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        if offset >= state.fail_reads_from {
            return Err(io::Error::other("the disk is broken"));
        }
        if offset.is_multiple_of(super::PIECE as u64) || offset >= state.bytes.len() as u64 {
            state.reads.push(offset);
        }
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| state.bytes.get(offset..))
            .unwrap_or_default();
        let len = rest.len().min(buffer.len()).min(READ_PART);
        buffer
            .iter_mut()
            .zip(rest.iter().take(len))
            .for_each(|(to, &from)| *to = from);
        Ok(len)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.state().is_never_cached {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut most = buffer.len();
        if let Some(looks) = &mut self.state().looks {
            *looks += 1;
            if *looks % 2 == 1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            most = most.min(*looks * 7919 % 65_536 + 1);
        }
        self.read_at(offset, buffer.get_mut(..most).unwrap_or_default())
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.state().ahead.push((offset, len));
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.writes.push(offset);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if state.bytes.len() < end {
            state.bytes.resize(end, 0);
        }
        state.bytes.splice(start..end, bytes.iter().copied());
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.state().bytes.resize(len, 0);
        Ok(())
    }

    fn reserve(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {}

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_mode(&self, mode: u16) -> io::Result<()> {
        self.state().mode = mode;
        Ok(())
    }

    fn set_mtime(&self, mtime: Timestamp) -> io::Result<()> {
        let mut state = self.state();
        let nsec = mtime.nsec - mtime.nsec % state.tick;
        state.mtime = Timestamp { nsec, ..mtime };
        Ok(())
    }
}

/// Bytes without order (xorshift), the same ones for the same seed.
pub fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1 << 40;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(|| next().to_le_bytes())
        .flatten()
        .take(len)
        .collect()
}

/// Content id and chunks of these bytes, made without any job.
pub fn recipe_of(bytes: &[u8]) -> (ContentId, Vec<ChunkRef>) {
    let params = Params::for_size(bytes.len() as u64);
    let mut content = ContentIdHasher::new();
    let mut chunks = vec![];
    let mut rest = bytes;
    while let Some((chunk, others)) =
        cut(params, rest, true).and_then(|len| rest.split_at_checked(len))
    {
        let chunk = ChunkRef {
            len: chunk.len() as u32,
            hash: hash_chunk(chunk),
        };
        content.push(&chunk);
        chunks.push(chunk);
        rest = others;
    }
    (content.finish(), chunks)
}
