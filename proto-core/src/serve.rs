//! Serving: a REQUEST becomes bursts of BLOCKs or a REFUSE (docs/protocol.md, "Request"). Nothing is
//! kept for a transfer but what is queued to be sent; when the queue is full the newest request is
//! dropped and its puller asks again.

use crate::boundary::{Asked, Objects, Read};
use crate::limits::{MAX_BURSTS, MAX_DATAGRAM};
use crate::session::OVERHEAD;
use crate::storage::segment_bitmap::SegmentBitmap;
use crate::wire::ObjectId;
use crate::wire::block::Block;
use crate::wire::encoding::Encoding;
use crate::wire::refuse::{Refuse, RefuseReason};
use crate::wire::request::Request;
use heapless::Deque;

/// Pieces of which a peer may ask for the rest before it knows how they come; it asks for them one by one.
const CHOSEN: usize = 16;

/// More does not fit into a datagram.
const LONGEST_SEGMENT: usize = MAX_DATAGRAM - OVERHEAD - Block::HEADER_LEN;

/// What one peer asked for and has not been sent yet.
#[derive(Debug, Default)]
pub struct Serve {
    bursts: Deque<Burst, MAX_BURSTS>,
    refusals: Deque<Refuse, MAX_BURSTS>,
    /// Tags of the last pieces that were to come in any encoding, and the one that was chosen.
    chosen: Deque<(u32, Encoding), CHOSEN>,
}

/// The wanted segments of one piece.
#[derive(Debug)]
struct Burst {
    object: ObjectId,
    start: u64,
    /// As asked for; then as the object has it.
    length: usize,
    asked: Encoding,
    /// How it travels, and its length so.
    encoding: Encoding,
    sent: u32,
    /// Whether it is the rest of a piece whose beginning was asked for before.
    rest: bool,
    looked_up: bool,
    segment: u16,
    tag: u32,
    wanted: SegmentBitmap,
    next: u16,
}

/// One message built into a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Built {
    /// A message of this many bytes.
    Message(usize),
    /// Nothing more of this length, or nothing to send now; ask again later if something waits for the disk.
    Nothing,
}

impl Serve {
    /// Takes a request.
    pub fn request(&mut self, request: &Request<'_>) {
        let segment = request.segment();
        for item in request.items() {
            if usize::from(segment) > LONGEST_SEGMENT {
                self.refuse(item.tag, RefuseReason::MALFORMED);
                continue;
            }
            let asked_already = self.bursts.iter_mut().find(|burst| {
                burst.tag == item.tag
                    && burst.object == request.object()
                    && burst.start == item.start
                    && burst.segment == segment
                    && burst.may_be_in(item.encoding)
            });
            let Some(wanted) = SegmentBitmap::read(item.wanted) else {
                self.refuse(item.tag, RefuseReason::MALFORMED);
                continue;
            };
            if let Some(burst) = asked_already {
                // The same piece again while it is still queued: more of it, nothing twice.
                for place in wanted
                    .iter()
                    .filter(|place| *place >= usize::from(burst.next))
                {
                    burst.wanted.set(place);
                }
                continue;
            }
            let chosen = self.chosen_for(item.tag, item.encoding);
            // Full: dropped, the puller asks again (its timer is the repair).
            let _ = self.bursts.push_back(Burst {
                object: request.object(),
                start: item.start,
                length: item.length as usize,
                asked: chosen.unwrap_or(item.encoding),
                rest: chosen.is_some(),
                encoding: Encoding::NONE,
                sent: item.length,
                looked_up: false,
                segment,
                tag: item.tag,
                wanted,
                next: 0,
            });
        }
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bursts.is_empty() && self.refusals.is_empty()
    }

    /// Forgets everything (the peer has gone).
    pub fn clear(&mut self) {
        self.bursts.clear();
        self.refusals.clear();
        self.chosen.clear();
    }

    /// The rest of a piece comes as its beginning did.
    fn chosen_for(&self, tag: u32, asked: Encoding) -> Option<Encoding> {
        let mut chosen = self.chosen.iter();
        let chosen = chosen.find(|(chosen, _)| *chosen == tag && asked == Encoding::ANY);
        chosen.map(|(_, encoding)| *encoding)
    }

    fn refuse(&mut self, tag: u32, reason: RefuseReason) {
        let _ = self.refusals.push_back(Refuse { reason, tag });
    }

