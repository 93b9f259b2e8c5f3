//! Copying the chunks of a content that other files hold, wherever they lie there (docs/architecture.md,
//! "Deltas"). What was copied is read back and hashed: only then does it count.

#[cfg(test)]
mod tests;

use super::patience::Patience;
use super::{CHUNK_COST, Progress, fill};
use crate::disk::DiskFile;
use proto_core::content::recipe::hash_chunk;
use proto_core::content::{ChunkHash, ChunkRef, ContentId};
use proto_core::limits::MAX_PIECE;
use std::io;

/// Chunks that are looked for at a time: 384 KiB. A content of more goes through the sources' recipes once for
/// each so many.
const MOST: usize = 16 * 1024;
/// Chunks that lie one behind the other in both files are copied together, up to so many and so many bytes.
const RUN_CHUNKS: usize = 64;
const RUN_BYTES: u64 = 4 * 1024 * 1024;
/// A copy that begins at the same place of a block of both files shares the blocks where the file system can.
const BLOCK: u64 = 4096;

/// A file that may hold chunks of the content.
#[derive(Debug)]
pub struct Source<F> {
    /// It.
    pub file: F,
    /// What it holds, by the index. The recipe of that is in the store.
    pub content: ContentId,
    /// Bytes of that.
    pub size: u64,
}

/// The recipes: the chunk with a place in that of a content, `None` behind the last.
pub type Recipes<'a> = dyn FnMut(ContentId, u32) -> io::Result<Option<ChunkRef>> + 'a;

/// What is known of a content's chunks.
pub trait Chunks {
    /// Whether this one is here and verified.
    fn is_here(&self, place: u32) -> bool;
    /// This one is here now, of so many bytes.
    fn came(&mut self, place: u32, len: u32);
}

/// Copies what it finds. Memory: 384 KiB, and the longest chunk.
#[derive(Debug)]
pub struct DeltaJob<F> {
    content: ContentId,
    to: F,
    sources: Vec<Source<F>>,
    buffer: Vec<u8>,
    /// What is looked for, by key.
    wanted: Vec<Wanted>,
    phase: Phase,
    /// The first chunk of the content that was not looked at yet.
    next: u32,
    next_start: u64,
    run: Run,
    /// With the source that is walked.
    patience: Patience,
    /// Whether the kernel copies.
    by_kernel: bool,
}

/// A chunk that is looked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// The begin of its hash.
    key: u64,
    place: u32,
    start: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Chunks that are not here are gathered.
    Gather,
    /// The recipe of a source is walked.
    Walk {
        source: usize,
        place: u32,
        start: u64,
    },
}

/// Chunks that lie one behind the other in both files.
#[derive(Debug, Default)]
struct Run {
    from: u64,
    to: u64,
    len: u64,
    chunks: Vec<(u32, ChunkRef)>,
}

/// What became of a chunk of a source.
enum Taken {
    /// It is wherever it belongs, or was not wanted.
    All,
    /// It belongs to further places.
    Part,
    /// The disk would have to be waited for.
    NotYet,
    /// The source cannot be read.
    SourceFailed,
}

/// What went wrong with a copy.
enum Failure {
    /// The source: it is left alone.
    Source(io::Error),
    /// The file that gathers the content.
    Target(io::Error),
}

impl<F: DiskFile> DeltaJob<F> {
    /// A job that copies to `to` what the sources hold of a content. Those that come first are asked first.
    pub fn new(content: ContentId, to: F, sources: Vec<Source<F>>) -> Self {
        Self {
            content,
            to,
            sources,
            buffer: Vec::new(),
            wanted: Vec::new(),
            phase: Phase::Gather,
            next: 0,
            next_start: 0,
            run: Run::default(),
            patience: Patience::default(),
            by_kernel: true,
        }
    }

    /// Whether the last step ended because the disk would have had to be waited for: the next one is worth it a little later.
    pub fn waits(&self) -> bool {
        self.patience.waits()
    }

    /// Goes on for about `budget_bytes`. What a source does not hold, or not any more, is passed over.
    ///
    /// # Errors
    /// Those of writing and of the recipes.
    pub fn step(
        &mut self,
        budget_bytes: usize,
        recipes: &mut Recipes<'_>,
        chunks: &mut dyn Chunks,
    ) -> io::Result<Progress<()>> {
        let mut budget = budget_bytes.max(1);
        while budget > 0 {
            let cost = match self.phase {
                Phase::Gather => self.gather_next(recipes, chunks)?,
                Phase::Walk {
                    source,
                    place,
                    start,
                } => self.walk_next(source, place, start, recipes, chunks)?,
            };
            let Some(cost) = cost else {
                return Ok(Progress::Done(()));
            };
            budget = budget.saturating_sub(cost.saturating_add(CHUNK_COST));
        }
        Ok(Progress::More)
    }

