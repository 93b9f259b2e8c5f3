//! All that crosses between the core and its driver, as plain values and one small trait.

use crate::limits::MAX_PEERS;
use crate::wire::ObjectId;
use crate::wire::encoding::Encoding;

/// A configured peer: its place in the list that the driver gave, below [`MAX_PEERS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct PeerSlot(u8);

impl PeerSlot {
    /// The slot with this place; `None` at or above [`MAX_PEERS`].
    #[must_use]
    pub fn new(place: usize) -> Option<Self> {
        if place < MAX_PEERS {
            u8::try_from(place).ok().map(Self)
        } else {
            None
        }
    }

    /// Its place in the driver's list.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// Bytes of an object that arrived and were asked for; they borrow the datagram that brought them,
/// so that the driver writes them once, from where they lie.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// The pull that asked for them.
    pub pull: PullId,
    /// Where they belong, in bytes from the start of the piece.
    pub at: usize,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// One piece being pulled: a place in the table of pulls and the generation of its use, so that a
/// late answer to an earlier use is recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct PullId {
    /// Place in the table of pulls.
    pub slot: u16,
    /// How often the place was used before.
    pub generation: u16,
}

/// What the network wrote on a datagram's way (RFC 3168).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mark {
    /// Nothing.
    #[default]
    None,
    /// Congestion experienced: a queue on the way is longer than it should be.
    Congestion,
}

/// Datagrams for one peer that lie in the caller's buffer one behind the other: all of
/// `segment_size` bytes, the last one at most that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// To whom.
    pub peer: PeerSlot,
    /// Bytes used in the buffer.
    pub len: usize,
    /// Bytes of each datagram but the last.
    pub segment_size: usize,
    /// Whether they say ECT(0): routers may mark them instead of dropping some.
    pub ecn: bool,
}

/// What a driver answers when the core asks for bytes of an object to serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// The buffer is filled from its start with this many bytes; fewer than asked only at the end
    /// of a journal page or a recipe.
    Ready(usize),
    /// The disk would have to be waited for: ask again later.
    NotYet,
    /// There is no such object here.
    Gone,
    /// The file that held it has changed since it was indexed.
    Changed,
    /// The object has no such range.
    Malformed,
}

/// How a piece may travel, and how fast its puller and all others get what we send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// [`Encoding::ANY`], or the one that the piece was begun in.
    pub encoding: Encoding,
    /// Bytes per second to its puller and to all others who asked lately; `None`: its own are not known.
    pub rate: Option<u64>,
}

/// What the core asks of its driver while it serves.
pub trait Objects {
    /// Length in bytes of the piece of `object` that begins at `start` and is at most `length`
    /// long. A content's piece has just the length that was asked for or is refused.
    fn piece(&mut self, object: ObjectId, start: u64, length: usize) -> Read;

    /// Fills `buffer` with the bytes of the piece (as named to [`Self::piece`]) from `at` on.
    fn read(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        at: usize,
        buffer: &mut [u8],
    ) -> Read;

    /// The encoding in which the piece of a content or a journal (as named to [`Self::piece`], which was
    /// [`Read::Ready`]) is sent, and its length so; `None`: as it is.
    fn encode(
        &mut self,
        _object: ObjectId,
        _start: u64,
        _length: usize,
        _asked: Asked,
    ) -> Option<(Encoding, usize)> {
        None
    }

    /// [`Self::read`] of an encoded piece: the same bytes each time.
    fn read_encoded(
        &mut self,
        _object: ObjectId,
        _start: u64,
        _length: usize,
        _encoding: Encoding,
        _at: usize,
        _buffer: &mut [u8],
    ) -> Read {
        Read::Gone
    }
}
