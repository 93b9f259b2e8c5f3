//! What serving keeps between two datagrams.

use super::encodings::Encodings;
use super::read_ahead::ReadAhead;
use crate::store::Fingerprint;
use proto_core::content::ContentId;
use proto_core::wire::ObjectId;
use std::collections::BTreeSet;

/// Open files kept for serving.
pub const OPEN_FILES: usize = 8;

/// What serving keeps between two datagrams: open files and the piece that is being sent.
#[derive(Debug)]
pub struct Served<F> {
    /// Open files, the longest open first.
    pub open: Vec<OpenContent<F>>,
    /// The piece that was looked up last.
    pub piece: PieceBuffer,
    /// What is not in memory.
    pub read_ahead: ReadAhead,
    /// How pieces are encoded.
    pub encodings: Encodings,
    /// Paths whose file is not any more what the index says.
    pub changed: BTreeSet<Vec<u8>>,
}

/// A file that holds a content.
#[derive(Debug)]
pub struct OpenContent<F> {
    /// Which.
    pub content: ContentId,
    /// Where it was opened, below `share/`.
    pub path: Vec<u8>,
    /// What it has to be still.
    pub fingerprint: Fingerprint,
    /// The file.
    pub file: F,
}

/// The bytes of the piece that was looked up last.
#[derive(Debug, Default)]
pub struct PieceBuffer {
    /// Object, start and length that were asked for.
    pub name: Option<(ObjectId, u64, usize)>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl<F> Default for Served<F> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            piece: PieceBuffer::default(),
            read_ahead: ReadAhead::default(),
            encodings: Encodings::default(),
            changed: BTreeSet::new(),
        }
    }
}

impl<F> Served<F> {
    /// Closes what a path was served from: it is replaced, or was looked at anew.
    pub fn close(&mut self, path: &[u8]) {
        self.open.retain(|open| open.path != path);
        self.piece.name = None;
    }
}
