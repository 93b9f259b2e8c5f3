//! REQUEST: wanted pieces of one object, each with a bitmap of its wanted segments (docs/protocol.md, "Request").

use super::cursor::{Reader, WireError, Writer};
use super::encoding::Encoding;
use super::{ObjectId, Operation};
use crate::limits::{MAX_DATAGRAM, MAX_PIECE};
use crate::storage::segment_bitmap::{MAX_BITMAP_BYTES, MAX_SEGMENTS, SegmentBitmap};

/// Most items of one REQUEST.
pub const MAX_REQUEST_ITEMS: u8 = 32;

/// Bytes of an item before its bitmap.
const ITEM_HEAD: usize = 16;
/// Where the count of items stands.
const COUNT_AT: usize = 2;
/// Where the rate stands.
const RATE_AT: usize = 6;
/// Bytes per second in one unit of the rate.
const RATE_UNIT: u64 = 65_536;

/// Wanted pieces of one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    object: ObjectId,
    segment: u16,
    rate: u16,
    items: &'a [u8],
}

/// One wanted piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestItem<'a> {
    /// Chosen by the puller, comes back in each BLOCK and REFUSE.
    pub tag: u32,
    /// Where the piece begins: see [`ObjectId`].
    pub start: u64,
    /// How the piece may travel.
    pub encoding: Encoding,
    /// Its length in bytes, for recipes and journals the most that is wanted: 1 to [`MAX_PIECE`].
    pub length: u32,
    /// Bitmap of the wanted segments.
    pub wanted: &'a [u8],
}

impl<'a> Request<'a> {
    /// What is wanted pieces of.
    #[must_use]
    pub fn object(&self) -> ObjectId {
        self.object
    }

    /// Bytes of each segment but the last of a piece: 1 to [`MAX_DATAGRAM`].
    #[must_use]
    pub fn segment(&self) -> u16 {
        self.segment
    }

    /// Bytes per second that the puller measured of whom it asks, rounded up; `None`: not known.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        match self.rate {
            0 => None,
            u16::MAX => Some(u64::MAX),
            units => Some(u64::from(units) * RATE_UNIT),
        }
    }

    /// The wanted pieces; they were checked when the message was read.
    pub fn items(&self) -> impl Iterator<Item = RequestItem<'a>> + use<'a> {
        let segment = self.segment;
        let mut reader = Reader::new(self.items);
        core::iter::from_fn(move || item(&mut reader, segment).ok())
    }

    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let kind = reader.u8("object kind")?;
        let count = reader.u8("item count")?;
        reader.u8("reserved")?;
        let segment = reader.u16("segment")?;
        let rate = reader.u16("rate")?;
        let object = ObjectId::from_wire(kind, reader.array("object id")?)?;
        check_segment(segment)?;
        if count == 0 || count > MAX_REQUEST_ITEMS {
            return Err(WireError::Invalid("item count"));
        }
        let items = reader.rest();
        let mut checked = Reader::new(items);
        for _ in 0..count {
            item(&mut checked, segment)?;
        }
        checked.end()?;
        Ok(Self {
            object,
            segment,
            rate,
            items,
        })
    }
}

fn check_segment(segment: u16) -> Result<(), WireError> {
    if segment == 0 || usize::from(segment) > MAX_DATAGRAM {
        return Err(WireError::Invalid("segment"));
    }
    Ok(())
}

/// Segments of a piece of this length.
fn segments(length: u32, segment: u16) -> Result<usize, WireError> {
    let length = length as usize;
    if length == 0 || length > MAX_PIECE {
        return Err(WireError::Invalid("length"));
    }
    match length.div_ceil(usize::from(segment.max(1))) {
        segments @ ..=MAX_SEGMENTS => Ok(segments),
        _ => Err(WireError::Invalid("segment")),
    }
}

