//! The wire: one file for one message. Byte by byte in docs/protocol.md.

use crate::content::ContentId;
use crate::index::entry::{IndexId, Sequence};

/// Names an object that can be pulled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ObjectId {
    /// The bytes of a content; pieces are its chunks, `start` is the offset in bytes.
    Content(ContentId),
    /// The recipe of a content; `start` is the number of the recipe block.
    Recipe(ContentId),
    /// The journal of an index; `start` is the sequence after which the page begins.
    Journal(IndexId),
}

/// Re-exported so that the journal page can be named with its parts.
pub type After = Sequence;
