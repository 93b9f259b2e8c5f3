//! A piece changes its source: that refused, sent nothing, or sent what does not verify (docs/protocol.md, "Refuse").

use super::Piece;
use crate::boundary::PeerSlot;
use crate::flow::Flow;
use crate::limits::MAX_PEERS;
use crate::pull::PeerSet;
use crate::storage::segment_bitmap::SegmentBitmap;
use crate::time::{Duration, Instant};
use crate::wire::ObjectId;
use crate::wire::encoding::Encoding;

/// First pause after a peer said that it is busy; doubles each time.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How often it doubles at most.
const BUSY_DOUBLINGS: u32 = 4;
/// How often in a row a peer may say so before anybody else may be asked too.
const PATIENCE: u32 = 8;

impl Piece {
    /// One of `peers` that may be asked for it, but `not`.
    #[must_use]
    pub fn other_source(&self, peers: PeerSet, not: PeerSlot) -> Option<PeerSlot> {
        (0..MAX_PEERS).filter_map(PeerSlot::new).find(|peer| {
            *peer != not
                && peers.contains(*peer)
                && !self.refused_by.contains(*peer)
                && self.want.only.is_none_or(|only| only == *peer)
        })
    }

    /// Leaves its source, whose flow this is, for another one.
    pub fn leave(&mut self, flow: &mut Flow, other: PeerSlot) {
        self.give_up(flow);
        self.source = None;
        self.forget_length();
        self.timeouts = 0;
        self.want.prefer = Some(other);
    }

    /// The source refused: ask somebody else, or the same again after a pause. Who is always busy is not
    /// waited for while others can be asked.
    pub fn refused(&mut self, now: Instant, flow: &mut Flow, by: PeerSlot, busy: bool) {
        self.give_up(flow);
        self.source = None;
        self.forget_length();
        if busy {
            if self.busy >= PATIENCE {
                self.want.prefer = None;
            }
            self.not_before = now + BUSY_PAUSE * (1 << self.busy.min(BUSY_DOUBLINGS));
            self.busy += 1;
        } else {
            self.refused_by.insert(by);
        }
    }

    /// The length of a recipe, a page or an encoded piece is what its source said: from another one it begins anew.
    pub(super) fn forget_length(&mut self) {
        if !matches!(self.want.object, ObjectId::Content(_)) || self.encoding != Encoding::NONE {
            self.restart();
        }
    }

    /// All bytes are worthless (they did not verify): begin anew, as they are and without the one that sent them. If
    /// several did, it is not known which of them was wrong.
    pub fn begin_anew(&mut self) {
        self.source = None;
        if let Some(sender) = core::mem::take(&mut self.senders).single() {
            self.refused_by.insert(sender);
        }
        self.any_encoding = false;
        self.restart();
    }

    pub(super) fn restart(&mut self) {
        self.here = SegmentBitmap::new();
        self.asked = SegmentBitmap::new();
        self.segment = 0;
        self.length = self.want.length as usize;
        self.encoding = Encoding::NONE;
        self.changes = 0;
        self.length_known = matches!(self.want.object, ObjectId::Content(_)) && !self.any_encoding;
        self.waits_since = None;
    }
}
