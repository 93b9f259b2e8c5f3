//! Verifying a partial file against its recipe, so that no verified chunk is asked for again.

use super::piece_reader::PieceReader;
use super::{CHUNK_COST, Progress, expect_chunk};
use crate::disk::DiskFile;
use proto_core::content::ChunkRef;
use proto_core::content::recipe::ChunkHasher;
use std::io;

/// Verifies one open file. Memory: 256 KiB.
#[derive(Debug)]
pub struct VerifyJob<F> {
    reader: PieceReader<F>,
    hasher: ChunkHasher,
    expected: Option<ChunkRef>,
    index: u32,
}

impl<F: DiskFile> VerifyJob<F> {
    /// A job for a file that may hold some chunks of a content of `size` bytes, each at its offset.
    pub fn new(file: F, size: u64) -> Self {
        let mut reader = PieceReader::new(file, size);
        reader.be_patient();
        Self {
            reader,
            hasher: ChunkHasher::new(),
            expected: None,
            index: 0,
        }
    }

    /// Whether the last step ended because the disk would have had to be waited for: the next one is worth it a little later.
    pub fn waits(&self) -> bool {
        self.reader.waits()
    }

    /// Verifies up to `budget_bytes` (at least 1). `chunks` gives the recipe's chunk with an index,
    /// `None` behind the last; `report` is told of each chunk in order its index, its length, and whether the file has
    /// its bytes.
    ///
    /// Where the file ends first, the chunk that it breaks off in or before is reported as missing and
    /// the job is done: those behind are missing too and not reported. `Done` has the number of chunks
    /// that were reported.
    ///
    /// # Errors
    /// Those of reading and of `chunks`, `InvalidData` for a chunk of an impossible length; the job
    /// cannot go on after one.
    pub fn step(
        &mut self,
        budget_bytes: usize,
        chunks: &mut impl FnMut(u32) -> io::Result<Option<ChunkRef>>,
        report: &mut impl FnMut(u32, u32, bool),
    ) -> io::Result<Progress<u32>> {
        let mut budget = budget_bytes.max(1);
        while budget > 0 {
            let Some(expected) = expect_chunk(&mut self.expected, self.index, chunks)? else {
                return Ok(Progress::Done(self.index));
            };
            let piece = match self.reader.peek() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::More);
                }
                piece => piece?,
            };
            if piece.is_empty() {
                report(self.index, expected.len, false);
                return Ok(Progress::Done(self.index.saturating_add(1)));
            }
            let missing = expected.len.saturating_sub(self.hasher.len()) as usize;
            let part = piece.get(..missing.min(budget)).unwrap_or(piece);
            self.hasher.push(part);
            budget -= part.len();
            let taken = part.len();
            self.reader.take(taken);
            if taken == missing {
                report(self.index, expected.len, self.hasher.finish() == expected);
                self.index = self.index.saturating_add(1);
                self.expected = None;
                budget = budget.saturating_sub(CHUNK_COST);
            }
        }
        Ok(Progress::More)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory_file::{MemoryFile, random, recipe_of};
    use super::*;
    use proto_core::content::ChunkHash;

    fn verify(file: MemoryFile, chunks: &[ChunkRef], budget: usize) -> Vec<bool> {
        let size = chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        let mut job = VerifyJob::new(file, size);
        let mut reported = vec![];
        loop {
            let step = job.step(
                budget,
                &mut |index| Ok(chunks.get(index as usize).copied()),
                &mut |index, _, ok| {
                    assert_eq!(index as usize, reported.len());
                    reported.push(ok);
                },
            );
            if let Progress::Done(count) = step.unwrap() {
                assert_eq!(count as usize, reported.len());
                return reported;
            }
        }
    }

    #[test]
    fn each_chunk_is_judged_by_its_own_bytes() {
        let mut bytes = random(1, 3_000_000);
        let (_, chunks) = recipe_of(&bytes);
        assert!(chunks.len() > 20);
        for budget in [10_000, 262_144, usize::MAX] {
            assert!(
                verify(MemoryFile::new(&bytes), &chunks, budget)
                    .iter()
                    .all(|&ok| ok)
            );
        }
        // One bit in the last byte of chunk 2 and a hole over all of chunk 5.
        let start = |index: usize| {
            chunks[..index]
                .iter()
                .map(|chunk| chunk.len as usize)
                .sum::<usize>()
        };
        bytes[start(3) - 1] ^= 1;
        bytes[start(5)..start(6)].fill(0);
        let expected: Vec<bool> = (0..chunks.len())
            .map(|index| ![2, 5].contains(&index))
            .collect();
        for budget in [10_000, 262_144, usize::MAX] {
            assert_eq!(verify(MemoryFile::new(&bytes), &chunks, budget), expected);
        }
    }

    #[test]
    fn what_is_never_in_memory_is_read_nevertheless() {
        let bytes = random(1, 3_000_000);
        let file = MemoryFile::new(&bytes);
        file.never_cache();
        let good = verify(file, &recipe_of(&bytes).1, 1 << 20);
        assert!(good.iter().all(|&good| good));
    }

    #[test]
    fn it_ends_with_the_file_or_the_recipe() {
        let bytes = random(1, 1_000_000);
        let (_, chunks) = recipe_of(&bytes);
        let first = chunks[0].len as usize;
        assert_eq!(verify(MemoryFile::new(&[]), &chunks, 1), [false]);
        assert_eq!(
            verify(MemoryFile::new(&bytes[..first]), &chunks, 1 << 20),
            [true, false]
        );
        assert_eq!(
            verify(MemoryFile::new(&bytes[..first + 1]), &chunks, 1 << 20),
            [true, false]
        );
        assert_eq!(
            verify(MemoryFile::new(&bytes), &chunks[..2], 1 << 20),
            [true, true]
        );
        assert_eq!(verify(MemoryFile::new(&bytes), &[], 1), Vec::<bool>::new());
    }

    #[test]
    fn impossible_chunks_and_failing_reads_are_errors() {
        let step = |file: MemoryFile, len| {
            let chunk = ChunkRef {
                len,
                hash: ChunkHash::default(),
            };
            VerifyJob::new(file, 1).step(usize::MAX, &mut |_| Ok(Some(chunk)), &mut |_, _, _| {})
        };
        assert!(step(MemoryFile::new(&[1]), 0).is_err());
        assert!(step(MemoryFile::new(&[1]), u32::MAX).is_err());
        let file = MemoryFile::new(&[1]);
        file.fail_reads_from(0);
        assert!(step(file, 1).is_err());
    }
}
