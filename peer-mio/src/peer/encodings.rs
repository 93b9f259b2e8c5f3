//! How pieces are encoded for those who ask: whether it pays, and what was encoded last
//! (docs/protocol.md, "Encodings").

mod kept;
mod speed;

use crate::jobs::encode::{Encoder, longest};
use kept::Kept;
pub use kept::PieceName;
use proto_core::boundary::Asked;
use proto_core::content::ContentId;
use proto_core::time::{Duration, Instant};
use proto_core::wire::ObjectId;
use proto_core::wire::encoding::Encoding;
use speed::Speed;
use std::collections::VecDeque;

/// Tells how much time has gone by, to measure the encoder.
pub type Stopwatch = fn() -> Duration;

/// Bytes at the start of a piece that say whether it shrinks.
const SAMPLE: usize = 4096;
/// Contents of which it is known that they do not.
const DULL_CONTENTS: usize = 32;
/// Of such a content at most so many pieces go by before another sample; twice as many each time.
const MOST_SKIPPED: u16 = 32;
/// What the fast encoder takes in is to be so many tenths of what the paths of all who ask carry: what it makes of text is two and a
/// half times smaller, so up to there it fills them.
const FAST_MARGIN: u64 = 25;
/// The small one, which takes twice the time from all else that shares the thread, is to have more to spare, ...
const SMALL_MARGIN: u64 = 30;
/// ... and once it is used, it stays in use a little below what the fast one would bring: pieces that come now in this and now in
/// that encoding help nobody.
const SMALL_KEPT: u64 = 22;
/// How journal pages are encoded.
const PAGES: Encoding = Encoding::FAST;
/// So long after its last use the memory is given back.
const IDLE: Duration = Duration::from_secs(5);

/// A content that did not shrink.
#[derive(Debug)]
struct Dull {
    content: ContentId,
    /// Pieces to go by before the next sample, now and after it.
    left: u16,
    skip: u16,
}

/// The encoder with what it knows.
#[derive(Debug, Default)]
pub struct Encodings {
    /// Nothing is ever encoded.
    off: bool,
    stopwatch: Option<Stopwatch>,
    encoder: Encoder,
    fast: Speed,
    small: Speed,
    /// The small encoder is in use for a demand of at most this.
    small_up_to: u64,
    dull: VecDeque<Dull>,
    kept: Kept,
    was_used: bool,
    used: Instant,
}

impl Encodings {
    /// Whether anything is to be encoded, and what the encoder is measured with. Without that it counts as faster
    /// than any link.
    pub fn set(&mut self, allowed: bool, stopwatch: Option<Stopwatch>) {
        self.off = !allowed;
        self.stopwatch = stopwatch;
    }

    /// The encoding in which a piece goes, and its length so; `None`: as it is. `bytes` are the piece's.
    pub fn choose(
        &mut self,
        name: PieceName,
        asked: Asked,
        bytes: &[u8],
    ) -> Option<(Encoding, usize)> {
        if self.off {
            return None;
        }
        if asked.encoding != Encoding::ANY {
            let len = self.encode(name, asked.encoding, bytes)?;
            return Some((asked.encoding, len));
        }
        let content = match name.object {
            ObjectId::Content(content) => content,
            // Each by itself: the files of the next one may be of another kind.
            ObjectId::Bundle(bundle) => ContentId(bundle.bytes()),
            ObjectId::Recipe(_) | ObjectId::Journal(_) => return self.encode_page(name, bytes),
        };
        let rate = asked.rate?;
        // What was encoded for another one costs nothing.
        if let Some(kept) = self.kept.find_any(name) {
            return Some(kept);
        }
        let encoding = self.affordable(rate)?;
        if !self.may_shrink(content) {
            return None;
        }
        let shrinks = bytes.len() <= 2 * SAMPLE || self.sample_shrinks(bytes);
        let len = shrinks
            .then(|| self.encode(name, encoding, bytes))
            .flatten();
        self.note(content, len.is_some());
        Some((encoding, len?))
    }

    /// A journal page shrinks to a half or less, whatever it tells of, and there are few of them: it goes encoded on any link. It is
    /// told anew to who begins to read it, and kept as it was for who reads on.
    fn encode_page(&mut self, name: PieceName, bytes: &[u8]) -> Option<(Encoding, usize)> {
        self.kept.forget(name);
        let len = self.encode(name, PAGES, bytes)?;
        Some((PAGES, len))
    }

