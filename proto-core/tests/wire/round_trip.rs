//! decode(emit(x)) == x.

use super::samples::{
    self, Told, block, emitted, items, journal, longest_entry, messages, object, path, stage,
    wanted,
};
use proptest::prelude::*;
use proto_core::content::ContentId;
use proto_core::index::entry::IndexId;
use proto_core::limits::{MAX_PAGE, MAX_PIECE, MIN_DATAGRAM};
use proto_core::session;
use proto_core::storage::segment_bitmap::{MAX_SEGMENTS, SegmentBitmap};
use proto_core::wire::announce::{Announce, MAX_BRIDGE};
use proto_core::wire::block::Block;
use proto_core::wire::draft::Draft;
use proto_core::wire::encoding::Encoding;
use proto_core::wire::have::Have;
use proto_core::wire::page::{EntryRef, Page};
use proto_core::wire::path_probe::{Padding, Probe};
use proto_core::wire::refuse::{Refuse, RefuseReason};
use proto_core::wire::{Message, entry};

fn read(told: &Told) -> EntryRef<'_> {
    EntryRef {
        entry: told.entry.clone(),
        path: &told.path,
        target: &told.target,
    }
}

proptest! {
    #[test]
    fn announces(
        (busy, bridge, leads) in (any::<bool>(), 0..=MAX_BRIDGE, any::<bool>()),
        (index_id, seen_index_id) in (any::<u64>(), any::<u64>()),
        (sequence, seen_sequence) in (any::<u64>(), any::<u64>()),
        (pending, sent_at, echo, echo_delay) in any::<(u32, u32, u32, u32)>(),
        page in prop::collection::vec(any::<u8>(), 0..100),
        contents in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let announce = Announce {
            busy,
            bridge,
            leads,
            index_id: IndexId(index_id),
            sequence,
            seen_index_id: IndexId(seen_index_id),
            seen_sequence,
            pending,
            sent_at,
            echo,
            echo_delay,
            page: &page,
            contents: &contents,
        };
        let bytes = emitted(|out| announce.emit(out));
        prop_assert_eq!(Message::decode(&bytes), Ok(Message::Announce(announce)));
    }

    #[test]
    fn requests(object in object(), segment in 1140u16..=60_000, items in items()) {
        let bytes = samples::request(object, segment, &items);
        let Ok(Message::Request(request)) = Message::decode(&bytes) else {
            return Err(TestCaseError::fail("no request"));
        };
        prop_assert_eq!(request.object(), object);
        prop_assert_eq!(request.segment(), segment);
        prop_assert_eq!(request.items().count(), items.len());
        prop_assert_eq!(request.rate(), Some(u64::from(segment) << 16));
        for (read, item) in request.items().zip(&items) {
            let (tag, start, length, _) = *item;
            prop_assert_eq!((read.tag, read.start, read.length), (tag, start, length));
            prop_assert_eq!(read.encoding, Encoding(tag as u8));
            let (wanted, segments) = wanted(segment, item);
            prop_assert_eq!(read.wanted.len(), segments.div_ceil(8));
            prop_assert_eq!(SegmentBitmap::read(read.wanted), Some(wanted));
        }
    }

    #[test]
    fn blocks(
        segment in 0..MAX_SEGMENTS as u16,
        tag: u32,
        length in 100..=MAX_PIECE as u32,
        payload in prop::collection::vec(any::<u8>(), 1..100),
    ) {
        let encoding = Encoding(tag as u8);
        let head = Block { encoding, segment, tag, length };
        let bytes = block(head, &payload);
        prop_assert_eq!(Message::decode(&bytes), Ok(Message::Block(head, &payload[..])));
    }

    #[test]
    fn haves(
        content: [u8; 32],
        asks: bool,
        whole: bool,
        first in 0..u32::MAX - 1000,
        held in prop::collection::vec(any::<u8>(), 1..100),
        unused in 0u16..8,
    ) {
        let have = Have {
            content: ContentId(content),
            asks,
            whole,
            first,
            count: held.len() as u16 * 8 - unused,
            held: &held,
        };
        let bytes = emitted(|out| have.emit(out));
        prop_assert_eq!(Message::decode(&bytes), Ok(Message::Have(have)));
    }

    #[test]
    fn refusals(reason: u8, tag: u32) {
        let refuse = Refuse { reason: RefuseReason(reason), tag };
        let bytes = emitted(|out| refuse.emit(out));
        prop_assert_eq!(Message::decode(&bytes), Ok(Message::Refuse(refuse)));
    }

    #[test]
    fn probes(size in 1200_u16..=60_000, tag: u32, ecn: bool, padding in 8_usize..60_000) {
        let probe = Probe { size, tag, ecn };
        let bytes = emitted(|out| probe.emit(out));
        prop_assert_eq!(Message::decode(&bytes), Ok(Message::Probe(probe)));
        let bytes = emitted(|out| Padding { tag }.emit(&mut out[..padding]));
        prop_assert_eq!(bytes.len(), padding);
        prop_assert!(bytes[8..].iter().all(|byte| *byte == 0));
        prop_assert_eq!(Message::decode(&bytes), Ok(Message::Padding(Padding { tag })));
    }

    #[test]
    fn drafts(number: u64, size: u64, stage in stage(), path in path()) {
        let draft = Draft { number, stage, size, path: &path };
        let bytes = emitted(|out| draft.emit(out));
        prop_assert!(bytes.len() <= MIN_DATAGRAM - session::OVERHEAD);
        prop_assert_eq!(Message::decode(&bytes), Ok(Message::Draft(draft)));
    }

    #[test]
    fn pages(index: u64, (after, told, through, newest) in journal()) {
        let bytes = samples::page(IndexId(index), after, &told, through, newest);
        let page = Page::parse(&bytes).expect("a page");
        prop_assert_eq!(page.index_id, IndexId(index));
        prop_assert_eq!((page.after, page.through, page.newest), (after, through, newest));
        let entries: Vec<_> = page.entries().collect();
        let expected: Vec<_> = told.iter().map(read).collect();
        prop_assert_eq!(entries, expected);
        let entries: usize = told
            .iter()
            .map(|told| entry::len(&told.entry, &told.path, &told.target))
            .sum();
        prop_assert_eq!(bytes.len(), proto_core::wire::page::HEAD_LEN + entries);
    }
}