    /// Builds the next message into `out`. Messages of one burst have the same length, the last one
    /// of a piece may be shorter; `same` limits to messages of just this length or a shorter last one.
    /// `rate` is what is wanted of the encoder ([`Asked::rate`]).
    pub fn build(
        &mut self,
        objects: &mut impl Objects,
        rate: Option<u64>,
        out: &mut [u8],
        same: Option<usize>,
    ) -> Built {
        if same.is_none()
            && let Some(refuse) = self.refusals.pop_front()
        {
            return refuse.emit(out).map_or(Built::Nothing, Built::Message);
        }
        let mut waiting = 0;
        while let Some(burst) = self.bursts.front_mut() {
            let next = burst.next(objects, rate, out, same);
            if let Some(encoding) = burst.take_choice() {
                if self.chosen.is_full() {
                    self.chosen.pop_front();
                }
                let _ = self.chosen.push_back((burst.tag, encoding));
            }
            match next {
                Next::Message(len) => return Built::Message(len),
                Next::Longer => return Built::Nothing,
                Next::NotYet => {
                    // To the end, so that it does not hold up the others.
                    if let Some(burst) = self.bursts.pop_front() {
                        let _ = self.bursts.push_back(burst);
                    }
                    waiting += 1;
                    if waiting >= self.bursts.len() {
                        return Built::Nothing;
                    }
                }
                Next::End => drop(self.bursts.pop_front()),
                Next::Refused(reason) => {
                    let tag = burst.tag;
                    self.bursts.pop_front();
                    self.refuse(tag, reason);
                }
            }
            // What follows is of another length.
            if same.is_some() {
                return Built::Nothing;
            }
            if let Some(refuse) = self.refusals.pop_front() {
                return refuse.emit(out).map_or(Built::Nothing, Built::Message);
            }
        }
        Built::Nothing
    }
}

/// What a burst has next.
enum Next {
    /// A message of this many bytes.
    Message(usize),
    /// A message longer than may be now.
    Longer,
    /// The disk would have to be waited for.
    NotYet,
    /// Nothing more.
    End,
    /// It cannot be served.
    Refused(RefuseReason),
}

impl Burst {
    fn next(
        &mut self,
        objects: &mut impl Objects,
        rate: Option<u64>,
        out: &mut [u8],
        same: Option<usize>,
    ) -> Next {
        let segment = usize::from(self.segment).max(1);
        if !self.looked_up {
            match objects.piece(self.object, self.start, self.length) {
                Read::Ready(0) => return Next::Refused(RefuseReason::GONE),
                Read::Ready(length) => {
                    self.length = length;
                    self.choose_encoding(objects, rate);
                    self.looked_up = true;
                    let segments = (self.sent as usize).div_ceil(segment);
                    // What was asked for before tells the length of an encoded piece.
                    if !self.rest && !(0..segments).any(|place| self.wanted.get(place)) {
                        // A page got shorter: any segment tells its new length.
                        self.wanted.set(0);
                    }
                }
                Read::NotYet => return Next::NotYet,
                refused => return Next::Refused(reason(refused)),
            }
        }
        let (encoding, length) = (self.encoding, self.sent as usize);
        let segments = length.div_ceil(segment);
        let Some(place) = (usize::from(self.next)..segments).find(|place| self.wanted.get(*place))
        else {
            return Next::End;
        };
        let at = place * segment;
        let payload = segment.min(length.saturating_sub(at));
        let len = Block::HEADER_LEN + payload;
        if same.is_some_and(|same| len > same) {
            return Next::Longer;
        }
        let header = Block {
            encoding,
            segment: u16::try_from(place).unwrap_or(u16::MAX),
            tag: self.tag,
            length: length as u32,
        };
        let Some(body) = header
            .emit_header(out)
            .ok()
            .and_then(|at| out.get_mut(at..len))
        else {
            return Next::End;
        };
        let (object, start, whole) = (self.object, self.start, self.length);
        let read = if encoding == Encoding::NONE {
            objects.read(object, start, whole, at, body)
        } else {
            objects.read_encoded(object, start, whole, encoding, at, body)
        };
        match read {
            Read::Ready(read) if read == payload => {
                self.next = header.segment.saturating_add(1);
                Next::Message(len)
            }
            // The journal page got shorter meanwhile: its puller asks again.
            Read::Ready(_) => Next::End,
            Read::NotYet => Next::NotYet,
            refused => Next::Refused(reason(refused)),
        }
    }
}

impl Burst {
    /// Whether what is sent is what a REQUEST for this encoding wants.
    fn may_be_in(&self, encoding: Encoding) -> bool {
        encoding == Encoding::ANY
            || encoding == self.asked
            || (self.looked_up && encoding == self.encoding)
    }

    /// The encoding that was chosen, once.
    fn take_choice(&mut self) -> Option<Encoding> {
        let chosen = self.looked_up && self.asked == Encoding::ANY;
        chosen.then(|| {
            self.asked = self.encoding;
            self.encoding
        })
    }

    fn choose_encoding(&mut self, objects: &mut impl Objects, rate: Option<u64>) {
        let may_be = self.object.may_be_encoded() && self.asked != Encoding::NONE;
        let asked = Asked {
            encoding: self.asked,
            rate,
        };
        let encoded = may_be
            .then(|| objects.encode(self.object, self.start, self.length, asked))
            .flatten()
            .filter(|(encoding, length)| {
                encoding.is_shorter() && *length > 0 && *length < self.length
            });
        let (encoding, length) = encoded.unwrap_or((Encoding::NONE, self.length));
        self.encoding = encoding;
        self.sent = u32::try_from(length).unwrap_or(u32::MAX);
    }
}

/// The wire's word for what the driver answered.
fn reason(read: Read) -> RefuseReason {
    match read {
        Read::Changed => RefuseReason::CHANGED,
        Read::Malformed => RefuseReason::MALFORMED,
        _ => RefuseReason::GONE,
    }
}

#[cfg(test)]
mod tests;
