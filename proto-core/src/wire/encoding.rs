//! How the bytes of a piece travel (docs/protocol.md, "Encodings").

/// A piece's encoding, as REQUEST and BLOCK name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct Encoding(pub u8);

impl Encoding {
    /// As it is.
    pub const NONE: Self = Self(0);
    /// DEFLATE with little effort.
    pub const FAST: Self = Self(1);
    /// DEFLATE with more effort.
    pub const SMALL: Self = Self(2);
    /// In a REQUEST: as the server likes.
    pub const ANY: Self = Self(255);

    /// Whether it makes a piece shorter: one that a BLOCK may name besides [`Self::NONE`].
    #[must_use]
    pub fn is_shorter(self) -> bool {
        matches!(self, Self::FAST | Self::SMALL)
    }
}
