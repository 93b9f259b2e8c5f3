//! Where the segments of pieces gather until a piece is complete: one ring of fixed size for
//! chunks, small buffers for recipes and journal pages. The memory for data in flight is this and
//! no more (docs/architecture.md, "Memory").

use proto_core::boundary::PullId;
use proto_core::limits::MAX_PULLS;
use proto_core::time::{Duration, Instant};

/// Bytes of the ring: more than the largest window that one thread fills, and little enough that a
/// kill loses next to nothing.
pub const RING: usize = 4 * 1024 * 1024;

/// So long after its last use the ring is given back.
const IDLE: Duration = Duration::from_secs(5);

/// The buffers of all pieces.
#[derive(Debug)]
pub struct Assembly {
    /// Empty while nothing is pulled.
    ring: Box<[u8]>,
    used: Instant,
    /// Regions in use, in the order of their places.
    taken: Vec<Region>,
    regions: [Option<(PullId, Home)>; MAX_PULLS],
}

#[derive(Debug)]
struct Region {
    start: usize,
    len: usize,
}

/// Where a piece gathers.
#[derive(Debug)]
enum Home {
    Ring { start: usize, len: usize },
    Own(Vec<u8>),
}

impl Default for Assembly {
    fn default() -> Self {
        Self {
            ring: Box::default(),
            used: Instant::ZERO,
            taken: Vec::with_capacity(MAX_PULLS),
            regions: std::array::from_fn(|_| None),
        }
    }
}

impl Assembly {
    /// Whether a chunk of this many bytes has room now.
    #[must_use]
    pub fn has_room(&self, len: usize) -> bool {
        self.place(len).is_some()
    }

    /// Where a region of this length would begin: in the first gap that holds it.
    fn place(&self, len: usize) -> Option<usize> {
        let mut end = 0;
        for region in &self.taken {
            if region.start - end >= len {
                return Some(end);
            }
            end = region.start + region.len;
        }
        (RING - end >= len).then_some(end)
    }

    /// Reserves room in the ring for a chunk. False if there is none.
    pub fn reserve(&mut self, pull: PullId, len: usize) -> bool {
        let Some(start) = self.place(len) else {
            return false;
        };
        let Some(region) = self.regions.get_mut(usize::from(pull.slot)) else {
            return false;
        };
        if self.ring.is_empty() {
            self.ring = vec![0; RING].into_boxed_slice();
        }
        let at = self.taken.partition_point(|region| region.start < start);
        self.taken.insert(at, Region { start, len });
        *region = Some((pull, Home::Ring { start, len }));
        true
    }

    /// A piece of which only the most that it may have is known gets that much of its own at once.
    pub fn reserve_at_most(&mut self, pull: PullId, most: usize) {
        if let Some(region) = self.regions.get_mut(usize::from(pull.slot)) {
            *region = Some((pull, Home::Own(Vec::with_capacity(most))));
        }
    }

    /// Writes bytes that arrived. A piece without a region is a recipe or a journal page, of at most
    /// `most` bytes.
    pub fn write(&mut self, pull: PullId, at: usize, bytes: &[u8], most: usize) {
        let Some(region) = self.regions.get_mut(usize::from(pull.slot)) else {
            return;
        };
        if region.as_ref().is_none_or(|(owner, _)| *owner != pull) {
            *region = Some((pull, Home::Own(Vec::new())));
        }
        let end = at.saturating_add(bytes.len());
        let target = match region {
            Some((_, Home::Ring { start, len })) if end <= *len => {
                self.ring.get_mut(*start + at..*start + end)
            }
            Some((_, Home::Own(buffer))) if end <= most => {
                if buffer.len() < end {
                    buffer.resize(end, 0);
                }
                buffer.get_mut(at..end)
            }
            _ => None,
        };
        if let Some(target) = target {
            target.copy_from_slice(bytes);
        }
    }

    /// The bytes of a piece.
    #[must_use]
    pub fn bytes(&self, pull: PullId) -> &[u8] {
        match self.regions.get(usize::from(pull.slot)) {
            Some(Some((owner, Home::Ring { start, len }))) if *owner == pull => {
                self.ring.get(*start..*start + *len).unwrap_or_default()
            }
            Some(Some((owner, Home::Own(buffer)))) if *owner == pull => buffer,
            _ => &[],
        }
    }

    /// Gives the ring's memory back to the system when it was not used for some seconds. True if it did.
    pub fn rest(&mut self, now: Instant) -> bool {
        if !self.taken.is_empty() {
            self.used = now;
        } else if !self.ring.is_empty() && now.saturating_since(self.used) >= IDLE {
            self.ring = Box::default();
            return true;
        }
        false
    }

    /// Gives the room of a piece back.
    pub fn release(&mut self, pull: PullId) {
        let Some(region) = self.regions.get_mut(usize::from(pull.slot)) else {
            return;
        };
        if region.as_ref().is_none_or(|(owner, _)| *owner != pull) {
            return;
        }
        if let Some((_, Home::Ring { start, .. })) = region.take() {
            self.taken.retain(|region| region.start != start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u16) -> PullId {
        PullId {
            slot,
            generation: 1,
        }
    }

    #[test]
    fn regions_never_overlap_and_gaps_are_used_again() {
        let mut assembly = Assembly::default();
        let third = RING / 3;
        for slot in 0..3 {
            assert!(assembly.reserve(id(slot), third));
            assembly.write(id(slot), 0, &vec![slot as u8 + 1; third], 0);
        }
        assert!(!assembly.reserve(id(3), third));
        for slot in 0..3 {
            assert!(
                assembly
                    .bytes(id(slot))
                    .iter()
                    .all(|byte| *byte == slot as u8 + 1)
            );
        }
        assembly.release(id(1));
        assert!(!assembly.has_room(third + 1), "nowhere in one piece");
        assert!(assembly.reserve(id(3), third - 1));
        assembly.write(id(3), 0, &vec![9; third - 1], 0);
        assert!(assembly.bytes(id(0)).iter().all(|byte| *byte == 1));
        assert!(assembly.bytes(id(2)).iter().all(|byte| *byte == 3));
        assert!(!assembly.has_room(third));
        assembly.release(id(0));
        assert!(assembly.reserve(id(4), third));
        assert!(assembly.bytes(id(3)).iter().all(|byte| *byte == 9));
    }

    #[test]
    fn the_ring_is_given_back_when_it_is_idle_and_comes_back() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut assembly = Assembly::default();
        assert_eq!(assembly.ring.len(), 0);
        assert!(assembly.reserve(id(0), 10));
        assembly.write(id(0), 0, b"0123456789", 0);
        for second in 0..60 {
            assembly.rest(at(second));
        }
        assert_eq!(assembly.bytes(id(0)), b"0123456789");
        assembly.release(id(0));
        assembly.rest(at(60));
        assert_eq!(assembly.ring.len(), RING);
        assembly.rest(at(65));
        assert_eq!(assembly.ring.len(), 0);
        assert!(assembly.reserve(id(1), RING));
        assembly.write(id(1), RING - 1, b"x", 0);
        assert_eq!(assembly.bytes(id(1)).last(), Some(&b'x'));
    }

    #[test]
    fn a_page_grows_only_to_its_bound() {
        let mut assembly = Assembly::default();
        assembly.write(id(0), 10, b"abc", 13);
        assembly.write(id(0), 13, b"d", 13);
        assert_eq!(assembly.bytes(id(0)).len(), 13);
        assert_eq!(
            assembly.bytes(PullId {
                slot: 0,
                generation: 2
            }),
            b""
        );
    }
}
