//! Copying a content from one file to another by its recipe; no chunk is written before it is verified.

use super::patience::Patience;
use super::{CHUNK_COST, PIECE, Progress, expect_chunk, fill};
use crate::disk::DiskFile;
use proto_core::content::ChunkRef;
use proto_core::content::recipe::ChunkHasher;
use proto_core::limits::MAX_PIECE;
use std::io;

/// Pieces in the ring. Before a piece is read there lie in it less than a chunk that is not yet
/// verified and less than a piece that is; both ends are piece boundaries, so that these are at most
/// `MAX_PIECE` bytes.
const PIECES: usize = MAX_PIECE / PIECE + 1;

/// Copies one content. Memory: 1.25 MiB.
#[derive(Debug)]
pub struct CopyJob<F> {
    from: F,
    to: F,
    patience: Patience,
    /// The piece that begins at byte n * PIECE of the content lies in place n modulo PIECES.
    ring: Vec<u8>,
    /// written <= verified <= hashed <= read: how far each of these came in the content.
    read: u64,
    hashed: u64,
    verified: u64,
    written: u64,
    hasher: ChunkHasher,
    expected: Option<ChunkRef>,
    index: u32,
}

impl<F: DiskFile> CopyJob<F> {
    /// A job that writes the content of `size` bytes which `from` holds from its start to the same places in `to`. The
    /// length of `to` is only changed by writing.
    pub fn new(from: F, to: F, size: u64) -> Self {
        Self {
            from,
            to,
            patience: Patience::new(size),
            ring: vec![0; PIECES * PIECE],
            read: 0,
            hashed: 0,
            verified: 0,
            written: 0,
            hasher: ChunkHasher::new(),
            expected: None,
            index: 0,
        }
    }

    /// Whether the last step ended because the disk would have had to be waited for: the next one is worth it a little later.
    pub fn waits(&self) -> bool {
        self.patience.waits()
    }

    /// Copies up to `budget_bytes` (at least 1). `chunks` gives the recipe's chunk with an index,
    /// `None` behind the last. `Done` has the bytes that were copied.
    ///
    /// # Errors
    /// `InvalidData` for a chunk whose bytes are not in `from`, or of an impossible length;
    /// `UnexpectedEof` if `from` ends first; else those of reading, writing and `chunks`. All that was
    /// written before is verified; the job cannot go on.
    pub fn step(
        &mut self,
        budget_bytes: usize,
        chunks: &mut impl FnMut(u32) -> io::Result<Option<ChunkRef>>,
    ) -> io::Result<Progress<u64>> {
        let mut budget = budget_bytes.max(1);
        while budget > 0 {
            let Some(expected) = expect_chunk(&mut self.expected, self.index, chunks)? else {
                self.write(self.verified)?;
                return Ok(Progress::Done(self.written));
            };
            if self.hashed == self.read {
                if !self.patience.has(&self.from, self.read, PIECE as u64) {
                    return Ok(Progress::More);
                }
                self.read_piece()?;
            }
            let missing = expected.len.saturating_sub(self.hasher.len()) as usize;
            let part = piece(&self.ring, self.hashed, self.read);
            let part = part.get(..missing.min(budget)).unwrap_or(part);
            self.hasher.push(part);
            let taken = part.len();
            self.hashed += taken as u64;
            budget -= taken;
            if taken == missing {
                self.end_chunk(expected)?;
                budget = budget.saturating_sub(CHUNK_COST);
            }
        }
        Ok(Progress::More)
    }

    fn read_piece(&mut self) -> io::Result<()> {
        let start = place(self.read);
        // A piece that came short is the last one.
        let buffer = self
            .ring
            .get_mut(start..start + PIECE)
            .filter(|_| self.read.is_multiple_of(PIECE as u64));
        let came = buffer.map_or(Ok(0), |buffer| fill(&self.from, self.read, buffer))?;
        if came == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read += came as u64;
        Ok(())
    }

