//! Serving: a REQUEST becomes bursts of BLOCKs or a REFUSE (docs/protocol.md, "Request"). Nothing is
//! kept for a transfer but what is queued to be sent; when the queue is full the newest request is
//! dropped and its puller asks again.

use crate::boundary::{Objects, Read};
use crate::limits::{MAX_BURSTS, MAX_DATAGRAM};
use crate::storage::segment_bitmap::SegmentBitmap;
use crate::wire::ObjectId;
use crate::wire::block::Block;
use crate::wire::refuse::{Refuse, RefuseReason};
use crate::wire::request::Request;
use heapless::Deque;

/// What one peer asked for and has not been sent yet.
#[derive(Debug, Default)]
pub struct Serve {
    bursts: Deque<Burst, MAX_BURSTS>,
    refusals: Deque<Refuse, MAX_BURSTS>,
}

/// The wanted segments of one piece.
#[derive(Debug)]
struct Burst {
    object: ObjectId,
    start: u64,
    /// As asked for; then as the object has it.
    length: usize,
    looked_up: bool,
    segment: usize,
    tag: u32,
    wanted: SegmentBitmap,
    next: usize,
}

/// One message built into a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Built {
    /// A message of this many bytes.
    Message(usize),
    /// Nothing to send now; ask again later if something is waiting for the disk.
    Nothing,
}

impl Serve {
    /// Takes a request.
    pub fn request(&mut self, request: &Request<'_>) {
        let segment = usize::from(request.segment());
        for item in request.items() {
            let asked_already = self.bursts.iter_mut().find(|burst| {
                burst.tag == item.tag
                    && burst.object == request.object()
                    && burst.start == item.start
                    && burst.segment == segment
            });
            let Some(wanted) = SegmentBitmap::read(item.wanted) else {
                self.refuse(item.tag, RefuseReason::MALFORMED);
                continue;
            };
            if let Some(burst) = asked_already {
                // The same piece again while it is still queued: more of it, nothing twice.
                for place in wanted.iter().filter(|place| *place >= burst.next) {
                    burst.wanted.set(place);
                }
                continue;
            }
            // Full: dropped, the puller asks again (its timer is the repair).
            let _ = self.bursts.push_back(Burst {
                object: request.object(),
                start: item.start,
                length: item.length as usize,
                looked_up: false,
                segment,
                tag: item.tag,
                wanted,
                next: 0,
            });
        }
    }

    /// Forgets everything (the peer has gone).
    pub fn clear(&mut self) {
        self.bursts.clear();
        self.refusals.clear();
    }

    fn refuse(&mut self, tag: u32, reason: RefuseReason) {
        let _ = self.refusals.push_back(Refuse { reason, tag });
    }

    /// Builds the next message into `out`. Messages of one burst have the same length, the last one
    /// of a piece may be shorter; `same` limits to messages of just this length or a shorter last one.
    pub fn build(
        &mut self,
        objects: &mut impl Objects,
        out: &mut [u8],
        same: Option<usize>,
    ) -> Built {
        if same.is_none()
            && let Some(refuse) = self.refusals.pop_front()
        {
            return refuse.emit(out).map_or(Built::Nothing, Built::Message);
        }
        while let Some(burst) = self.bursts.front_mut() {
            if !burst.looked_up {
                match objects.piece(burst.object, burst.start, burst.length) {
                    Read::Ready(length) => {
                        burst.length = length;
                        burst.looked_up = true;
                    }
                    Read::NotYet => return Built::Nothing,
                    refused => {
                        let tag = burst.tag;
                        self.bursts.pop_front();
                        self.refuse(tag, reason(refused));
                        if same.is_some() {
                            return Built::Nothing;
                        }
                        return self
                            .refusals
                            .pop_front()
                            .and_then(|refuse| refuse.emit(out).ok())
                            .map_or(Built::Nothing, Built::Message);
                    }
                }
            }
            let segments = burst.length.div_ceil(burst.segment.max(1));
            let Some(place) = (burst.next..segments).find(|place| burst.wanted.get(*place)) else {
                self.bursts.pop_front();
                if same.is_some() {
                    return Built::Nothing;
                }
                continue;
            };
            let at = place * burst.segment;
            let payload = burst.segment.min(burst.length - at);
            let len = Block::HEADER_LEN + payload;
            if same.is_some_and(|same| len > same) || len > MAX_DATAGRAM {
                return Built::Nothing;
            }
            let header = Block {
                segment: u16::try_from(place).unwrap_or(u16::MAX),
                tag: burst.tag,
                length: burst.length as u32,
            };
            let Some(body) = header
                .emit_header(out)
                .ok()
                .and_then(|at| out.get_mut(at..len))
            else {
                self.bursts.pop_front();
                return Built::Nothing;
            };
            match objects.read(burst.object, burst.start, burst.length, at, body) {
                Read::Ready(read) if read == payload => {
                    burst.next = place + 1;
                    return Built::Message(len);
                }
                Read::NotYet => return Built::Nothing,
                Read::Ready(_) => {
                    // The journal page got shorter meanwhile: its puller asks again.
                    self.bursts.pop_front();
                    return Built::Nothing;
                }
                refused => {
                    let tag = burst.tag;
                    self.bursts.pop_front();
                    self.refuse(tag, reason(refused));
                    return Built::Nothing;
                }
            }
        }
        Built::Nothing
    }
}

/// The wire's word for what the driver answered.
fn reason(read: Read) -> RefuseReason {
    match read {
        Read::Changed => RefuseReason::CHANGED,
        _ => RefuseReason::GONE,
    }
}
