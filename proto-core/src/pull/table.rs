//! The table of pulls: a fixed number of pieces, named by place and generation.

use super::{Piece, Want};
use crate::boundary::PullId;
use crate::limits::MAX_PULLS;

/// All pieces being pulled.
#[derive(Debug)]
pub struct Pulls {
    places: [Place; MAX_PULLS],
}

#[derive(Debug, Default)]
struct Place {
    generation: u16,
    piece: Option<Piece>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self {
            places: core::array::from_fn(|_| Place::default()),
        }
    }
}

impl Pulls {
    /// Adds a piece; `None` if all places are taken.
    pub fn insert(&mut self, want: Want) -> Option<PullId> {
        let (slot, place) = self
            .places
            .iter_mut()
            .enumerate()
            .find(|(_, place)| place.piece.is_none())?;
        place.generation = place.generation.wrapping_add(1);
        place.piece = Some(Piece::new(want));
        Some(PullId {
            slot: u16::try_from(slot).ok()?,
            generation: place.generation,
        })
    }

    /// The piece of this id; `None` if it has ended.
    #[must_use]
    pub fn get(&self, id: PullId) -> Option<&Piece> {
        self.places
            .get(usize::from(id.slot))
            .filter(|place| place.generation == id.generation)?
            .piece
            .as_ref()
    }

    /// The piece of this id; `None` if it has ended.
    pub fn get_mut(&mut self, id: PullId) -> Option<&mut Piece> {
        self.places
            .get_mut(usize::from(id.slot))
            .filter(|place| place.generation == id.generation)?
            .piece
            .as_mut()
    }

    /// Ends a pull.
    pub fn remove(&mut self, id: PullId) -> Option<Piece> {
        self.places
            .get_mut(usize::from(id.slot))
            .filter(|place| place.generation == id.generation)?
            .piece
            .take()
    }

    /// Places that are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.places
            .iter()
            .filter(|place| place.piece.is_none())
            .count()
    }

    /// All pieces.
    pub fn iter(&self) -> impl Iterator<Item = (PullId, &Piece)> {
        self.places.iter().enumerate().filter_map(|(slot, place)| {
            Some((
                PullId {
                    slot: u16::try_from(slot).ok()?,
                    generation: place.generation,
                },
                place.piece.as_ref()?,
            ))
        })
    }

    /// All pieces.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (PullId, &mut Piece)> {
        self.places
            .iter_mut()
            .enumerate()
            .filter_map(|(slot, place)| {
                Some((
                    PullId {
                        slot: u16::try_from(slot).ok()?,
                        generation: place.generation,
                    },
                    place.piece.as_mut()?,
                ))
            })
    }
}

/// The tag of a REQUEST item: the place in the high half, the generation in the low one.
#[must_use]
pub fn tag(id: PullId) -> u32 {
    (u32::from(id.slot) << 16) | u32::from(id.generation)
}

/// Back from a tag.
#[must_use]
pub fn id(tag: u32) -> PullId {
    let [a, b, c, d] = tag.to_be_bytes();
    PullId {
        slot: u16::from_be_bytes([a, b]),
        generation: u16::from_be_bytes([c, d]),
    }
}
