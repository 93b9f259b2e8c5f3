//! Drafts: large files that are being hashed, under a name of their own (docs/protocol.md, "Drafts").

use super::ContentId;
use crate::index::entry::IndexId;

const DOMAIN: &[u8] = b"tinypeer draft 1";

/// By what a draft is asked for: made from who tells of it and its number, so that nobody can tell of one under the id of a
/// content.
#[must_use]
pub fn id(source: IndexId, number: u64) -> ContentId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN);
    hasher.update(&source.0.to_be_bytes());
    hasher.update(&number.to_be_bytes());
    ContentId(*hasher.finalize().as_bytes())
}
