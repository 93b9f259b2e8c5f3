//! Which files a bundle holds (docs/protocol.md, "Bundles").

use super::cursor::WireError;
use crate::index::entry::{IndexId, Sequence};

/// Names a bundle: the files that one index tells of under up to [`BundleId::SPAN`] sequences.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct BundleId {
    /// Whose index.
    pub index: IndexId,
    /// The first sequence; never 0.
    pub first: Sequence,
    /// Bit i, the most significant first, stands for `first` + i; bit 0 is set.
    wanted: [u8; 16],
}

impl BundleId {
    /// How many sequences a bundle may reach over.
    pub const SPAN: u64 = 128;

    /// The bundle with one file; `None` for sequence 0, which no file has.
    #[must_use]
    pub fn new(index: IndexId, first: Sequence) -> Option<Self> {
        let mut wanted = [0; 16];
        if let Some(byte) = wanted.first_mut() {
            *byte = 0x80;
        }
        (first != 0).then_some(Self {
            index,
            first,
            wanted,
        })
    }

    /// Byte and bit of a sequence; `None` if it is out of reach.
    fn place(&self, sequence: Sequence) -> Option<(usize, u8)> {
        let place = sequence
            .checked_sub(self.first)
            .filter(|place| *place < Self::SPAN)? as usize;
        Some((place / 8, 0x80 >> (place % 8)))
    }

    /// Adds a sequence; false if it is out of reach.
    pub fn insert(&mut self, sequence: Sequence) -> bool {
        let Some((byte, bit)) = self.place(sequence) else {
            return false;
        };
        if let Some(byte) = self.wanted.get_mut(byte) {
            *byte |= bit;
        }
        true
    }

    /// Whether the file of this sequence is in it.
    #[must_use]
    pub fn contains(&self, sequence: Sequence) -> bool {
        self.place(sequence)
            .is_some_and(|(byte, bit)| self.wanted.get(byte).is_some_and(|byte| byte & bit != 0))
    }

    /// All its sequences, in ascending order.
    pub fn sequences(self) -> impl Iterator<Item = Sequence> {
        (0..Self::SPAN)
            .filter_map(move |place| self.first.checked_add(place))
            .filter(move |sequence| self.contains(*sequence))
    }

    /// How many files it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wanted
            .iter()
            .map(|byte| byte.count_ones() as usize)
            .sum()
    }

    /// Never: a bundle names at least one file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Its 32 bytes on the wire.
    #[must_use]
    pub fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let fields = self.index.0.to_be_bytes().into_iter();
        let fields = fields.chain(self.first.to_be_bytes()).chain(self.wanted);
        bytes
            .iter_mut()
            .zip(fields)
            .for_each(|(to, from)| *to = from);
        bytes
    }

    /// Back from the wire.
    ///
    /// # Errors
    /// The first sequence is 0 or not wanted, or one is beyond the last that there can be.
    pub fn from_wire(bytes: [u8; 32]) -> Result<Self, WireError> {
        let (index, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or(WireError::Invalid("object id"))?;
        let (first, wanted) = rest
            .split_first_chunk::<8>()
            .ok_or(WireError::Invalid("object id"))?;
        let bundle = Self {
            index: IndexId(u64::from_be_bytes(*index)),
            first: u64::from_be_bytes(*first),
            wanted: wanted
                .try_into()
                .map_err(|_| WireError::Invalid("object id"))?,
        };
        // Without a bit there are more zeros than places.
        let behind = u64::from(u128::from_be_bytes(bundle.wanted).trailing_zeros());
        let last = (Self::SPAN - 1).saturating_sub(behind);
        if bundle.first == 0
            || !bundle.contains(bundle.first)
            || bundle.first.checked_add(last).is_none()
        {
            return Err(WireError::Invalid("object id"));
        }
        Ok(bundle)
    }
}
