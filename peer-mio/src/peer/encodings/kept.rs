//! The pieces that were encoded here last, for their other segments and for repair, and those that came encoded, for others:
//! a ring.

use crate::jobs::encode;
use proto_core::limits::MAX_PIECE;
use proto_core::wire::ObjectId;
use proto_core::wire::encoding::Encoding;
use std::collections::VecDeque;

/// Bytes of the ring: room for one piece of the greatest length, or sixteen of 64 KiB that hardly shrink.
const RING: usize = encode::longest(MAX_PIECE);
/// Pieces in it at most.
const PIECES: usize = 64;

/// A piece of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PieceName {
    /// Which object.
    pub object: ObjectId,
    /// Where it begins.
    pub start: u64,
    /// Its length; of a journal page 0, as that goes on.
    pub length: usize,
}

#[derive(Debug)]
struct Piece {
    name: PieceName,
    encoding: Encoding,
    at: usize,
    len: usize,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Kept {
    /// Empty before its first use.
    ring: Box<[u8]>,
    /// The oldest first.
    pieces: VecDeque<Piece>,
    /// Where the next one goes.
    next: usize,
}

impl Kept {
    /// The bytes of a piece.
    pub fn find(&self, name: PieceName, encoding: Encoding) -> Option<&[u8]> {
        let piece = self.piece(name, encoding)?;
        self.ring.get(piece.at..piece.at + piece.len)
    }

    /// The encoding in which a piece is here, and its length so.
    pub fn find_any(&self, name: PieceName) -> Option<(Encoding, usize)> {
        let piece = self.piece(name, Encoding::ANY)?;
        Some((piece.encoding, piece.len))
    }

    fn piece(&self, name: PieceName, encoding: Encoding) -> Option<&Piece> {
        let asked = |piece: &Piece| encoding == Encoding::ANY || encoding == piece.encoding;
        let mut pieces = self.pieces.iter().rev();
        pieces.find(|piece| piece.name == name && asked(piece))
    }

    /// A piece is not what it was.
    pub fn forget(&mut self, name: PieceName) {
        self.pieces.retain(|piece| piece.name != name);
    }

    /// An object is not what it was.
    pub fn forget_object(&mut self, object: ObjectId) {
        self.pieces.retain(|piece| piece.name.object != object);
    }

    /// Room for a piece of at most this many bytes; what lay there is forgotten.
    pub fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        if most > RING {
            return None;
        }
        if self.ring.is_empty() {
            self.ring = vec![0; RING].into_boxed_slice();
        }
        if self.next + most > RING {
            self.next = 0;
        }
        let (from, to) = (self.next, self.next + most);
        self.pieces
            .retain(|piece| piece.at >= to || piece.at + piece.len <= from);
        self.ring.get_mut(from..to)
    }

    /// The first `len` bytes of that room are this piece.
    pub fn keep(&mut self, name: PieceName, encoding: Encoding, len: usize) {
        if self.pieces.len() >= PIECES {
            self.pieces.pop_front();
        }
        self.pieces.push_back(Piece {
            name,
            encoding,
            at: self.next,
            len,
        });
        self.next += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_core::content::ContentId;

    fn name(number: u64) -> PieceName {
        PieceName {
            object: ObjectId::Content(ContentId([1; 32])),
            start: number,
            length: MAX_PIECE,
        }
    }

    #[test]
    fn the_last_pieces_are_there_and_right_and_the_ring_never_grows() {
        let mut kept = Kept::default();
        for number in 0..2_000_u64 {
            let most = usize::try_from(number * 79_190 % RING as u64).unwrap() + 1;
            let len = most - most / 3;
            kept.room(most).unwrap()[..len].fill(number as u8);
            kept.keep(name(number), Encoding::FAST, len);
            assert!(kept.pieces.len() <= PIECES && kept.ring.len() == RING);
            let found = kept.find(name(number), Encoding::FAST).unwrap();
            assert_eq!(found.len(), len);
            assert_eq!(kept.find(name(number), Encoding::SMALL), None);
            for earlier in number.saturating_sub(40)..number {
                let bytes = kept.find(name(earlier), Encoding::FAST).unwrap_or_default();
                assert!(bytes.iter().all(|byte| *byte == earlier as u8));
            }
        }
        assert!(kept.room(RING + 1).is_none());
    }
}
