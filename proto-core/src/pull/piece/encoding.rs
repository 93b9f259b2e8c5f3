//! How a piece travels: in which encoding, and how long it is so (docs/protocol.md, "Encodings").

use super::Piece;
use crate::flow::Flow;
use crate::pull::Expected;
use crate::wire::ObjectId;
use crate::wire::encoding::Encoding;

/// So often a source may change its mind about the encoding of a piece; more holds it up for good.
const MOST_CHANGES: u8 = 3;

impl Piece {
    /// A piece of a content or bundle, or a journal page, may come in any encoding, and of a length that is not known.
    pub fn allow_encodings(&mut self) {
        if self.want.object.may_be_encoded() {
            self.any_encoding = true;
            self.length_known = false;
        }
    }

    /// How long it may be in its encoding, if that is about to be asked for. Many pieces are wanted before the first
    /// one has come: what is known when they are wanted is nothing.
    pub fn guess_length(&mut self, expected: &Expected) {
        if let (Some(sort), true, 0) = (self.want.object.sort(), self.any_encoding, self.segment) {
            self.expected = expected.bytes(sort, self.want.length as usize);
        }
    }

    /// The encoding to ask for: the one that it was begun in.
    #[must_use]
    pub fn asked_encoding(&self) -> Encoding {
        if self.any_encoding && !self.length_known {
            Encoding::ANY
        } else {
            self.encoding
        }
    }

    /// How it came and its length so, as the first BLOCK told.
    #[must_use]
    pub fn encoded(&self) -> Option<(Encoding, usize)> {
        self.length_known.then_some((self.encoding, self.length))
    }

    /// The length that a REQUEST names it by.
    #[must_use]
    pub fn named_length(&self) -> usize {
        match self.want.object {
            ObjectId::Content(_) => self.want.length as usize,
            // The length of an encoded one says nothing of how much is wanted.
            _ if self.encoding.is_shorter() => self.want.length as usize,
            _ => self.length,
        }
    }

    pub(super) fn may_come_in(&self, encoding: Encoding, length: usize) -> bool {
        let wanted = self.want.length as usize;
        match self.want.object {
            _ if encoding.is_shorter() => self.any_encoding && length < wanted,
            ObjectId::Content(_) => encoding == Encoding::NONE && length == wanted,
            _ => encoding == Encoding::NONE && length <= wanted,
        }
    }

    pub(super) fn changes_too_often(&mut self) -> bool {
        if self.length_known && self.want.object.sort().is_some() {
            self.changes = self.changes.saturating_add(1);
        }
        self.changes > MOST_CHANGES
    }

    /// Its source never sends it whole: somebody else may.
    pub(super) fn disbelieve(&mut self, flow: &mut Flow) {
        self.give_up(flow);
        if let Some(source) = self.source.take() {
            self.refused_by.insert(source);
        }
        self.restart();
    }

    /// Its source is gone: another one, or its next life, may encode in another way.
    pub fn forget_encoded(&mut self) {
        if self.encoding != Encoding::NONE && !self.is_complete() {
            self.restart();
        }
    }

    /// From now on it is wanted as it is.
    pub(super) fn take_plain(&mut self) {
        if self.any_encoding && self.want.object.sort().is_some() {
            self.any_encoding = false;
            self.encoding = Encoding::NONE;
            self.length = self.want.length as usize;
            self.length_known = matches!(self.want.object, ObjectId::Content(_));
        }
    }
}
