//! Arbitrary entries, pages and messages.

use proptest::prelude::*;
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, MODE_MASK, Timestamp};
use proto_core::index::version_vector::VersionVector;
use proto_core::limits::{MAX_PIECE, MAX_TARGET, MAX_VERSIONS};
use proto_core::storage::segment_bitmap::SegmentBitmap;
use proto_core::wire::announce::Announce;
use proto_core::wire::block::Block;
use proto_core::wire::draft::{Draft, Stage};
use proto_core::wire::encoding::Encoding;
use proto_core::wire::have::Have;
use proto_core::wire::page::PageWriter;
use proto_core::wire::path_probe::{Padding, Probe};
use proto_core::wire::refuse::{Refuse, RefuseReason};
use proto_core::wire::request::RequestWriter;
use proto_core::wire::{BundleId, ObjectId, WireError, goodbye};

/// An entry with its path and target.
#[derive(Clone, Debug)]
pub struct Told {
    pub entry: Entry,
    pub path: Vec<u8>,
    pub target: Vec<u8>,
}

pub fn emitted(emit: impl FnOnce(&mut [u8]) -> Result<usize, WireError>) -> Vec<u8> {
    let mut out = vec![0xaa; 70_000];
    let len = emit(&mut out).expect("it can be written");
    out.truncate(len);
    out
}

pub fn path() -> impl Strategy<Value = Vec<u8>> {
    let component = prop::collection::vec(
        any::<u8>().prop_filter("a plain byte", |byte| ![0, b'/', b'.'].contains(byte)),
        1..30,
    );
    prop::collection::vec(component, 1..6).prop_map(|components| components.join(&b'/'))
}

fn version() -> impl Strategy<Value = VersionVector> {
    prop::collection::btree_map(any::<u64>(), 1..=u64::MAX, 1..=MAX_VERSIONS).prop_map(|changes| {
        let changes = changes
            .into_iter()
            .map(|(id, sequence)| (IndexId(id), sequence));
        VersionVector::from_sorted(changes).expect("sorted")
    })
}

pub fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        (0..u32::MAX / 128).prop_map(|blocks| Stage::Growing(blocks * 128)),
        (any::<u32>(), any::<[u8; 32]>()).prop_map(|(chunks, id)| Stage::Named {
            chunks,
            content: ContentId(id),
        }),
        Just(Stage::Dropped),
    ]
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1..=u8::MAX, 1..=80)
}

/// An entry that may be sent; its sequence is as yet 1.
pub fn told() -> impl Strategy<Value = Told> {
    let kind = prop::sample::select(vec![
        Kind::File,
        Kind::Directory,
        Kind::Symlink,
        Kind::Tombstone,
    ]);
    let numbers = (
        0..=MODE_MASK,
        any::<u64>(),
        any::<i64>(),
        0..1_000_000_000u32,
    );
    let names = (any::<u64>(), any::<[u8; 32]>());
    (kind, numbers, names, version(), path(), target()).prop_map(
        |(kind, (mode, size, sec, nsec), (index, content), version, path, target)| {
            let has_content = matches!(kind, Kind::File | Kind::Symlink);
            Told {
                entry: Entry {
                    kind,
                    mode,
                    size: if kind == Kind::File { size } else { 0 },
                    mtime: Timestamp { sec, nsec },
                    content: ContentId(if has_content { content } else { [0; 32] }),
                    modified_by: IndexId(index),
                    version,
                    sequence: 1,
                },
                path,
                target: if kind == Kind::Symlink {
                    target
                } else {
                    vec![]
                },
            }
        },
    )
}

/// Entries with ascending sequences after the first number, up to the second, of the third.
pub fn journal() -> impl Strategy<Value = (u64, Vec<Told>, u64, u64)> {
    let entries = prop::collection::vec((told(), 1u64..1000), 0..6);
    (0..u64::MAX / 2, entries, 0u64..1000, 0u64..1000).prop_map(|(after, entries, more, newer)| {
        let mut sequence = after;
        let entries: Vec<Told> = entries
            .into_iter()
            .map(|(mut told, step)| {
                sequence += step;
                told.entry.sequence = sequence;
                told
            })
            .collect();
        (after, entries, sequence + more, sequence + more + newer)
    })
}

pub fn page(index: IndexId, after: u64, told: &[Told], through: u64, newest: u64) -> Vec<u8> {
    let mut out = vec![0xaa; 70_000];
    let mut writer = PageWriter::new(&mut out, index, after).expect("room");
    for Told {
        entry,
        path,
        target,
    } in told
    {
        writer.push(entry, path, target).expect("room");
    }
    let len = writer.finish(through, newest);
    out.truncate(len);
    out
}

