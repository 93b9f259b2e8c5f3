//! What the fuzz targets do with their input, as plain functions, so that ordinary tests can replay
//! it. Each decodes bytes from outside, and asserts what holds for whatever passes.

use peer_mio::jobs::encode::{Decoder, Encoder, longest};
use proto_core::index::entry::{IndexId, Timestamp};
use proto_core::legacy::{
    InformationQuery, InformationReply, MAX_DICT_ENTRIES, MAX_INFORMATION_REPLY, Reply,
    ReplyWriter, Request as LegacyRequest, parse_dict,
};
use proto_core::limits::{MAX_NAME, MAX_PAGE, MAX_PATH, MAX_PIECE};
use proto_core::path;
use proto_core::session::{
    Config, DatagramKind, Entropy, INITIATION_LEN, Incoming, PeerSessions, receiver_prefix,
};
use proto_core::storage::segment_bitmap::SegmentBitmap;
use proto_core::time::Instant;
use proto_core::wire::announce::{CONTENT_HEAD_LEN, contents};
use proto_core::wire::encoding::Encoding;
use proto_core::wire::page::{HEAD_LEN, Page, PageWriter};
use proto_core::wire::request::RequestWriter;
use proto_core::wire::{Message, WireError, goodbye};

/// Room for every message that can be written.
const ROOM: usize = 128 * 1024;

/// What `emit` writes.
///
/// # Panics
/// If it does not write.
fn written(emit: impl FnOnce(&mut [u8]) -> Result<usize, WireError>) -> Vec<u8> {
    let mut out = vec![0; ROOM];
    let written = emit(&mut out);
    assert!(written.is_ok(), "what was read cannot be written");
    out.truncate(written.unwrap_or_default());
    out
}

/// Decodes one message; what passes is written again and read alike.
///
/// # Panics
/// If it is not.
pub fn decode_message(data: &[u8]) {
    let Ok(message) = Message::decode(data) else {
        return;
    };
    assert!(!message.to_string().contains('\n'));
    let again = match &message {
        Message::Announce(announce) => {
            decode_page(announce.page);
            let told = contents(announce.contents).map(|content| {
                assert!(!content.is_empty());
                content.len() + CONTENT_HEAD_LEN
            });
            assert!(told.sum::<usize>() <= announce.contents.len());
            written(|out| announce.emit(out))
        }
        Message::Request(request) => written(|out| {
            let mut writer = RequestWriter::new(out, request.object(), request.segment())?;
            writer.set_rate(request.rate());
            for item in request.items() {
                assert!((1..=MAX_PIECE).contains(&(item.length as usize)));
                let segments = item.length.div_ceil(u32::from(request.segment())) as usize;
                let wanted = SegmentBitmap::read(item.wanted).unwrap_or_default();
                assert!(!wanted.is_empty() && wanted.iter().all(|place| place < segments));
                let piece = (item.start, item.length);
                writer.push_encoded(item.tag, piece, item.encoding, segments, &wanted)?;
            }
            Ok(writer.finish())
        }),
        Message::Block(block, payload) => {
            assert!((1..=block.length as usize).contains(&payload.len()));
            let mut again = written(|out| block.emit_header(out));
            again.extend_from_slice(payload);
            again
        }
        Message::Have(have) => written(|out| have.emit(out)),
        Message::Refuse(refuse) => written(|out| refuse.emit(out)),
        Message::Goodbye => written(goodbye::emit),
        Message::Probe(probe) => written(|out| probe.emit(out)),
        // What lies behind its head is not looked at.
        Message::Padding(padding) => {
            written(|out| padding.emit(out.get_mut(..8).unwrap_or_default()))
        }
        Message::Draft(draft) => {
            assert_eq!(path::check(draft.path), Ok(()));
            written(|out| draft.emit(out))
        }
    };
    assert_eq!(Message::decode(&again), Ok(message));
}

/// Gives one datagram to sessions in each of their states: not connected, waiting for a RESPONSE,
/// connected. Nothing that is made without a session's keys comes out as a message.
///
/// # Panics
/// If it does.
pub fn decode_handshake(data: &[u8]) {
    let now = Instant::from_micros(1_000_000);
    let _ = (DatagramKind::of(data), receiver_prefix(data));
    let (mut near, mut far) = (side(0), side(1));
    for _ in 0..3 {
        receive(now, &mut near, data);
        receive(now, &mut side(2), data);
        // Another step of the handshake, and one more state.
        exchange(now, &mut near, &mut far);
        exchange(now, &mut far, &mut near);
    }
    assert!(near.sessions.is_connected() && far.sessions.is_connected());
}

