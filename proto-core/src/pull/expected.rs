//! How long pieces of a content will be as they travel (docs/protocol.md, "Encodings"): so much is asked for
//! before the first BLOCK tells.

use crate::content::ContentId;

/// Contents that are remembered; of any other, what came last of any is expected.
const CONTENTS: usize = 16;
/// Parts of a piece.
const WHOLE: usize = 256;
/// The newest piece counts for this part of the average.
const WEIGHT: usize = 4;

/// What lately became of pieces on their way.
#[derive(Debug)]
pub struct Expected {
    contents: [Option<(ContentId, u16)>; CONTENTS],
    next: usize,
    any: u16,
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            contents: [None; CONTENTS],
            next: 0,
            any: WHOLE as u16,
        }
    }
}

impl Expected {
    /// Bytes to ask for of a piece of this length: as many as the last ones needed, and an eighth more.
    #[must_use]
    pub fn bytes(&self, content: ContentId, length: usize) -> usize {
        let known = self.contents.iter().flatten();
        let parts = known
            .filter(|(known, _)| *known == content)
            .map(|(_, parts)| *parts)
            .next()
            .unwrap_or(self.any);
        let bytes = length * usize::from(parts) / WHOLE;
        (bytes + bytes / 8 + 1).min(length)
    }

    /// A piece of `length` bytes travels as `sent` bytes.
    pub fn note(&mut self, content: ContentId, length: usize, sent: usize) {
        let parts = (sent.min(length) * WHOLE).div_ceil(length.max(1));
        let before = self
            .contents
            .iter_mut()
            .flatten()
            .find(|(known, _)| *known == content);
        if let Some((_, before)) = before {
            *before = average(*before, parts);
        } else {
            if let Some(place) = self.contents.get_mut(self.next) {
                *place = Some((content, parts as u16));
            }
            self.next = (self.next + 1) % CONTENTS;
        }
        self.any = average(self.any, parts);
    }
}

/// Rounded up, so that it reaches the whole again.
fn average(before: u16, parts: usize) -> u16 {
    (usize::from(before) * (WEIGHT - 1) + parts).div_ceil(WEIGHT) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_content_is_expected_to_go_on_as_it_did() {
        let (text, film, other) = (ContentId([1; 32]), ContentId([2; 32]), ContentId([3; 32]));
        let mut expected = Expected::default();
        assert_eq!(expected.bytes(text, 60_000), 60_000, "nothing is known");
        for _ in 0..40 {
            expected.note(text, 60_000, 20_000);
            expected.note(film, 60_000, 60_000);
        }
        let bytes = expected.bytes(text, 60_000);
        assert!((22_500..23_500).contains(&bytes), "{bytes}");
        assert_eq!(expected.bytes(film, 60_000), 60_000);
        let bytes = expected.bytes(other, 60_000);
        assert!((30_000..60_000).contains(&bytes), "{bytes}");
        assert!(expected.bytes(other, 1) == 1);
    }

    #[test]
    fn what_does_not_shrink_any_more_is_soon_asked_for_whole() {
        let (text, mut expected) = (ContentId([1; 32]), Expected::default());
        for _ in 0..40 {
            expected.note(text, 60_000, 1_000);
        }
        for _ in 0..20 {
            expected.note(text, 60_000, 60_000);
        }
        assert_eq!(expected.bytes(text, 60_000), 60_000);
        for content in 0..100 {
            expected.note(ContentId([content; 32]), 60_000, 60_000);
        }
        assert_eq!(expected.bytes(text, 60_000), 60_000);
    }
}
