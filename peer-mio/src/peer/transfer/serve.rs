//! Chunks are served while the content is still in transit (docs/protocol.md, "Several sources").

use super::verify::is_set;
use super::{State, Transfer};
use crate::disk::DiskFile;
use crate::peer::objects::read_full;
use crate::store::Store;
use proto_core::boundary::Read;

impl<F: DiskFile> Transfer<F> {
    /// Reads a chunk that is here into `bytes`.
    pub fn serve(&mut self, store: &Store, start: u64, length: usize, bytes: &mut Vec<u8>) -> Read {
        let (State::Fetch | State::Done, Some(chunks)) = (&self.state, &self.chunks) else {
            return Read::Gone;
        };
        let chunk = match chunks.at(store, self.content, &mut self.block, start, length) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Read::Malformed,
            Err(error) => {
                log::warn!("recipe {}: {error}", self.content);
                return Read::Gone;
            }
        };
        if !is_set(&self.verified, chunk) {
            return Read::Gone;
        }
        bytes.resize(length, 0);
        match read_full(&self.file, start, bytes) {
            Ok(read) if read == length => Read::Ready(length),
            _ => Read::Gone,
        }
    }
}
