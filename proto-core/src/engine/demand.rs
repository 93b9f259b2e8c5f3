//! What is wanted of the one encoder (docs/protocol.md, "Encodings", "Demand").

use crate::boundary::PeerSlot;
use crate::limits::MAX_PEERS;
use crate::time::{Duration, Instant};
use crate::wire::encoding::Encoding;
use crate::wire::request::{Request, RequestItem};

/// Who fetches asks several times in a round trip; who has not for so long is done.
const LATELY: Duration = Duration::from_millis(250);

/// What each peer told last, by its place.
#[derive(Debug, Default)]
pub(super) struct Demand {
    told: [Told; MAX_PEERS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Bytes per second; 0: nothing yet.
    rate: u64,
    at: Instant,
}

impl Demand {
    /// A peer asks. What tells no rate, or wants nothing encoded, wants nothing of the encoder.
    pub fn note(&mut self, now: Instant, peer: PeerSlot, request: &Request<'_>) {
        let encoded = |item: RequestItem<'_>| item.encoding != Encoding::NONE;
        if let Some(rate) = request.rate()
            && request.items().any(encoded)
            && let Some(told) = self.told.get_mut(peer.place())
        {
            *told = Told { rate, at: now };
        }
    }

    /// What the encoder must keep up with to serve this peer: bytes per second that it and all others who asked lately get.
    /// `None`: its own rate is not known.
    pub fn rate(&self, now: Instant, peer: PeerSlot) -> Option<u64> {
        let own = self.told.get(peer.place())?.rate;
        let told = self.told.iter().enumerate();
        // What it asked for itself may have waited longer.
        let others = told.filter(|(place, told)| *place != peer.place() && now < told.at + LATELY);
        let sum = others.fold(own, |sum, (_, told)| sum.saturating_add(told.rate));
        (own > 0).then_some(sum)
    }

    /// It has gone, and may come back on another path.
    pub fn forget(&mut self, peer: PeerSlot) {
        if let Some(told) = self.told.get_mut(peer.place()) {
            *told = Told::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentId;
    use crate::storage::segment_bitmap::SegmentBitmap;
    use crate::wire::request::RequestWriter;
    use crate::wire::{Message, ObjectId};

    /// 10 MB/s in units of the wire, rounded up.
    const TEN: u64 = 153 * 65_536;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn slot(place: usize) -> PeerSlot {
        PeerSlot::new(place).unwrap()
    }

    /// The peer asks for a piece of a content of its own.
    fn note(
        demand: &mut Demand,
        ms: u64,
        place: usize,
        rate: impl Into<Option<u64>>,
        encoding: Encoding,
    ) {
        let mut bytes = [0; 200];
        let mut wanted = SegmentBitmap::new();
        wanted.set(0);
        let content = ObjectId::Content(ContentId([place as u8; 32]));
        let mut writer = RequestWriter::new(&mut bytes, content, 1156).unwrap();
        writer.set_rate(rate.into());
        writer
            .push_encoded(1, (0, 65_536), encoding, 57, &wanted)
            .unwrap();
        let len = writer.finish();
        let Ok(Message::Request(request)) = Message::decode(&bytes[..len]) else {
            unreachable!()
        };
        demand.note(at(ms), slot(place), &request);
    }

    #[test]
    fn it_is_what_the_peer_and_all_others_who_asked_lately_told_last() {
        let mut demand = Demand::default();
        assert_eq!(demand.rate(at(0), slot(0)), None);
        note(&mut demand, 1000, 0, 10_000_000, Encoding::ANY);
        assert_eq!(demand.rate(at(1000), slot(0)), Some(TEN));
        note(&mut demand, 1100, 1, 20_000_000, Encoding::ANY);
        note(&mut demand, 1100, 1, 10_000_000, Encoding::SMALL);
        note(&mut demand, 1100, 15, 10_000_000, Encoding::ANY);
        assert_eq!(demand.rate(at(1249), slot(1)), Some(3 * TEN));
        assert_eq!(demand.rate(at(1250), slot(1)), Some(2 * TEN));
        // What waits to be sent may have been asked for longer ago.
        assert_eq!(demand.rate(at(1250), slot(0)), Some(3 * TEN));
        assert_eq!(demand.rate(at(9000), slot(0)), Some(TEN));
        demand.forget(slot(0));
        assert_eq!(demand.rate(at(1250), slot(0)), None);
    }

    #[test]
    fn what_needs_no_encoder_is_not_in_it() {
        let mut demand = Demand::default();
        note(&mut demand, 1000, 0, 10_000_000, Encoding::NONE);
        // Its path is not known yet: all goes as it is.
        note(&mut demand, 1000, 1, None, Encoding::ANY);
        note(&mut demand, 1000, 2, 10_000_000, Encoding::ANY);
        assert_eq!(demand.rate(at(1000), slot(0)), None);
        assert_eq!(demand.rate(at(1000), slot(1)), None);
        assert_eq!(demand.rate(at(1000), slot(2)), Some(TEN));
        // A recipe that it asks for meanwhile tells no rate, and takes nothing back.
        note(&mut demand, 1001, 2, None, Encoding::NONE);
        assert_eq!(demand.rate(at(1001), slot(2)), Some(TEN));
    }

    #[test]
    fn rates_without_a_bound_do_not_wrap() {
        let mut demand = Demand::default();
        for place in 0..MAX_PEERS {
            note(&mut demand, 1000, place, u64::MAX, Encoding::ANY);
        }
        assert_eq!(demand.rate(at(1000), slot(0)), Some(u64::MAX));
    }
}