    /// An object is made anew, and its pieces may be others.
    pub fn forget_object(&mut self, object: ObjectId) {
        self.kept.forget_object(object);
    }

    /// The bytes of an encoded piece, if they are kept.
    pub fn kept(&self, name: PieceName, encoding: Encoding) -> Option<&[u8]> {
        self.kept.find(name, encoding)
    }

    /// Encodes a piece and keeps it for a while: its length so, or `None` if it does not shrink.
    pub fn encode(&mut self, name: PieceName, encoding: Encoding, bytes: &[u8]) -> Option<usize> {
        if let Some(kept) = self.kept.find(name, encoding) {
            return Some(kept.len());
        }
        if !matches!(encoding, Encoding::FAST | Encoding::SMALL) {
            return None;
        }
        self.was_used = true;
        let out = self.kept.room(longest(bytes.len()))?;
        let begun = self.stopwatch.map(|stopwatch| stopwatch());
        let len = self.encoder.encode(encoding, bytes, out);
        if let (Some(stopwatch), Some(begun)) = (self.stopwatch, begun) {
            let speed = if encoding == Encoding::SMALL {
                &mut self.small
            } else {
                &mut self.fast
            };
            speed.measure(bytes.len(), stopwatch().saturating_sub(begun));
        }
        let len = len?;
        self.kept.keep(name, encoding, len);
        Some(len)
    }

    /// A piece that came in this encoding, and is what it should be, is passed on as it came.
    pub fn pass_on(&mut self, name: PieceName, encoding: Encoding, encoded: &[u8]) {
        if self.kept.find(name, encoding).is_some() {
            return;
        }
        if let Some(room) = self.kept.room(encoded.len()) {
            room.copy_from_slice(encoded);
            self.kept.keep(name, encoding, encoded.len());
            self.was_used = true;
        }
    }

    /// Gives the memory back to the system when it was not used for some seconds.
    pub fn rest(&mut self, now: Instant) {
        if std::mem::take(&mut self.was_used) {
            self.used = now;
        } else if now.saturating_since(self.used) >= IDLE {
            self.kept = Kept::default();
            self.encoder = Encoder::default();
            self.used = Instant::FAR_FUTURE;
        }
    }

    /// The best encoding that keeps up with this demand.
    fn affordable(&mut self, rate: u64) -> Option<Encoding> {
        let margin = if rate <= self.small_up_to {
            SMALL_KEPT
        } else {
            SMALL_MARGIN
        };
        if self.small.reaches(rate.saturating_mul(margin) / 10) {
            self.small_up_to = self.small_up_to.max(rate);
            return Some(Encoding::SMALL);
        }
        self.small_up_to = self.small_up_to.min(rate.saturating_sub(1));
        self.fast
            .reaches(rate.saturating_mul(FAST_MARGIN) / 10)
            .then_some(Encoding::FAST)
    }

    fn sample_shrinks(&mut self, bytes: &[u8]) -> bool {
        let Some(sample) = bytes.get(..SAMPLE) else {
            return true;
        };
        self.was_used = true;
        let mut out = [0; longest(SAMPLE)];
        self.encoder
            .encode(Encoding::FAST, sample, &mut out)
            .is_some()
    }

    fn may_shrink(&mut self, content: ContentId) -> bool {
        let dull = self.dull.iter_mut().find(|dull| dull.content == content);
        match dull {
            Some(dull) if dull.left > 0 => {
                dull.left -= 1;
                false
            }
            _ => true,
        }
    }

    fn note(&mut self, content: ContentId, shrank: bool) {
        let place = self.dull.iter().position(|dull| dull.content == content);
        match (place, shrank) {
            (Some(place), true) => drop(self.dull.remove(place)),
            (None, true) => {}
            (Some(place), false) => {
                if let Some(dull) = self.dull.get_mut(place) {
                    dull.skip = (dull.skip * 2).min(MOST_SKIPPED);
                    dull.left = dull.skip;
                }
            }
            (None, false) => {
                if self.dull.len() >= DULL_CONTENTS {
                    self.dull.pop_front();
                }
                self.dull.push_back(Dull {
                    content,
                    left: 1,
                    skip: 1,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
