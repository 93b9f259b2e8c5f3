//! An ANNOUNCE with what a peer has not seen yet: entries, and contents of tiny files among them
//! (docs/protocol.md, "Announce").

use super::remote::Remote;
use crate::boundary::{Objects, Read};
use crate::content::cut::SMALLEST_CHUNK;
use crate::index::entry::Kind;
use crate::session::CipherKey;
use crate::wire::ObjectId;
use crate::wire::announce::{Announce, CONTENT_HEAD_LEN};
use crate::wire::page::Page;

/// Writes `own`, as many entries behind it as fit, beginning after what the peer has seen, and as many of
/// their contents as fit then. How many bytes it took.
pub(super) fn emit<K: CipherKey>(
    remote: &Remote<K>,
    own: &Announce<'_>,
    out: &mut [u8],
    objects: &mut impl Objects,
) -> Option<usize> {
    let head = own.emit_head(out, 0).ok()?;
    let seen = remote
        .announced
        .filter(|told| told.seen_index == own.index_id)
        .map(|told| told.seen_sequence);
    let Some(after) = seen.filter(|seen| *seen < own.sequence) else {
        return Some(head);
    };
    let object = ObjectId::Journal(own.index_id);
    let tail = out.get_mut(head..)?;
    let room = tail.len();
    let page = match objects.piece(object, after, room) {
        Read::Ready(page) if page <= room => page,
        _ => return Some(head),
    };
    let (told, rest) = tail.split_at_mut_checked(page)?;
    match objects.read(object, after, room, 0, told) {
        Read::Ready(read) if read == page => {}
        _ => return Some(head),
    }
    let contents = put_contents(told, rest, objects);
    own.emit_head(out, page).ok()?;
    Some(head + page + contents)
}

/// Puts contents of files that a page tells of into `out`, in the order of their entries, as many as fit. How
/// many bytes they took.
fn put_contents(page: &[u8], out: &mut [u8], objects: &mut impl Objects) -> usize {
    let Ok(page) = Page::parse(page) else {
        return 0;
    };
    let mut used = 0;
    for told in page.entries() {
        let size = usize::try_from(told.entry.size).unwrap_or(usize::MAX);
        let one_chunk = (1..=SMALLEST_CHUNK as usize).contains(&size);
        if told.entry.kind != Kind::File || !one_chunk {
            continue;
        }
        let Some((len, bytes)) = out
            .get_mut(used..)
            .and_then(|rest| rest.split_at_mut_checked(CONTENT_HEAD_LEN))
        else {
            break;
        };
        let Some(bytes) = bytes.get_mut(..size) else {
            continue;
        };
        // What cannot be read now is left out: its puller asks for it.
        let object = ObjectId::Content(told.entry.content);
        if objects.piece(object, 0, size) != Read::Ready(size)
            || objects.read(object, 0, size, 0, bytes) != Read::Ready(size)
        {
            continue;
        }
        len.copy_from_slice(&(size as u16).to_be_bytes());
        used += CONTENT_HEAD_LEN + size;
    }
    used
}