pub fn object() -> impl Strategy<Value = ObjectId> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|id| ObjectId::Content(ContentId(id))),
        any::<[u8; 32]>().prop_map(|id| ObjectId::Recipe(ContentId(id))),
        any::<u64>().prop_map(|id| ObjectId::Journal(IndexId(id))),
        (any::<u64>(), 1..u64::MAX - 128, any::<u128>()).prop_map(|(index, first, wanted)| {
            let mut bundle = BundleId::new(IndexId(index), first).expect("not 0");
            for place in (0..128).filter(|place| wanted >> place & 1 == 1) {
                assert!(bundle.insert(first + place));
            }
            ObjectId::Bundle(bundle)
        }),
    ]
}

/// A piece that is wanted: tag, start, length, and numbers that say which segments.
pub type Item = (u32, u64, u32, Vec<usize>);

pub fn items() -> impl Strategy<Value = Vec<Item>> {
    let item = (
        any::<u32>(),
        any::<u64>(),
        1..=MAX_PIECE as u32,
        prop::collection::vec(any::<usize>(), 1..10),
    );
    prop::collection::vec(item, 1..=32)
}

/// Which segments an item wants, and how many there are.
pub fn wanted(segment: u16, (_, _, length, numbers): &Item) -> (SegmentBitmap, usize) {
    let segments = length.div_ceil(u32::from(segment)) as usize;
    let mut wanted = SegmentBitmap::new();
    for number in numbers {
        wanted.set(number % segments);
    }
    (wanted, segments)
}

pub fn request(object: ObjectId, segment: u16, items: &[Item]) -> Vec<u8> {
    let mut out = vec![0xaa; 70_000];
    let mut writer = RequestWriter::new(&mut out, object, segment).expect("room");
    writer.set_rate(Some(u64::from(segment) << 16));
    for item in items {
        let (bits, segments) = wanted(segment, item);
        let (tag, start, length, _) = item;
        writer
            .push_encoded(
                *tag,
                (*start, *length),
                Encoding(*tag as u8),
                segments,
                &bits,
            )
            .expect("room");
    }
    let len = writer.finish();
    out.truncate(len);
    out
}

pub fn block(block: Block, payload: &[u8]) -> Vec<u8> {
    let mut bytes = emitted(|out| block.emit_header(out));
    bytes.extend(payload);
    bytes
}

/// One message of each kind, as bytes.
pub fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let told = sample_entry();
    let journal = page(IndexId(7), 4, &[told], 5, 6);
    let announce = Announce {
        busy: true,
        bridge: 9,
        leads: true,
        index_id: IndexId(7),
        sequence: 6,
        seen_index_id: IndexId(8),
        seen_sequence: 9,
        pending: 10,
        sent_at: 11,
        echo: 12,
        echo_delay: 13,
        page: &journal,
        contents: &[0, 2, b'h', b'i', 0, 1, b'!'],
    };
    let have = Have {
        content: ContentId([3; 32]),
        asks: true,
        whole: false,
        first: 5,
        count: 9,
        held: &[0b1010_1010, 0x80],
    };
    let refuse = Refuse {
        reason: RefuseReason::BUSY,
        tag: 77,
    };
    let head = Block {
        encoding: Encoding::FAST,
        segment: 2,
        tag: 77,
        length: 3000,
    };
    let wanted = [(77, 4096, 3000, vec![0, 2])];
    let probe = Probe {
        size: 8952,
        tag: 77,
        ecn: true,
    };
    let padding = Padding { tag: 77 };
    let draft = Draft {
        number: 5,
        stage: Stage::Named {
            chunks: 6000,
            content: ContentId([3; 32]),
        },
        size: 400 << 20,
        path: b"folder/film",
    };
    vec![
        ("announce", emitted(|out| announce.emit(out))),
        (
            "request",
            request(ObjectId::Content(ContentId([3; 32])), 1140, &wanted),
        ),
        ("block", block(head, &[5; 720])),
        ("have", emitted(|out| have.emit(out))),
        ("refuse", emitted(|out| refuse.emit(out))),
        ("goodbye", emitted(goodbye::emit)),
        ("probe", emitted(|out| probe.emit(out))),
        ("padding", emitted(|out| padding.emit(&mut out[..8]))),
        ("draft", emitted(|out| draft.emit(out))),
    ]
}

/// A symlink with the sequence 5.
pub fn sample_entry() -> Told {
    Told {
        entry: Entry {
            kind: Kind::Symlink,
            mode: 0,
            size: 0,
            mtime: Timestamp { sec: -1, nsec: 5 },
            content: ContentId([9; 32]),
            modified_by: IndexId(7),
            version: VersionVector::from_sorted([(IndexId(1), 2), (IndexId(7), 5)])
                .expect("sorted"),
            sequence: 5,
        },
        path: b"folder/link".to_vec(),
        target: b"elsewhere".to_vec(),
    }
}

/// The longest entry that there can be.
pub fn longest_entry() -> Told {
    let changes = (0..MAX_VERSIONS as u64).map(|id| (IndexId(id), 1));
    let mut told = sample_entry();
    told.entry.version = VersionVector::from_sorted(changes).expect("sorted");
    told.path = [vec![b'x'; 255], vec![b'/']].concat().repeat(16);
    told.path.truncate(4095);
    told.target = vec![b't'; MAX_TARGET];
    told
}