    /// Looks at one chunk of the content. `None`: all of them have been looked for.
    fn gather_next(
        &mut self,
        recipes: &mut Recipes<'_>,
        chunks: &dyn Chunks,
    ) -> io::Result<Option<usize>> {
        let chunk = if self.wanted.len() < MOST {
            recipes(self.content, self.next)?
        } else {
            None
        };
        if let Some(chunk) = chunk {
            if !chunks.is_here(self.next) {
                self.wanted.push(Wanted {
                    key: key(&chunk),
                    place: self.next,
                    start: self.next_start,
                });
            }
            self.next = self.next.saturating_add(1);
            self.next_start = self.next_start.saturating_add(u64::from(chunk.len));
            return Ok(Some(0));
        }
        if self.wanted.is_empty() {
            return Ok(None);
        }
        self.wanted
            .sort_unstable_by_key(|wanted| (wanted.key, wanted.place));
        self.walk(0);
        Ok(Some(0))
    }

    /// Looks at one chunk of a source.
    fn walk_next(
        &mut self,
        number: usize,
        place: u32,
        start: u64,
        recipes: &mut Recipes<'_>,
        chunks: &mut dyn Chunks,
    ) -> io::Result<Option<usize>> {
        let Some(source) = self.sources.get(number) else {
            self.wanted.clear();
            self.phase = Phase::Gather;
            return Ok(Some(0));
        };
        let chunk = recipes(source.content, place)?;
        let Some(chunk) = chunk.filter(|chunk| chunk.len as usize <= MAX_PIECE) else {
            let (_, cost) = self.end_run(number, chunks)?;
            self.walk(number + 1);
            return Ok(Some(cost));
        };
        let next = Phase::Walk {
            source: number,
            place: place.saturating_add(1),
            start: start.saturating_add(u64::from(chunk.len)),
        };
        let (taken, cost) = self.take_chunk(number, start, chunk, recipes, chunks)?;
        match taken {
            Taken::All => self.phase = next,
            // The same chunk again.
            Taken::Part | Taken::NotYet => {}
            Taken::SourceFailed => self.walk(number + 1),
        }
        Ok(Some(cost))
    }

    /// Begins with a source.
    fn walk(&mut self, source: usize) {
        let size = self.sources.get(source).map_or(0, |source| source.size);
        self.patience = Patience::new(size);
        self.phase = Phase::Walk {
            source,
            place: 0,
            start: 0,
        };
    }

    /// A chunk of a source: it goes wherever the content has it. What was done, and what it cost.
    fn take_chunk(
        &mut self,
        number: usize,
        start: u64,
        chunk: ChunkRef,
        recipes: &mut Recipes<'_>,
        chunks: &mut dyn Chunks,
    ) -> io::Result<(Taken, usize)> {
        let key = key(&chunk);
        let first = self.wanted.partition_point(|wanted| wanted.key < key);
        let alone = self
            .wanted
            .get(first + 1)
            .is_none_or(|next| next.key != key);
        let (mut cost, mut at) = (0, first);
        while let Some(wanted) = self
            .wanted
            .get(at)
            .copied()
            .filter(|found| found.key == key)
        {
            at += 1;
            if chunks.is_here(wanted.place) || self.run.has(wanted.place) {
                continue;
            }
            if recipes(self.content, wanted.place)? != Some(chunk) {
                continue;
            }
            if !self.is_in_memory(number, start, chunk.len) {
                // No more in this slice.
                return Ok((Taken::NotYet, usize::MAX));
            }
            if !self.run.goes_on(start, wanted.start) {
                let (well, spent) = self.end_run(number, chunks)?;
                cost += spent;
                if !well {
                    return Ok((Taken::SourceFailed, cost));
                }
            }
            self.run.add(start, wanted, chunk);
            if alone {
                break;
            }
            // It belongs to several places: if it is not here, that is found out only once.
            let (well, spent) = self.end_run(number, chunks)?;
            cost += spent;
            if !well {
                return Ok((Taken::SourceFailed, cost));
            }
            if !chunks.is_here(wanted.place) {
                break;
            }
            if cost as u64 >= RUN_BYTES {
                return Ok((Taken::Part, cost));
            }
        }
        Ok((Taken::All, cost))
    }