fn item<'a>(reader: &mut Reader<'a>, segment: u16) -> Result<RequestItem<'a>, WireError> {
    let tag = reader.u32("tag")?;
    let start = reader.u64("start")?;
    let [encoding, length @ ..] = reader.u32("length")?.to_be_bytes();
    let [high, middle, low] = length;
    let length = u32::from_be_bytes([0, high, middle, low]);
    let segments = segments(length, segment)?;
    let wanted = reader.take(segments.div_ceil(8), "bitmap")?;
    let bits = SegmentBitmap::read(wanted).ok_or(WireError::Invalid("bitmap"))?;
    if bits.is_empty() || bits.iter().any(|place| place >= segments) {
        return Err(WireError::Invalid("bitmap"));
    }
    Ok(RequestItem {
        tag,
        start,
        encoding: Encoding(encoding),
        length,
        wanted,
    })
}

/// Writes a REQUEST item by item.
#[derive(Debug)]
pub struct RequestWriter<'a> {
    writer: Writer<'a>,
    segment: u16,
    count: u8,
}

impl<'a> RequestWriter<'a> {
    /// A REQUEST without items yet.
    ///
    /// # Errors
    /// [`WireError::NoRoom`]; `Invalid`: segments of this many bytes cannot be asked for.
    pub fn new(out: &'a mut [u8], object: ObjectId, segment: u16) -> Result<Self, WireError> {
        check_segment(segment)?;
        let mut writer = Writer::new(out);
        writer.put(&[Operation::REQUEST.0, object.kind(), 0, 0])?;
        writer.put(&segment.to_be_bytes())?;
        writer.put(&[0, 0])?;
        writer.put(&object.bytes())?;
        Ok(Self {
            writer,
            segment,
            count: 0,
        })
    }

    /// Tells what was measured of whom it goes to, in bytes per second; `None`: it is not known.
    pub fn set_rate(&mut self, rate: Option<u64>) {
        let units = rate.map_or(0, |rate| rate.div_ceil(RATE_UNIT).max(1));
        let units = u16::try_from(units).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(field) = self.writer.written().get_mut(RATE_AT..RATE_AT + 2) {
            field.copy_from_slice(&units);
        }
    }

    /// Whether an item with this many segments fits.
    #[must_use]
    pub fn has_room(&self, segments: usize) -> bool {
        self.count < MAX_REQUEST_ITEMS && self.writer.room() >= ITEM_HEAD + segments.div_ceil(8)
    }

    /// [`Self::push_encoded`] of a piece that is wanted as it is.
    ///
    /// # Errors
    /// The same.
    pub fn push(
        &mut self,
        tag: u32,
        start: u64,
        length: u32,
        segments: usize,
        wanted: &SegmentBitmap,
    ) -> Result<(), WireError> {
        self.push_encoded(tag, (start, length), Encoding::NONE, segments, wanted)
    }

    /// Adds a piece (where it begins, its length) of `segments` segments, of which those in `wanted` are wanted.
    ///
    /// # Errors
    /// [`WireError::NoRoom`]: full; `Invalid`: no piece that can be asked for. Either adds nothing.
    pub fn push_encoded(
        &mut self,
        tag: u32,
        (start, length): (u64, u32),
        encoding: Encoding,
        segments: usize,
        wanted: &SegmentBitmap,
    ) -> Result<(), WireError> {
        if segments != self::segments(length, self.segment)? {
            return Err(WireError::Invalid("length"));
        }
        let mut bits = [0; MAX_BITMAP_BYTES];
        let bits = wanted
            .write(segments, &mut bits)
            .and_then(|len| bits.get(..len))
            .filter(|bits| bits.iter().any(|byte| *byte != 0))
            .ok_or(WireError::Invalid("bitmap"))?;
        if !self.has_room(segments) {
            return Err(WireError::NoRoom);
        }
        self.writer.put(&tag.to_be_bytes())?;
        self.writer.put(&start.to_be_bytes())?;
        let [_, length @ ..] = length.to_be_bytes();
        self.writer.put(&[encoding.0])?;
        self.writer.put(&length)?;
        self.writer.put(bits)?;
        self.count += 1;
        Ok(())
    }

    /// Whether no item was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The length of the message.
    #[must_use]
    pub fn finish(mut self) -> usize {
        if let Some(count) = self.writer.written().get_mut(COUNT_AT) {
            *count = self.count;
        }
        self.writer.len()
    }
}
