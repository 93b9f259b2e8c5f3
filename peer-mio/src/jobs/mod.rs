//! Work that can take long, done in slices: a job is stepped with a budget of bytes and gives the loop
//! back. Its buffers are allocated once and go with it.

pub mod archive;
pub mod copy;
pub mod delta;
pub mod encode;
pub mod file_stream;
pub mod hash;
pub mod pack;
pub mod unpack;
pub mod verify;

#[cfg(test)]
pub(crate) mod memory_file;
mod patience;
mod piece_reader;

use proto_core::content::ChunkRef;
use proto_core::limits::MAX_PIECE;
use proto_core::time::Duration;
use std::io;

/// How far a step of a job came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress<T> {
    /// The budget is used up; step again.
    More,
    /// The job is done; stepping it again has no meaning.
    Done(T),
}

/// Files are read and written in pieces of this many bytes that begin at multiples of it: other sizes
/// and places are several times slower on some disks.
const PIECE: usize = 256 * 1024;

/// Until the disk has something more of a file that it was asked to read ahead.
pub const DISK_PAUSE: Duration = Duration::from_millis(2);

/// What one chunk costs of the budget besides its bytes, so that a slice of very small chunks is not
/// longer than one of large chunks.
const CHUNK_COST: usize = 1024;

/// Reads until the buffer is full or the file ends: how many bytes came.
pub(crate) fn fill<F: crate::disk::DiskFile>(
    file: &F,
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let came = file.read_at(offset.saturating_add(filled as u64), rest)?;
        if came == 0 {
            break;
        }
        filled += came;
    }
    Ok(filled)
}

/// The chunk with this index, from the job that is under way with it or else from the recipe; an error
/// if no chunk can have its length.
fn expect_chunk(
    under_way: &mut Option<ChunkRef>,
    index: u32,
    chunks: &mut impl FnMut(u32) -> io::Result<Option<ChunkRef>>,
) -> io::Result<Option<ChunkRef>> {
    if under_way.is_none() {
        *under_way = chunks(index)?;
    }
    match *under_way {
        Some(ChunkRef { len, .. }) if len == 0 || len as usize > MAX_PIECE => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("chunk {index} of {len} bytes in a recipe"),
        )),
        chunk => Ok(chunk),
    }
}