    fn is_in_memory(&mut self, number: usize, start: u64, len: u32) -> bool {
        let source = self.sources.get(number);
        source.is_none_or(|source| self.patience.has(&source.file, start, u64::from(len)))
    }

    /// Copies the run and verifies what came: whether the source could be read, and what it cost.
    fn end_run(&mut self, number: usize, chunks: &mut dyn Chunks) -> io::Result<(bool, usize)> {
        let run = std::mem::take(&mut self.run);
        if run.len == 0 {
            return Ok((true, 0));
        }
        let copied = self.copy(number, &run);
        // Also what a source gave before it failed.
        let verified = self.verify(&run, chunks);
        let cost = usize::try_from(run.len).unwrap_or(usize::MAX);
        match copied.and(verified) {
            Ok(()) => Ok((true, cost)),
            Err(Failure::Source(error)) => {
                log::debug!("a file that is here cannot be read: {error}");
                Ok((false, cost))
            }
            Err(Failure::Target(error)) => Err(error),
        }
    }

    fn copy(&mut self, number: usize, run: &Run) -> Result<(), Failure> {
        let Some(source) = self.sources.get(number) else {
            return Ok(());
        };
        let mut done = 0;
        while done < run.len {
            let (from, to) = (run.from + done, run.to + done);
            // Up to the next block, if from there on both are at the begin of one.
            let to_block = (BLOCK - from % BLOCK) % BLOCK;
            let most = if from % BLOCK == to % BLOCK && to_block > 0 {
                to_block.min(run.len - done)
            } else {
                run.len - done
            };
            if self.by_kernel {
                let len = usize::try_from(most).unwrap_or(usize::MAX);
                match self.to.copy_from(&source.file, from, to, len) {
                    Ok(0) => return Ok(()),
                    Ok(copied) => done += copied as u64,
                    // What is really wrong shows below.
                    Err(_) => self.by_kernel = false,
                }
                continue;
            }
            self.buffer.resize(super::PIECE, 0);
            let len = super::PIECE.min(usize::try_from(run.len - done).unwrap_or(usize::MAX));
            let buffer = self.buffer.get_mut(..len).unwrap_or_default();
            let came = fill(&source.file, from, buffer).map_err(Failure::Source)?;
            if came == 0 {
                return Ok(());
            }
            let part = buffer.get(..came).unwrap_or_default();
            self.to.write_all_at(to, part).map_err(Failure::Target)?;
            done += came as u64;
        }
        Ok(())
    }

    /// Reads back what was copied.
    fn verify(&mut self, run: &Run, chunks: &mut dyn Chunks) -> Result<(), Failure> {
        let mut start = run.to;
        for (place, chunk) in &run.chunks {
            let len = chunk.len as usize;
            if self.buffer.len() < len {
                self.buffer.resize(len, 0);
            }
            let buffer = self.buffer.get_mut(..len).unwrap_or_default();
            let came = fill(&self.to, start, buffer).map_err(Failure::Target)?;
            if came == len && hash_chunk(buffer) == chunk.hash {
                chunks.came(*place, chunk.len);
            }
            start += u64::from(chunk.len);
        }
        self.to.start_writeback(run.to, run.len);
        Ok(())
    }
}

impl Run {
    fn goes_on(&self, from: u64, to: u64) -> bool {
        self.len > 0
            && self.len < RUN_BYTES
            && self.chunks.len() < RUN_CHUNKS
            && (self.from + self.len, self.to + self.len) == (from, to)
    }

    fn has(&self, place: u32) -> bool {
        self.chunks.iter().any(|(held, _)| *held == place)
    }

    fn add(&mut self, from: u64, wanted: Wanted, chunk: ChunkRef) {
        if self.len == 0 {
            (self.from, self.to) = (from, wanted.start);
        }
        self.len += u64::from(chunk.len);
        self.chunks.push((wanted.place, chunk));
    }
}

/// What chunks are found by.
fn key(chunk: &ChunkRef) -> u64 {
    let ChunkHash(hash) = &chunk.hash;
    hash.first_chunk()
        .map_or(0, |begin| u64::from_be_bytes(*begin))
}
