//! The wire: one file for one message. Byte by byte in docs/protocol.md.
//!
//! | operation | message | file | section |
//! |---|---|---|---|
//! | 1 | ANNOUNCE | announce.rs | 6 |
//! | 2 | REQUEST | request.rs | 7 |
//! | 3 | BLOCK | block.rs | 8 |
//! | 4 | HAVE | have.rs | 9 |
//! | 5 | REFUSE | refuse.rs | 10 |
//! | 6 | GOODBYE | goodbye.rs | 11 |
//! | 7 | PROBE | path_probe.rs | 18 |
//! | 8 | PADDING | path_probe.rs | 18 |
//! | 9 | DRAFT | draft.rs | 22 |

pub mod announce;
pub mod block;
mod bundle_id;
pub mod cursor;
pub mod draft;
pub mod encoding;
pub mod entry;
pub mod goodbye;
pub mod have;
mod object;
pub mod page;
pub mod path_probe;
mod print;
pub mod refuse;
pub mod request;

use announce::Announce;
use block::Block;
pub use bundle_id::BundleId;
use cursor::Reader;
pub use cursor::WireError;
use draft::Draft;
use have::Have;
pub use object::ObjectId;
use path_probe::{Padding, Probe};
use refuse::Refuse;
use request::Request;

/// Says what a message is: its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation(pub u8);

impl Operation {
    /// What a peer has.
    pub const ANNOUNCE: Self = Self(1);
    /// Wanted pieces of an object.
    pub const REQUEST: Self = Self(2);
    /// One segment of a piece.
    pub const BLOCK: Self = Self(3);
    /// Chunks held of a content in transit.
    pub const HAVE: Self = Self(4);
    /// A piece that is not served, and why.
    pub const REFUSE: Self = Self(5);
    /// The sender ends.
    pub const GOODBYE: Self = Self(6);
    /// Wants a datagram of a size.
    pub const PROBE: Self = Self(7);
    /// That datagram.
    pub const PADDING: Self = Self(8);
    /// A large file that is being hashed.
    pub const DRAFT: Self = Self(9);
}

/// One message, borrowing the datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// What a peer has.
    Announce(Announce<'a>),
    /// Wanted pieces of an object.
    Request(Request<'a>),
    /// One segment of a piece, and its bytes.
    Block(Block, &'a [u8]),
    /// Chunks held of a content in transit.
    Have(Have<'a>),
    /// A piece that is not served, and why.
    Refuse(Refuse),
    /// The sender ends.
    Goodbye,
    /// Wants a datagram of a size.
    Probe(Probe),
    /// That datagram.
    Padding(Padding),
    /// A large file that is being hashed.
    Draft(Draft<'a>),
}

impl<'a> Message<'a> {
    /// Reads the one message that a sealed datagram holds.
    ///
    /// # Errors
    /// It breaks a rule of docs/protocol.md.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        match Operation(reader.u8("operation")?) {
            Operation::ANNOUNCE => Announce::parse(reader).map(Self::Announce),
            Operation::REQUEST => Request::parse(reader).map(Self::Request),
            Operation::BLOCK => {
                Block::parse(reader).map(|(block, payload)| Self::Block(block, payload))
            }
            Operation::HAVE => Have::parse(reader).map(Self::Have),
            Operation::REFUSE => Refuse::parse(reader).map(Self::Refuse),
            Operation::GOODBYE => reader.end().map(|()| Self::Goodbye),
            Operation::PROBE => Probe::parse(reader).map(Self::Probe),
            Operation::PADDING => Padding::parse(reader).map(Self::Padding),
            Operation::DRAFT => Draft::parse(reader).map(Self::Draft),
            Operation(unknown) => Err(WireError::Unknown(unknown)),
        }
    }
}
