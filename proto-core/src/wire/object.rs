//! Objects: what can be pulled (docs/protocol.md, "Request").

use super::bundle_id::BundleId;
use super::cursor::WireError;
use crate::content::ContentId;
use crate::index::entry::IndexId;

/// Names an object that can be pulled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ObjectId {
    /// The bytes of a content; pieces are its chunks, `start` is the offset in bytes.
    Content(ContentId),
    /// The recipe of a content; `start` is the number of the first recipe block.
    Recipe(ContentId),
    /// The journal of an index; `start` is the sequence after which the page begins.
    Journal(IndexId),
    /// Small files of one index in a zip file; `start` is the offset in bytes.
    Bundle(BundleId),
}

impl ObjectId {
    /// The code of its kind.
    #[must_use]
    pub const fn kind(self) -> u8 {
        match self {
            Self::Content(_) => 1,
            Self::Recipe(_) => 2,
            Self::Journal(_) => 3,
            Self::Bundle(_) => 4,
        }
    }

    /// Whether its pieces may travel encoded: all but a recipe's, which is hashes.
    #[must_use]
    pub const fn may_be_encoded(self) -> bool {
        !matches!(self, Self::Recipe(_))
    }

    /// What its pieces have in common, for whoever notes how far those of one sort shrink: those of a content, and those
    /// of all bundles of an index.
    #[must_use]
    pub fn sort(self) -> Option<ContentId> {
        match self {
            Self::Content(content) => Some(content),
            Self::Bundle(bundle) => Some(ContentId(Self::Journal(bundle.index).bytes())),
            Self::Recipe(_) | Self::Journal(_) => None,
        }
    }

    /// Its 32 bytes on the wire.
    #[must_use]
    pub fn bytes(self) -> [u8; 32] {
        match self {
            Self::Content(ContentId(id)) | Self::Recipe(ContentId(id)) => id,
            Self::Journal(IndexId(id)) => {
                let mut bytes = [0; 32];
                bytes
                    .iter_mut()
                    .zip(id.to_be_bytes())
                    .for_each(|(to, from)| *to = from);
                bytes
            }
            Self::Bundle(bundle) => bundle.bytes(),
        }
    }

    /// Back from the wire.
    ///
    /// # Errors
    /// The kind is unknown, a journal's padding is not zero, or no bundle has such a name.
    pub fn from_wire(kind: u8, bytes: [u8; 32]) -> Result<Self, WireError> {
        match kind {
            1 => Ok(Self::Content(ContentId(bytes))),
            2 => Ok(Self::Recipe(ContentId(bytes))),
            3 => match bytes.split_first_chunk::<8>() {
                Some((id, rest)) if rest.iter().all(|byte| *byte == 0) => {
                    Ok(Self::Journal(IndexId(u64::from_be_bytes(*id))))
                }
                _ => Err(WireError::Invalid("object id")),
            },
            4 => BundleId::from_wire(bytes).map(Self::Bundle),
            _ => Err(WireError::Invalid("object kind")),
        }
    }
}