    fn end_chunk(&mut self, expected: ChunkRef) -> io::Result<()> {
        if self.hasher.finish() != expected {
            let message = format!("chunk {} is not what the recipe says", self.index);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.index = self.index.saturating_add(1);
        self.expected = None;
        self.verified = self.hashed;
        // Only whole pieces; the rest waits for more.
        self.write(self.verified - self.verified % PIECE as u64)
    }

    /// Writes what is verified up to `end`, piece by piece.
    fn write(&mut self, end: u64) -> io::Result<()> {
        while self.written < end {
            let part = piece(&self.ring, self.written, end);
            self.to.write_all_at(self.written, part)?;
            self.to.start_writeback(self.written, part.len() as u64);
            self.written += part.len() as u64;
        }
        Ok(())
    }
}

/// Where in the ring byte `at` of the content lies.
fn place(at: u64) -> usize {
    // Less than the length of the ring, so no bits are lost.
    (at % (PIECES * PIECE) as u64) as usize
}

/// What lies in the ring from byte `at` of the content to `end` or to the end of its piece.
fn piece(ring: &[u8], at: u64, end: u64) -> &[u8] {
    let to_boundary = PIECE as u64 - at % PIECE as u64;
    // At most PIECE, so no bits are lost.
    let len = end.saturating_sub(at).min(to_boundary) as usize;
    ring.get(place(at)..place(at) + len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::memory_file::{MemoryFile, random, recipe_of};
    use super::*;
    use proto_core::content::recipe::hash_chunk;

    fn copy(from: &[u8], to: &MemoryFile, chunks: &[ChunkRef], budget: usize) -> io::Result<u64> {
        copy_file(MemoryFile::new(from), to, chunks, budget)
    }

    fn copy_file(
        from: MemoryFile,
        to: &MemoryFile,
        chunks: &[ChunkRef],
        budget: usize,
    ) -> io::Result<u64> {
        let size = from.bytes().len() as u64;
        let mut job = CopyJob::new(from, to.clone(), size);
        loop {
            match job.step(budget, &mut |index| Ok(chunks.get(index as usize).copied()))? {
                Progress::More => {}
                Progress::Done(size) => return Ok(size),
            }
        }
    }

    /// Chunks of these lengths; the last one has what is left.
    fn chunks_of(bytes: &[u8], len: usize) -> Vec<ChunkRef> {
        bytes
            .chunks(len)
            .map(|part| ChunkRef {
                len: part.len() as u32,
                hash: hash_chunk(part),
            })
            .collect()
    }

    #[test]
    fn the_copy_is_the_content_and_is_written_in_pieces() {
        let bytes = random(1, 5_000_000);
        let largest =
            [MAX_PIECE, MAX_PIECE - 1, PIECE, PIECE + 1, 100_000].map(|len| chunks_of(&bytes, len));
        for chunks in [recipe_of(&bytes).1].into_iter().chain(largest) {
            for budget in [99_999, 1 << 20, usize::MAX] {
                let to = MemoryFile::new(&[]);
                assert_eq!(copy(&bytes, &to, &chunks, budget).unwrap(), 5_000_000);
                assert!(to.bytes() == bytes);
                let pieces: Vec<u64> = (0..5_000_000_u64.div_ceil(PIECE as u64))
                    .map(|n| n * PIECE as u64)
                    .collect();
                assert_eq!(to.writes(), pieces);
            }
        }
    }

    #[test]
    fn what_is_never_in_memory_is_copied_nevertheless() {
        let bytes = random(1, 5_000_000);
        let (from, to) = (MemoryFile::new(&bytes), MemoryFile::new(&[]));
        from.never_cache();
        copy_file(from, &to, &recipe_of(&bytes).1, 1 << 20).unwrap();
        assert!(to.bytes() == bytes);
    }

    #[test]
    fn short_contents_are_copied_whole() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1] {
            let bytes = random(2, len);
            let to = MemoryFile::new(&[]);
            assert_eq!(
                copy(&bytes, &to, &recipe_of(&bytes).1, 1 << 20).unwrap(),
                len as u64
            );
            assert!(to.bytes() == bytes);
        }
    }

    #[test]
    fn what_the_recipe_does_not_name_is_not_copied() {
        let bytes = random(3, 700_000);
        let chunks = chunks_of(&bytes, 200_000);
        let to = MemoryFile::new(&[]);
        assert_eq!(
            copy(&bytes, &to, &chunks[..2], usize::MAX).unwrap(),
            400_000
        );
        assert!(to.bytes() == bytes[..400_000]);
    }

    #[test]
    fn nothing_wrong_is_ever_written() {
        let mut bytes = random(4, 3_000_000);
        let right = bytes.clone();
        let chunks = chunks_of(&bytes, 300_000);
        bytes[1_499_999] ^= 0x80;
        let to = MemoryFile::new(&[]);
        assert_eq!(
            copy(&bytes, &to, &chunks, 1 << 20).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        assert!(right.starts_with(&to.bytes()) && to.bytes().len() == 4 * PIECE);

        let to = MemoryFile::new(&[]);
        let error = copy(&right[..2_999_999], &to, &chunks, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(right.starts_with(&to.bytes()));
    }
}
