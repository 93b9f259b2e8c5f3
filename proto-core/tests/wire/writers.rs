//! Writers: what they refuse leaves them valid, and they write nothing that would not be read.

use super::samples::{self, Told, journal, sample_entry};
use proptest::prelude::*;
use proto_core::index::entry::IndexId;
use proto_core::index::version_vector::VersionVector;
use proto_core::limits::{MAX_DATAGRAM, MAX_PIECE};
use proto_core::storage::segment_bitmap::SegmentBitmap;
use proto_core::wire::page::{HEAD_LEN, Page, PageWriter};
use proto_core::wire::refuse::{Refuse, RefuseReason};
use proto_core::wire::request::RequestWriter;
use proto_core::wire::{Message, ObjectId, WireError, entry};

const JOURNAL: ObjectId = ObjectId::Journal(IndexId(7));

fn len(told: &Told) -> usize {
    entry::len(&told.entry, &told.path, &told.target)
}

proptest! {
    #[test]
    fn a_full_page_stays_valid((after, told, through, newest) in journal(), room in HEAD_LEN..3000) {
        let mut out = vec![0xee; room];
        let mut writer = PageWriter::new(&mut out, IndexId(1), after).expect("room");
        let (mut used, mut taken) = (HEAD_LEN, 0);
        for told in &told {
            match writer.push(&told.entry, &told.path, &told.target) {
                Ok(()) => taken += 1,
                Err(error) => {
                    prop_assert_eq!(error, WireError::NoRoom);
                    prop_assert!(used + len(told) > room);
                    break;
                }
            }
            used += len(told);
        }
        prop_assert_eq!(writer.finish(through, newest), used);
        let page = Page::parse(&out[..used]).expect("a page");
        prop_assert_eq!(page.entries().count(), taken);
        for (read, told) in page.entries().zip(&told) {
            prop_assert_eq!((&read.entry, read.path, read.target), (&told.entry, &told.path[..], &told.target[..]));
        }
        prop_assert!(PageWriter::new(&mut [0; HEAD_LEN - 1], IndexId(1), 0).is_err());
    }

    /// An entry changes while the page is sent segment by segment: it moves to the end of the journal.
    #[test]
    fn two_states_of_a_journal_do_not_mix((after, mut told, through, _) in journal(), cut in HEAD_LEN..400) {
        let older = samples::page(IndexId(1), after, &told, through, through);
        if told.is_empty() {
            return Ok(());
        }
        let mut moved = told.remove(0);
        moved.entry.sequence = through + 1;
        told.push(moved);
        let newer = samples::page(IndexId(1), after, &told, through + 1, through + 1);
        let cut = cut.min(older.len());
        for (first, second) in [(&older, &newer), (&newer, &older)] {
            let mixed = [&first[..cut], &second[cut..]].concat();
            prop_assert_eq!(Page::parse(&mixed).is_ok(), mixed == *first);
        }
    }
}

#[test]
fn a_page_takes_only_what_a_reader_takes() {
    let mut out = [0; 500];
    let mut writer = PageWriter::new(&mut out, IndexId(1), 5).expect("room");
    let mut told = sample_entry();
    let mut push = |told: &Told| writer.push(&told.entry, &told.path, &told.target);
    for (sequence, taken) in [
        (0, false),
        (5, false),
        (6, true),
        (6, false),
        (8, true),
        (7, false),
    ] {
        told.entry.sequence = sequence;
        let refused = Err(WireError::Invalid("sequence"));
        assert_eq!(
            push(&told),
            if taken { Ok(()) } else { refused },
            "{sequence}"
        );
    }
    told.entry.sequence = 9;
    told.entry.version = VersionVector::default();
    assert_eq!(push(&told), Err(WireError::Invalid("version count")));
    // Not what room there is decides about what may never be sent.
    told.path = vec![b'x'; 5000];
    assert!(matches!(push(&told), Err(WireError::Invalid(_))));
    let len = writer.finish(8, 8);
    let page = Page::parse(&out[..len]).expect("a page");
    let sequences: Vec<u64> = page.entries().map(|told| told.entry.sequence).collect();
    assert_eq!(sequences, [6, 8]);
}

#[test]
fn a_full_request_stays_valid() {
    let wanted = SegmentBitmap::fill(1);
    for (room, fitting) in [
        (40, 0),
        (56, 0),
        (57, 1),
        (57 + 16, 1),
        (57 + 17, 2),
        (4000, 32),
    ] {
        let mut out = vec![0xee; room];
        let mut writer = RequestWriter::new(&mut out, JOURNAL, 100).expect("room");
        let mut pushed = 0;
        loop {
            assert_eq!(writer.is_empty(), pushed == 0);
            let has_room = writer.has_room(1);
            let added = writer.push(pushed, 5, 100, 1, &wanted);
            assert_eq!(added.is_ok(), has_room);
            if let Err(error) = added {
                assert_eq!((error, pushed), (WireError::NoRoom, fitting), "{room}");
                break;
            }
            pushed += 1;
        }
        let len = writer.finish();
        match Message::decode(&out[..len]) {
            Ok(Message::Request(read)) => assert_eq!(read.items().count(), fitting as usize),
            other => assert_eq!((other, fitting), (Err(WireError::Invalid("item count")), 0)),
        }
    }
}

#[test]
fn a_request_takes_only_what_a_reader_takes() {
    let mut out = [0; 400];
    for segment in [0, MAX_DATAGRAM as u16 + 1, u16::MAX] {
        let refused = RequestWriter::new(&mut out, JOURNAL, segment).map(drop);
        assert_eq!(refused, Err(WireError::Invalid("segment")));
    }
    let mut writer = RequestWriter::new(&mut out, JOURNAL, 1000).expect("room");
    let one = SegmentBitmap::fill(1);
    let mut second = SegmentBitmap::new();
    second.set(1);
    let longest = MAX_PIECE as u32;
    for (length, segments, wanted, error) in [
        (0, 0, &one, "length"),
        (0, 1, &one, "length"),
        (1, 2, &one, "length"),
        (1001, 1, &one, "length"),
        (longest + 1, 1049, &one, "length"),
        (u32::MAX, 1, &one, "length"),
        // More segments than a bitmap holds.
        (longest, 1049, &one, "segment"),
        (1000, 1, &SegmentBitmap::new(), "bitmap"),
        (1000, 1, &second, "bitmap"),
    ] {
        let refused = writer.push(1, 0, length, segments, wanted);
        assert_eq!(
            refused,
            Err(WireError::Invalid(error)),
            "{length} {segments}"
        );
    }
    assert!(writer.is_empty());
    assert_eq!(writer.push(1, 0, 1001, 2, &second), Ok(()));
    let len = writer.finish();
    assert!(Message::decode(&out[..len]).is_ok());
}

#[test]
fn a_refusal_prints_its_reason() {
    for (reason, printed) in [
        (RefuseReason::GONE, "gone"),
        (RefuseReason::CHANGED, "changed"),
        (RefuseReason::BUSY, "busy"),
        (RefuseReason::MALFORMED, "malformed"),
        (RefuseReason(77), "reason 77"),
    ] {
        let refuse = Message::Refuse(Refuse {
            reason,
            tag: 0x1_0002,
        });
        assert_eq!(refuse.to_string(), format!("REFUSE 00010002: {printed}"));
    }
}