#[test]
fn the_longest_entry_fits_a_page() {
    let told = longest_entry();
    let bytes = samples::page(IndexId(1), 4, std::slice::from_ref(&told), 5, 5);
    assert!(bytes.len() <= MAX_PAGE);
    let page = Page::parse(&bytes).expect("a page");
    assert_eq!(page.entries().collect::<Vec<_>>(), [read(&told)]);
}

#[test]
fn every_message_has_its_operation_and_prints_in_one_line() {
    for ((name, bytes), operation) in messages().into_iter().zip(1u8..) {
        assert_eq!(bytes[0], operation);
        let line = Message::decode(&bytes).expect(name).to_string();
        assert!(line.starts_with(&name.to_uppercase()), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn nothing_is_written_where_there_is_no_room() {
    let (tag, reason) = (1, RefuseReason::GONE);
    assert!(Refuse { reason, tag }.emit(&mut [0; 7]).is_err());
    assert!(proto_core::wire::goodbye::emit(&mut []).is_err());
    let told = longest_entry();
    let mut small = [0; 400];
    let mut writer = proto_core::wire::page::PageWriter::new(&mut small, IndexId(1), 4).unwrap();
    assert!(writer.push(&told.entry, &told.path, &told.target).is_err());
    let len = writer.finish(4, 5);
    let page = Page::parse(&small[..len]).expect("an empty page");
    assert_eq!(page.entries().count(), 0);
}
