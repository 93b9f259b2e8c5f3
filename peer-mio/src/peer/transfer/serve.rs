//! Chunks are served while the content is still in transit (docs/protocol.md, "Several sources").

use super::verify::is_set;
use super::{State, Transfer};
use crate::disk::DiskFile;
use crate::peer::read_ahead::{PieceAt, ReadAhead};
use crate::store::Store;
use proto_core::boundary::Read;

impl<F: DiskFile> Transfer<F> {
    /// Reads a chunk that is here into `bytes`.
    pub fn serve(
        &mut self,
        store: &Store,
        piece: PieceAt,
        read_ahead: &mut ReadAhead,
        bytes: &mut Vec<u8>,
    ) -> Read {
        let (State::Fetch | State::Done, Some(chunks)) = (&self.state, &self.chunks) else {
            return Read::Gone;
        };
        let chunk = match chunks.at(
            store,
            self.content,
            &mut self.block,
            piece.start,
            piece.length,
        ) {
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
        read_ahead.read_whole(piece, &self.file, bytes)
    }
}