/// Sessions with one peer, and what they need.
struct Side {
    sessions: PeerSessions,
    config: Config,
    entropy: Entropy,
}

fn side(number: u8) -> Side {
    Side {
        sessions: PeerSessions::new(number, 1 << 40, None),
        config: Config {
            key: [0x42; 32],
            index_id: IndexId(u64::from(number) + 1),
            boot_id: 1,
            aegis: false,
        },
        entropy: Entropy::new(&[number; 32]),
    }
}

fn receive(now: Instant, side: &mut Side, data: &[u8]) {
    let mut datagram = data.to_vec();
    let incoming =
        side.sessions
            .handle_datagram(now, &side.config, &mut side.entropy, &mut datagram);
    assert!(matches!(incoming, Err(_) | Ok(Incoming::Handshake)));
}

fn exchange(now: Instant, from: &mut Side, to: &mut Side) {
    let mut out = [0; INITIATION_LEN];
    while let Some(len) =
        from.sessions
            .poll_transmit(now, &from.config, &mut from.entropy, &mut out)
    {
        if let Some(datagram) = out.get_mut(..len) {
            let _ = to
                .sessions
                .handle_datagram(now, &to.config, &mut to.entropy, datagram);
        }
    }
}

/// The INITIATION that a peer with the key of [`decode_handshake`] sends first: a seed.
#[must_use]
pub fn genuine_initiation(number: u8) -> Vec<u8> {
    let mut sender = side(number);
    let mut out = vec![0; INITIATION_LEN];
    let now = Instant::from_micros(1_000_000);
    let sent = sender
        .sessions
        .poll_transmit(now, &sender.config, &mut sender.entropy, &mut out);
    assert_eq!(sent, Some(INITIATION_LEN));
    out
}

/// CRC-32 (IEEE) bit by bit.
fn crc32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// Reads a journal page as it is, and with its checksum made right so that the input gets behind it;
/// what passes keeps the rules of pages and is written again and read alike.
///
/// # Panics
/// If it does not.
pub fn decode_page(data: &[u8]) {
    check_page(data);
    let mut mended = data.to_vec();
    if let Some((head, entries)) = mended.split_first_chunk_mut::<HEAD_LEN>() {
        let [fields @ .., a, b, c, d] = head;
        let sum = crc32(fields.iter().chain(entries.iter()));
        [*a, *b, *c, *d] = sum.to_be_bytes();
    }
    check_page(&mended);
}

fn check_page(data: &[u8]) {
    let Ok(page) = Page::parse(data) else {
        return;
    };
    assert!(page.after <= page.through && page.through <= page.newest);
    let mut last = page.after;
    let again = written(|out| {
        let mut writer = PageWriter::new(out, page.index_id, page.after)?;
        for told in page.entries() {
            assert_eq!(path::check(told.path), Ok(()));
            assert!(last < told.entry.sequence && told.entry.sequence <= page.through);
            last = told.entry.sequence;
            writer.push(&told.entry, told.path, told.target)?;
        }
        Ok(writer.finish(page.through, page.newest))
    });
    assert_eq!(again.len(), data.len());
    assert_eq!(Page::parse(&again).map(|again| again.entries().count()), {
        Ok(page.entries().count())
    });
    // All but the two ignored bytes and the checksum, which depends on them.
    let same = |bytes: &[u8]| {
        let kept = bytes.iter().enumerate();
        let kept = kept.filter(|(at, _)| !(34..HEAD_LEN).contains(at));
        kept.map(|(_, byte)| *byte).collect::<Vec<_>>()
    };
    assert_eq!(same(&again), same(data));
}

/// Reads a datagram as each of the ancestor's; what passes is written to the same bytes.
///
/// # Panics
/// If it is not.
pub fn decode_legacy(data: &[u8]) {
    if let Ok(query) = InformationQuery::parse(data) {
        assert_eq!(written(|out| query.emit(out)), data);
    }
    if let Ok(reply) = InformationReply::parse(data)
        && data.len() <= MAX_INFORMATION_REPLY
    {
        assert_eq!(written(|out| reply.emit(out)), data);
    }
    if let Ok(reply) = InformationReply::parse(data) {
        decode_dict(reply.dict.as_bytes());
    }
    if let Ok(reply) = Reply::parse(data) {
        assert_eq!(written(|out| reply.emit(out)), data);
    }
    if let Ok(request) = LegacyRequest::parse(data)
        && data.len() <= ROOM
    {
        // What stands behind the header is ignored.
        assert!(data.starts_with(&written(|out| request.emit(out))));
    }
}

