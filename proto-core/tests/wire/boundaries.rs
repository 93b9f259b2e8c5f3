//! A table of values for each integer field of the wire: 0, 1, the greatest, one more. What a length or
//! count field says is never believed beyond what has arrived.

use super::samples::{Told, messages, page, request, sample_entry};
use proto_core::content::ContentId;
use proto_core::index::entry::{IndexId, Kind};
use proto_core::limits::{MAX_DATAGRAM, MAX_PIECE, MAX_VERSIONS};
use proto_core::storage::segment_bitmap::{MAX_SEGMENTS, SegmentBitmap};
use proto_core::wire::page::{Page, PageWriter};
use proto_core::wire::request::RequestWriter;
use proto_core::wire::{BundleId, Message, ObjectId};

const U8: u64 = u8::MAX as u64;
const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;
const U64: u64 = u64::MAX;
const PIECE: u64 = MAX_PIECE as u64;

/// A field: name, offset, bytes, values that pass, values that do not.
type Field = (&'static str, usize, usize, &'static [u64], &'static [u64]);

/// Sets each field to each value in turn.
fn walk(name: &str, whole: &[u8], fields: &[Field], passes: impl Fn(&mut [u8]) -> bool) {
    for (field, at, width, good, bad) in fields {
        let values = good
            .iter()
            .map(|value| (value, true))
            .chain(bad.iter().map(|value| (value, false)));
        for (value, expected) in values {
            let mut bytes = whole.to_vec();
            bytes[*at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
            assert_eq!(passes(&mut bytes), expected, "{name}: {field} = {value}");
        }
    }
}

fn decodes(bytes: &mut [u8]) -> bool {
    Message::decode(bytes).is_ok()
}

fn sample(wanted: &str) -> Vec<u8> {
    messages()
        .into_iter()
        .find_map(|(name, bytes)| (name == wanted).then_some(bytes))
        .expect("a sample")
}

#[test]
fn fields_of_messages() {
    walk(
        "any",
        &sample("goodbye"),
        &[("operation", 0, 1, &[6], &[0, 1, 2, 3, 4, 5, 7, U8])],
        decodes,
    );
    walk(
        "announce",
        &sample("announce"),
        &[
            ("flags", 1, 1, &[0, 1, U8], &[]),
            // Its page and what is behind it have 175 bytes.
            ("page", 2, 2, &[0, 1, 175], &[176, U16]),
            ("index id", 4, 8, &[0, 1, U64], &[]),
            ("sequence", 12, 8, &[0, 1, U64], &[]),
            ("seen index id", 20, 8, &[0, 1, U64], &[]),
            ("seen sequence", 28, 8, &[0, 1, U64], &[]),
            ("pending", 36, 4, &[0, 1, U32], &[]),
            ("sent at", 40, 4, &[0, 1, U32], &[]),
            ("echo", 44, 4, &[0, 1, U32], &[]),
            ("echo delay", 48, 4, &[0, 1, U32], &[]),
        ],
        decodes,
    );
    walk(
        "block",
        &sample("block"),
        &[
            ("reserved", 1, 1, &[0, U8], &[]),
            (
                "segment",
                2,
                2,
                &[0, 1, MAX_SEGMENTS as u64 - 1],
                &[MAX_SEGMENTS as u64, U16],
            ),
            ("tag", 4, 4, &[0, 1, U32], &[]),
            // The payload has 720 bytes.
            ("length", 8, 4, &[720, PIECE], &[0, 1, 719, PIECE + 1, U32]),
        ],
        decodes,
    );
    walk(
        "have",
        &sample("have"),
        &[
            ("reserved", 1, 1, &[0, U8], &[]),
            // The bitmap has 2 bytes.
            ("count", 2, 2, &[9, 16], &[0, 1, 8, 17, U16]),
            ("first", 36, 4, &[0, 1, U32 - 8], &[U32 - 7, U32]),
        ],
        decodes,
    );
    walk(
        "refuse",
        &sample("refuse"),
        &[
            ("reason", 1, 1, &[0, 1, 4, 5, U8], &[]),
            ("reserved", 2, 2, &[0, U16], &[]),
            ("tag", 4, 4, &[0, 1, U32], &[]),
        ],
        decodes,
    );
    walk(
        "probe",
        &sample("probe"),
        &[
            ("reserved", 1, 1, &[0, U8], &[]),
            (
                "size",
                2,
                2,
                &[1200, MAX_DATAGRAM as u64],
                &[0, 1199, MAX_DATAGRAM as u64 + 1, U16],
            ),
            ("tag", 4, 4, &[0, 1, U32], &[]),
        ],
        decodes,
    );
    walk(
        "padding",
        &sample("padding"),
        &[
            ("reserved", 1, 1, &[0, U8], &[]),
            ("reserved", 2, 2, &[0, U16], &[]),
            ("tag", 4, 4, &[0, 1, U32], &[]),
        ],
        decodes,
    );
    walk(
        "draft",
        &sample("draft"),
        &[
            ("stage", 1, 1, &[2, 3], &[0, 1, 4, U8]),
            // Its path has 11 bytes.
            ("length of the path", 2, 2, &[11], &[0, 10, 12, U16]),
            ("chunks", 4, 4, &[0, 1, U32], &[]),
            ("number", 8, 8, &[0, 1, U64], &[]),
            ("size", 16, 8, &[0, 1, U64], &[]),
        ],
        decodes,
    );
    let mut growing = sample("draft");
    growing[1] = 1;
    growing[4..8].copy_from_slice(&128_u32.to_be_bytes());
    walk(
        "growing draft",
        &growing,
        &[("chunks", 4, 4, &[0, 128, 256], &[1, 127, 129, U32])],
        decodes,
    );
    for (path, good) in [
        (vec![b'p'; 255], true),
        (
            [vec![b'p'; 255], vec![b'/']].concat().repeat(5)[..1088].to_vec(),
            true,
        ),
        (
            [vec![b'p'; 255], vec![b'/']].concat().repeat(5)[..1089].to_vec(),
            false,
        ),
        (b"../up".to_vec(), false),
        (b"/root".to_vec(), false),
    ] {
        let mut bytes = sample("draft")[..56].to_vec();
        bytes[2..4].copy_from_slice(&(path.len() as u16).to_be_bytes());
        bytes.extend(&path);
        assert_eq!(decodes(&mut bytes), good, "{path:?}");
    }
}

#[test]
fn fields_of_requests() {
    let content = ObjectId::Content(ContentId([3; 32]));
    walk(
        "request of one segment",
        &request(content, 1140, &[(1, 2, 1140, vec![0])]),
        &[
            ("object kind", 1, 1, &[1, 2], &[0, 3, 4, U8]),
            ("item count", 2, 1, &[1], &[0, 2, 32, 33, U8]),
            ("reserved", 3, 1, &[0, U8], &[]),
            // One bitmap of 8 bits, in which the first is set.
            (
                "segment",
                4,
                2,
                &[143, 1140, MAX_DATAGRAM as u64],
                &[0, 1, 142, MAX_DATAGRAM as u64 + 1, U16],
            ),
            ("reserved", 6, 2, &[0, U16], &[]),
            ("tag", 40, 4, &[0, 1, U32], &[]),
            ("start", 44, 8, &[0, 1, U64], &[]),
            ("length", 52, 4, &[1, 1140, 9120], &[0, 9121, PIECE, U32]),
            ("bitmap", 56, 1, &[0x80], &[0, 0x40, 0xc0, 0x81, U8]),
        ],
        decodes,
    );
    walk(
        "request of the largest piece",
        &request(content, 60_000, &[(1, 2, MAX_PIECE as u32, vec![17])]),
        &[
            ("length", 52, 4, &[PIECE], &[0, 1, PIECE + 1, U32]),
            // 18 segments.
            ("bitmap", 58, 1, &[0x40, 0x80, 0xc0], &[0, 0x20, 0x01]),
        ],
        decodes,
    );
    let smallest = request(content, 1140, &[(1, 2, MAX_PIECE as u32, vec![0])]);
    assert!(Message::decode(&smallest).is_ok());
    walk(
        "request of a journal",
        &request(ObjectId::Journal(IndexId(5)), 1140, &[(1, 2, 9, vec![0])]),
        &[
            ("index", 8, 8, &[0, 1, U64], &[]),
            ("padding", 16, 8, &[0], &[1, U64]),
            ("padding", 32, 8, &[0], &[1, U64]),
        ],
        decodes,
    );
    let bundle = BundleId::new(IndexId(5), 7).expect("not 0");
    walk(
        "request of a bundle",
        &request(ObjectId::Bundle(bundle), 1140, &[(1, 2, 9, vec![0])]),
        &[
            ("index", 8, 8, &[0, 1, U64], &[]),
            ("first sequence", 16, 8, &[1, U64], &[0]),
            ("bitmap", 24, 1, &[0x80, 0xff], &[0, 0x7f]),
            ("bitmap", 39, 1, &[0, 1, 0xff], &[]),
        ],
        decodes,
    );
    // The last sequence that there can be.
    let mut last = BundleId::new(IndexId(5), U64 - 3).expect("not 0");
    assert!(last.insert(U64));
    assert_eq!(last.sequences().collect::<Vec<_>>(), [U64 - 3, U64]);
    walk(
        "request of the last bundle",
        &request(ObjectId::Bundle(last), 1140, &[(1, 2, 9, vec![0])]),
        &[
            ("first sequence", 16, 8, &[U64 - 3, 1], &[U64 - 2, U64]),
            ("bitmap", 24, 1, &[0x90, 0xf0], &[0x98, 0x10]),
        ],
        decodes,
    );
}

#[test]
fn a_request_has_at_most_32_items() {
    let mut out = [0; 4096];
    let object = ObjectId::Journal(IndexId(1));
    let mut writer = RequestWriter::new(&mut out, object, 1140).expect("room");
    let wanted = SegmentBitmap::fill(1);
    for tag in 0..32 {
        assert!(writer.has_room(1));
        assert_eq!(writer.push(tag, 0, 9, 1, &wanted), Ok(()));
    }
    assert!(!writer.has_room(1));
    assert!(writer.push(32, 0, 9, 1, &wanted).is_err());
    let len = writer.finish();
    assert!(Message::decode(&out[..len]).is_ok());
    // A 33rd that is there all the same.
    out.copy_within(40..57, len);
    out[2] = 33;
    assert!(Message::decode(&out[..len + 17]).is_err());
}

/// CRC-32 (IEEE) bit by bit, so that the codec is not checked against itself.
fn crc32(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// Makes the checksum of a changed page right again.
pub fn set_checksum(page: &mut [u8]) {
    let sum = crc32(page[..36].iter().chain(&page[40..]).copied());
    page[36..40].copy_from_slice(&sum.to_be_bytes());
}

fn reads(bytes: &mut [u8]) -> bool {
    set_checksum(bytes);
    Page::parse(bytes).is_ok()
}

fn page_of(told: &Told) -> Vec<u8> {
    page(IndexId(7), 4, std::slice::from_ref(told), 5, 6)
}

#[test]
fn fields_of_pages() {
    let whole = page_of(&sample_entry());
    let sum = whole[36..40].to_vec();
    let mut again = whole.clone();
    set_checksum(&mut again);
    assert_eq!(again[36..40], sum, "the documented checksum");
    walk(
        "page",
        &whole,
        &[
            ("index id", 0, 8, &[0, 1, U64], &[]),
            ("after", 8, 8, &[0, 1, 4], &[5, 6, U64]),
            ("through", 16, 8, &[5, 6], &[0, 1, 4, 7, U64]),
            ("newest", 24, 8, &[5, 6, U64], &[0, 1, 4]),
            ("count", 32, 2, &[1], &[0, 2, U16]),
            ("reserved", 34, 2, &[0, U16], &[]),
        ],
        reads,
    );
    let mut empty = page(IndexId(7), U64, &[], U64, U64);
    assert!(reads(&mut empty));
}

#[test]
fn fields_of_entries() {
    // path: 11 bytes, target: 9, versions: 2.
    walk(
        "symlink",
        &page_of(&sample_entry()),
        &[
            ("kind", 40, 1, &[3], &[0, 1, 2, 4, 5, U8]),
            ("versions", 41, 1, &[2], &[0, 1, 3, 24, 25, U8]),
            ("mode", 42, 2, &[0, 1, 0o777], &[0o1000, 0o4755, U16]),
            (
                "path length",
                44,
                2,
                &[11],
                &[0, 1, 10, 12, 4095, 4096, U16],
            ),
            (
                "target length",
                46,
                2,
                &[9],
                &[0, 1, 8, 10, 4095, 4096, U16],
            ),
            (
                "nanoseconds",
                48,
                4,
                &[0, 1, 999_999_999],
                &[1_000_000_000, U32],
            ),
            ("seconds", 52, 8, &[0, 1, U64, 1 << 63], &[]),
            ("size", 60, 8, &[0], &[1, U64]),
            ("sequence", 68, 8, &[5], &[0, 1, 4, 6, U64]),
            ("modified by", 76, 8, &[0, 1, U64], &[]),
            ("first version id", 116, 8, &[0, 1, 6], &[7, 8, U64]),
            ("first version sequence", 124, 8, &[1, U64], &[0]),
            ("second version id", 132, 8, &[2, U64], &[0, 1]),
            ("second version sequence", 140, 8, &[1, U64], &[0]),
        ],
        reads,
    );
    let mut told = sample_entry();
    told.target.clear();
    told.entry.kind = Kind::File;
    walk(
        "file",
        &page_of(&told),
        // With a content it is nothing else, and without a target no symlink.
        &[
            ("kind", 40, 1, &[1], &[0, 2, 3, 4, 5]),
            ("size", 60, 8, &[0, 1, U64], &[]),
        ],
        reads,
    );
    told.entry.kind = Kind::Tombstone;
    told.entry.content = ContentId::default();
    walk(
        "tombstone",
        &page_of(&told),
        &[
            ("kind", 40, 1, &[1, 2, 4], &[0, 3, 5]),
            ("size", 60, 8, &[0], &[1, U64]),
            ("content", 84, 8, &[0], &[1, U64]),
        ],
        reads,
    );
}

#[test]
fn paths_and_targets_that_must_not_be() {
    for path in [
        &b"folder/../x"[..],
        b"/older/link",
        b"folder//ink",
        b"./lder/link",
        b"folder\0link",
    ] {
        let mut bytes = page_of(&sample_entry());
        bytes[148..][..path.len()].copy_from_slice(path);
        assert!(!reads(&mut bytes));
        let told = sample_entry();
        let mut out = [0; 400];
        let mut writer = PageWriter::new(&mut out, IndexId(7), 4).expect("room");
        assert!(writer.push(&told.entry, path, &told.target).is_err());
    }
    let mut bytes = page_of(&sample_entry());
    bytes[148 + 11] = 0;
    assert!(!reads(&mut bytes), "a NUL in a target");
}

#[test]
fn more_versions_than_fit() {
    let mut told = sample_entry();
    for id in 0..MAX_VERSIONS as u64 {
        told.entry.version.set(IndexId(id), 1);
    }
    let mut bytes = page_of(&told);
    assert!(reads(&mut bytes));
    // One more, behind the others.
    let end = 116 + MAX_VERSIONS * 16;
    let one = [U64, 1].map(u64::to_be_bytes).concat();
    bytes.splice(end..end, one);
    bytes[41] = MAX_VERSIONS as u8 + 1;
    assert!(!reads(&mut bytes));
}
