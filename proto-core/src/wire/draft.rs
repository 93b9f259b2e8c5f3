//! DRAFT: a large file that is being hashed (docs/protocol.md, "Drafts").

use super::Operation;
use super::cursor::{Reader, WireError, Writer};
use crate::content::ContentId;
use crate::limits::{MAX_DRAFT_PATH, RECIPE_BLOCK_CHUNKS};
use crate::path;

/// How far a draft is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// So many chunks of its recipe are known, all in complete blocks.
    Growing(u32),
    /// All of it is hashed.
    Named {
        /// Chunks in its recipe.
        chunks: u32,
        /// What it is.
        content: ContentId,
    },
    /// The file changed, or cannot be read: nothing becomes of it.
    Dropped,
}

impl Stage {
    const GROWING: u8 = 1;
    const NAMED: u8 = 2;
    const DROPPED: u8 = 3;

    fn new(code: u8, chunks: u32, content: ContentId) -> Result<Self, WireError> {
        match code {
            Self::GROWING if chunks.is_multiple_of(RECIPE_BLOCK_CHUNKS as u32) => {
                Ok(Self::Growing(chunks))
            }
            Self::GROWING => Err(WireError::Invalid("chunks")),
            Self::NAMED => Ok(Self::Named { chunks, content }),
            Self::DROPPED => Ok(Self::Dropped),
            _ => Err(WireError::Invalid("stage")),
        }
    }

    fn fields(self) -> (u8, u32, ContentId) {
        match self {
            Self::Growing(chunks) => (Self::GROWING, chunks, ContentId::default()),
            Self::Named { chunks, content } => (Self::NAMED, chunks, content),
            Self::Dropped => (Self::DROPPED, 0, ContentId::default()),
        }
    }
}

/// A large file that its sender is hashing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Draft<'a> {
    /// Which one: each hashing of the sender's has its own.
    pub number: u64,
    /// How far it is.
    pub stage: Stage,
    /// Bytes of the file.
    pub size: u64,
    /// Where it is, at most [`MAX_DRAFT_PATH`] bytes.
    pub path: &'a [u8],
}

impl<'a> Draft<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let code = reader.u8("stage")?;
        let length = usize::from(reader.u16("length of the path")?);
        let chunks = reader.u32("chunks")?;
        let number = reader.u64("number")?;
        let size = reader.u64("size")?;
        let content = ContentId(reader.array("content id")?);
        let path = reader.take(length, "path")?;
        reader.end()?;
        check(path)?;
        Ok(Self {
            number,
            stage: Stage::new(code, chunks, content)?,
            size,
            path,
        })
    }

    /// Writes it; how many bytes it took.
    ///
    /// # Errors
    /// [`WireError::NoRoom`], or [`WireError::Invalid`] for a path that no DRAFT may have.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, WireError> {
        check(self.path)?;
        let length = u16::try_from(self.path.len()).map_err(|_| WireError::Invalid("path"))?;
        let (code, chunks, content) = self.stage.fields();
        let mut writer = Writer::new(out);
        writer.put(&[Operation::DRAFT.0, code])?;
        writer.put(&length.to_be_bytes())?;
        writer.put(&chunks.to_be_bytes())?;
        writer.put(&self.number.to_be_bytes())?;
        writer.put(&self.size.to_be_bytes())?;
        writer.put(&content.0)?;
        writer.put(self.path)?;
        Ok(writer.len())
    }
}

fn check(told: &[u8]) -> Result<(), WireError> {
    if told.len() > MAX_DRAFT_PATH || path::check(told).is_err() {
        return Err(WireError::Invalid("path"));
    }
    Ok(())
}
