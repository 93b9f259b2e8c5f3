//! Hashing a file: cuts it into chunks and makes its recipe and content id.

use super::piece_reader::PieceReader;
use super::{CHUNK_COST, Progress};
use crate::disk::{DiskFile, Stat};
use proto_core::content::cut::{Cutter, Params, cut};
use proto_core::content::recipe::{self, ChunkHasher, ContentIdHasher, MAX_RECIPE_BLOCK};
use proto_core::content::{ChunkRef, ContentId};
use std::io;

/// What a file was found to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hashed {
    /// Its content.
    pub content: ContentId,
    /// Bytes that were read; of a file that is longer than the job was told, more than that. If these are not as
    /// many as it was told, the file has changed and the rest of this is of no use: it must be hashed anew.
    pub size: u64,
    /// Chunks in its recipe.
    pub chunks: u32,
}

/// Hashes one open file. Memory: 256 KiB (less for a smaller file) and a recipe block.
#[derive(Debug)]
pub struct HashJob<F> {
    reader: PieceReader<F>,
    size: u64,
    read: u64,
    cutter: Cutter,
    chunk: ChunkHasher,
    content: ContentIdHasher,
    chunks: u32,
    /// The recipe block under way and its number.
    block: Vec<u8>,
    blocks: u32,
    after: Option<Stat>,
}

impl<F: DiskFile> HashJob<F> {
    /// A job for a file that has `size` bytes by its stat; how it is cut follows from that.
    pub fn new(file: F, size: u64) -> Self {
        Self {
            reader: PieceReader::new(file, size),
            size,
            read: 0,
            cutter: Cutter::new(Params::for_size(size)),
            chunk: ChunkHasher::new(),
            content: ContentIdHasher::new(),
            chunks: 0,
            block: Vec::with_capacity(MAX_RECIPE_BLOCK),
            blocks: 0,
            after: None,
        }
    }

    /// What the open file was after all of it was read.
    pub fn after(&self) -> Option<Stat> {
        self.after
    }

    /// From now on a long file is read without waiting for the disk ([`Self::waits`]).
    pub fn be_patient(&mut self) {
        self.reader.be_patient();
    }

    /// Whether the last step ended because the disk would have had to be waited for: the next one is worth it a little later.
    pub fn waits(&self) -> bool {
        self.reader.waits()
    }