/// Reads text as an ancestor's dict; what passes holds paths and numbers within the bounds, and our own dict of
/// the same paths is read alike.
///
/// # Panics
/// If it does not.
pub fn decode_dict(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut paths = Vec::new();
    let read = parse_dict(text, &mut |path, time| {
        assert_eq!(path::check(path), Ok(()));
        assert!(f64::from_bits(time).is_finite());
        paths.push(path.to_vec());
    });
    assert!(paths.len() <= MAX_DICT_ENTRIES);
    if read != Ok(paths.len()) {
        assert!(read.is_err());
        return;
    }
    let mut out = vec![0; ROOM];
    let Some(mut writer) = ReplyWriter::new(&mut out, 0, 0) else {
        return;
    };
    let mut told = Vec::new();
    for path in paths {
        if let Ok(text) = std::str::from_utf8(&path)
            && writer.push(text, Timestamp::default())
        {
            told.push(path);
        }
    }
    let len = writer.finish();
    assert!(len <= MAX_INFORMATION_REPLY);
    let reply = InformationReply::parse(out.get(..len).unwrap_or_default());
    let mut again = Vec::new();
    let dict = reply.map_or("", |reply| reply.dict);
    let read = parse_dict(dict, &mut |path, _| again.push(path.to_vec()));
    assert_eq!((read, again), (Ok(told.len()), told));
}

/// Checks bytes as a path; what passes stays below the folder whatever is done with it.
///
/// # Panics
/// If it does not.
pub fn check_path(data: &[u8]) {
    let printed = path::Escaped(data).to_string();
    assert!(!printed.chars().any(char::is_control));
    let halves = data.split_at_checked(data.len() / 2).unwrap_or_default();
    let order = path::tree_cmp(halves.0, halves.1);
    assert_eq!(path::tree_cmp(halves.1, halves.0), order.reverse());
    if path::check(data).is_err() {
        return;
    }
    assert!(data.len() <= MAX_PATH && !data.contains(&0));
    let mut depth = 0;
    for component in data.split(|byte| *byte == b'/') {
        assert!((1..=MAX_NAME).contains(&component.len()));
        assert!(component != b"." && component != b"..");
        depth += 1;
    }
    assert!(path::is_below(data, b"") && !path::is_below(data, data));
    let mut rest = data;
    while let Some(parent) = path::parent(rest) {
        assert_eq!(path::check(parent), Ok(()));
        assert!(path::is_below(data, parent));
        assert_eq!(path::tree_cmp(parent, data), core::cmp::Ordering::Less);
        assert_eq!(parent.len() + 1 + path::name(rest).len(), rest.len());
        rest = parent;
        depth -= 1;
    }
    assert_eq!(depth, 1);
}

/// Decodes an encoded piece: three bytes of length, then what came. What passes is encoded and decoded again.
///
/// # Panics
/// If it is of another length, or another piece then.
pub fn decode_piece(data: &[u8]) {
    let Some(([high, middle, low], came)) = data.split_first_chunk() else {
        return;
    };
    let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    let mut decoder = Decoder::default();
    // A journal page is as long as it becomes.
    if let Some(page) = decoder.decode_at_most(came, MAX_PAGE) {
        assert!(page.len() <= MAX_PAGE);
        if let Ok(page) = Page::parse(page) {
            assert!(page.entries().count() <= MAX_PAGE);
        }
    }
    let Some(piece) = decoder.decode(came, length).map(<[u8]>::to_vec) else {
        return;
    };
    assert!(piece.len() == length && (1..=MAX_PIECE).contains(&length));
    let mut out = vec![0; longest(length)];
    for encoding in [Encoding::FAST, Encoding::SMALL] {
        let len = Encoder::default().encode(encoding, &piece, &mut out);
        if let Some(encoded) = len.and_then(|len| out.get(..len)) {
            assert_eq!(decoder.decode(encoded, length), Some(&piece[..]));
        }
    }
}