    /// Hashes up to `budget_bytes` (at least 1) and hands out the recipe: block after block by its
    /// number, each of 128 chunk references but for the last.
    ///
    /// # Errors
    /// Those of reading and of `recipe`; the job cannot go on after one.
    pub fn step(
        &mut self,
        budget_bytes: usize,
        recipe: &mut impl FnMut(u32, &[u8]) -> io::Result<()>,
    ) -> io::Result<Progress<Hashed>> {
        let mut budget = budget_bytes.max(1);
        while budget > 0 {
            // Whether it goes on is seen by its length; only one that says to have none is read to where it ends.
            if self.read == self.size && self.size > 0 {
                return self.finish(recipe).map(Progress::Done);
            }
            let piece = match self.reader.peek() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::More);
                }
                piece => piece?,
            };
            let part = piece.get(..budget).unwrap_or(piece);
            if part.is_empty() || self.read > self.size {
                return self.finish(recipe).map(Progress::Done);
            }
            let cut = self.cutter.push(part);
            let taken = cut.unwrap_or(part.len());
            self.chunk.push(part.get(..taken).unwrap_or(part));
            self.reader.take(taken);
            self.read += taken as u64;
            budget = budget.saturating_sub(taken);
            if cut.is_some() {
                self.end_chunk(recipe)?;
                budget = budget.saturating_sub(CHUNK_COST);
            }
        }
        Ok(Progress::More)
    }

    fn end_chunk(
        &mut self,
        recipe: &mut impl FnMut(u32, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let chunk = self.chunk.finish();
        self.content.push(&chunk);
        self.chunks = self.chunks.saturating_add(1);
        self.block.extend_from_slice(&recipe::write(&chunk));
        if self.block.len() < MAX_RECIPE_BLOCK {
            return Ok(());
        }
        self.end_block(recipe)
    }

    fn end_block(
        &mut self,
        recipe: &mut impl FnMut(u32, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        recipe(self.blocks, &self.block)?;
        self.block.clear();
        self.blocks = self.blocks.saturating_add(1);
        Ok(())
    }

    fn finish(
        &mut self,
        recipe: &mut impl FnMut(u32, &[u8]) -> io::Result<()>,
    ) -> io::Result<Hashed> {
        if !self.chunk.is_empty() {
            self.end_chunk(recipe)?;
        }
        if !self.block.is_empty() {
            self.end_block(recipe)?;
        }
        let after = self.reader.file().stat()?;
        self.after = Some(after);
        let size = if self.read == self.size {
            self.read.max(after.size)
        } else {
            self.read
        };
        Ok(Hashed {
            content: self.content.finish(),
            size,
            chunks: self.chunks,
        })
    }
}

/// The content of a small file that is in memory, and its recipe.
#[must_use]
pub fn content_of(bytes: &[u8]) -> (ContentId, Vec<u8>) {
    let params = Params::for_size(bytes.len() as u64);
    let (mut content, mut block, mut rest) = (ContentIdHasher::new(), Vec::new(), bytes);
    while !rest.is_empty() {
        let len = cut(params, rest, true).unwrap_or(rest.len()).max(1);
        let (part, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        let chunk = ChunkRef {
            len: part.len() as u32,
            hash: recipe::hash_chunk(part),
        };
        content.push(&chunk);
        block.extend_from_slice(&recipe::write(&chunk));
        rest = behind;
    }
    (content.finish(), block)
}

#[cfg(test)]
mod tests {
    use super::super::memory_file::{MemoryFile, random, recipe_of};
    use super::*;
    use proto_core::content::recipe::EMPTY;
    use proto_core::limits::RECIPE_BLOCK_CHUNKS;

    /// Hashes in steps of this budget: the result and the recipe blocks, which must come in order.
    fn hash(file: MemoryFile, size: u64, budget: usize) -> (Hashed, Vec<Vec<u8>>) {
        let mut job = HashJob::new(file, size);
        let mut blocks = vec![];
        loop {
            let step = job.step(budget, &mut |number, bytes| {
                assert_eq!(number as usize, blocks.len());
                blocks.push(bytes.to_vec());
                Ok(())
            });
            if let Progress::Done(hashed) = step.unwrap() {
                return (hashed, blocks);
            }
        }
    }

    #[test]
    fn a_file_has_the_content_and_recipe_of_its_bytes() {
        for len in [0, 1, 16_384, 262_143, 262_144, 262_145, 12_345_678] {
            let bytes = random(len as u64, len);
            let (content, chunks) = recipe_of(&bytes);
            let all: Vec<u8> = chunks.iter().flat_map(recipe::write).collect();
            assert_eq!(content_of(&bytes), (content, all));
            for budget in [0, 100_000, 1 << 20, usize::MAX] {
                // A budget of one byte is only good for small files.
                if budget == 0 && len > 20_000 {
                    continue;
                }
                let (hashed, blocks) = hash(MemoryFile::new(&bytes), len as u64, budget);
                assert_eq!(
                    hashed,
                    Hashed {
                        content,
                        size: len as u64,
                        chunks: chunks.len() as u32
                    }
                );
                let expected: Vec<Vec<u8>> = chunks
                    .chunks(RECIPE_BLOCK_CHUNKS)
                    .map(|block| block.iter().flat_map(recipe::write).collect())
                    .collect();
                assert_eq!(blocks, expected);
            }
        }
    }

    #[test]
    fn the_empty_file_has_no_recipe() {
        let (hashed, blocks) = hash(MemoryFile::new(&[]), 0, 1);
        assert_eq!(
            (hashed, blocks),
            (
                Hashed {
                    content: EMPTY,
                    size: 0,
                    chunks: 0
                },
                vec![]
            )
        );
    }

    #[test]
    fn pieces_are_read_at_their_boundaries() {
        let file = MemoryFile::new(&random(1, 1_000_000));
        hash(file.clone(), 1_000_000, 70_000);
        assert_eq!(file.reads(), [0, 262_144, 524_288, 786_432]);
    }

    #[test]
    fn a_step_keeps_its_budget() {
        let file = MemoryFile::new(&random(1, 3_000_000));
        let mut job = HashJob::new(file.clone(), 3_000_000);
        assert_eq!(
            job.step(300_000, &mut |_, _| Ok(())).unwrap(),
            Progress::More
        );
        assert_eq!(file.reads().len(), 2);
    }

    #[test]
    fn a_changed_size_shows() {
        let bytes = random(1, 600_000);
        assert_eq!(
            hash(MemoryFile::new(&bytes), 700_000, 1 << 20).0.size,
            600_000
        );
        let file = MemoryFile::new(&bytes);
        assert!(hash(file.clone(), 10, 1 << 20).0.size > 10);
        assert!(
            file.reads().len() <= 2,
            "a file that grows is not read for ever"
        );
    }

    #[test]
    fn one_that_grows_after_its_last_read_shows() {
        let bytes = random(1, 600_000);
        let file = MemoryFile::new(&bytes);
        let mut job = HashJob::new(file.clone(), 600_000);
        // All is read, but the job has not ended.
        assert_eq!(
            job.step(600_000, &mut |_, _| Ok(())).unwrap(),
            Progress::More
        );
        assert_eq!(job.after(), None);
        file.write_all_at(600_000, &[1]).unwrap();
        let Progress::Done(hashed) = job.step(1 << 20, &mut |_, _| Ok(())).unwrap() else {
            panic!("all was read");
        };
        assert_eq!(hashed.size, 600_001);
        assert_eq!(job.after().unwrap().size, 600_001);
    }

    #[test]
    fn what_says_to_be_empty_is_read_nevertheless() {
        let file = MemoryFile::new(&random(1, 1000));
        assert!(hash(file.clone(), 0, 1 << 20).0.size > 0);
        assert!(!file.reads().is_empty());
    }

    #[test]
    fn errors_of_disk_and_recipe_come_through() {
        let file = MemoryFile::new(&random(1, 600_000));
        file.fail_reads_from(262_144);
        let mut job = HashJob::new(file, 600_000);
        assert!(job.step(usize::MAX, &mut |_, _| Ok(())).is_err());
        let mut job = HashJob::new(MemoryFile::new(&[1]), 1);
        assert!(
            job.step(2, &mut |_, _| Err(io::ErrorKind::StorageFull.into()))
                .is_err()
        );
    }

    #[test]
    fn what_is_never_in_memory_is_read_nevertheless() {
        let bytes = random(5, 3_000_000);
        let (expected, _) = hash(MemoryFile::new(&bytes), 3_000_000, 1 << 20);
        let file = MemoryFile::new(&bytes);
        file.never_cache();
        let mut job = HashJob::new(file, 3_000_000);
        job.be_patient();
        let mut waits = 0;
        let found = loop {
            match job.step(1 << 20, &mut |_, _| Ok(())).unwrap() {
                Progress::Done(found) => break found,
                Progress::More => waits += u32::from(job.waits()),
            }
        };
        assert_eq!(found, expected);
        assert!((100..1000).contains(&waits), "{waits}");
    }

    /// Hashes without waiting for the disk a file that is in memory in parts only; how often it had to wait.
    fn hash_in_parts(bytes: &[u8], size: u64) -> (Hashed, u32) {
        let file = MemoryFile::new(bytes);
        file.cache_in_part();
        let mut job = HashJob::new(file, size);
        job.be_patient();
        let mut waits = 0;
        loop {
            match job.step(1 << 19, &mut |_, _| Ok(())).unwrap() {
                Progress::Done(found) => return (found, waits),
                Progress::More => waits += u32::from(job.waits()),
            }
        }
    }

    #[test]
    fn what_is_in_memory_in_part_is_read_as_all_of_it() {
        let all = random(6, (16 << 20) + 70_000);
        let piece = super::super::PIECE;
        for len in [
            0,
            1,
            piece,
            (2 << 20) - 1,
            2 << 20,
            (2 << 20) + 1,
            (2 << 20) + 4096,
            (2 << 20) + piece,
            16 << 20,
            (16 << 20) + 1,
        ] {
            let (bytes, size) = (&all[..len], len as u64);
            let (expected, _) = hash(MemoryFile::new(bytes), size, 1 << 20);
            let (found, waits) = hash_in_parts(bytes, size);
            assert_eq!(found, expected, "{len}");
            assert_eq!(waits > 0, len > 2 << 20, "{len}: {waits}");
            assert!(waits as usize <= len / 8192 + 100, "{len}: {waits}");
        }
    }

    #[test]
    fn a_changed_size_shows_without_waiting_too() {
        let all = random(7, 5 << 20);
        let size = 4 << 20;
        for len in [0, 1, 1 << 20, (4 << 20) - 1, (4 << 20) + 1, 5 << 20] {
            assert_ne!(hash_in_parts(&all[..len], size).0.size, size, "{len}");
        }
    }
}
