//! The first inputs of every fuzz target: good ones of each kind, and each with something wrong.

use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Timestamp};
use proto_core::index::version_vector::VersionVector;
use proto_core::legacy::{
    FileInformation, InformationQuery, InformationReply, Operation, Reply, Request, Status,
};
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
use sim::fuzz_bodies::genuine_initiation;

/// Name and bytes of each seed of a target.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let good = match target {
        "decode_message" => messages(),
        "decode_handshake" => handshakes(),
        "decode_page" => pages(),
        "decode_dict" => dicts(),
        "decode_piece" => pieces(),
        "decode_legacy" => legacy(),
        "check_path" => paths(),
        "hostile_session" => strangers(),
        other => panic!("{other}"),
    };
    let mut seeds = Vec::new();
    for (number, bytes) in good.into_iter().enumerate() {
        let middle = bytes.len() / 2;
        let mut flipped = bytes.clone();
        if let Some(byte) = flipped.get_mut(middle) {
            *byte ^= 0x10;
        }
        let cut = bytes[..bytes.len() - bytes.len() / 3].to_vec();
        let longer = [&bytes[..], b"\0more"].concat();
        for (what, bytes) in [
            ("good", bytes),
            ("flipped", flipped),
            ("cut", cut),
            ("longer", longer),
        ] {
            seeds.push((format!("{number:02}-{what}"), bytes));
        }
    }
    seeds
}

fn written(emit: impl FnOnce(&mut [u8]) -> Result<usize, WireError>) -> Vec<u8> {
    let mut out = vec![0; 4096];
    let len = emit(&mut out).expect("it can be written");
    out.truncate(len);
    out
}

fn entry(kind: Kind, sequence: u64) -> Entry {
    let has_content = matches!(kind, Kind::File | Kind::Symlink);
    Entry {
        kind,
        mode: 0o644,
        size: if kind == Kind::File { 77_777 } else { 0 },
        mtime: Timestamp {
            sec: 1_700_000_000,
            nsec: 5,
        },
        content: ContentId([if has_content { 7 } else { 0 }; 32]),
        modified_by: IndexId(2),
        version: VersionVector::from_sorted([(IndexId(1), 3), (IndexId(2), sequence)])
            .expect("sorted"),
        sequence,
    }
}

fn page(told: &[(Kind, &[u8], &[u8])]) -> Vec<u8> {
    written(|out| {
        let mut writer = PageWriter::new(out, IndexId(2), 10)?;
        let mut sequence = 10;
        for (kind, path, target) in told {
            sequence += 1;
            writer.push(&entry(*kind, sequence), path, target)?;
        }
        Ok(writer.finish(sequence, sequence + 5))
    })
}

fn pages() -> Vec<Vec<u8>> {
    vec![
        page(&[]),
        page(&[(Kind::File, b"a", b"")]),
        page(&[(Kind::Directory, b"folder", b"")]),
        page(&[(Kind::Symlink, b"link", b"../target")]),
        page(&[(Kind::Tombstone, b"folder/gone", b"")]),
        page(&[
            (Kind::Directory, b"d", b""),
            (Kind::File, b"d/\xff name", b""),
            (Kind::Tombstone, b"d/old", b""),
        ]),
        page(&[(Kind::File, &[b'x'; 255], b"")]),
    ]
}

fn messages() -> Vec<Vec<u8>> {
    let entries = page(&[(Kind::File, b"a", b"")]);
    let announce = |page, contents| {
        written(|out| {
            let announce = Announce {
                busy: true,
                bridge: 0,
                leads: false,
                index_id: IndexId(2),
                sequence: 16,
                seen_index_id: IndexId(1),
                seen_sequence: 3,
                pending: 1,
                sent_at: 1_000_000,
                echo: 2_000_000,
                echo_delay: 300,
                page,
                contents,
            };
            announce.emit(out)
        })
    };
    let request = |object, items: u32, length: u32, encoding| {
        written(|out| {
            let mut writer = RequestWriter::new(out, object, 1156)?;
            if encoding != Encoding::NONE {
                writer.set_rate(Some(12_500_000));
            }
            let segments = length.div_ceil(1156) as usize;
            for tag in 0..items {
                let wanted = SegmentBitmap::fill(segments);
                let start = u64::from(tag) * u64::from(length);
                writer.push_encoded(tag, (start, length), encoding, segments, &wanted)?;
            }
            Ok(writer.finish())
        })
    };
    let block = |encoding, segment, length, payload: &[u8]| {
        let head = Block {
            encoding,
            segment,
            tag: 9,
            length,
        };
        let mut bytes = written(|out| head.emit_header(out));
        bytes.extend(payload);
        bytes
    };
    let have = Have {
        content: ContentId([7; 32]),
        asks: false,
        whole: false,
        first: 128,
        count: 13,
        held: &[0xa5, 0xf8],
    };
    let refuse = |reason| written(|out| Refuse { reason, tag: 9 }.emit(out));
    let bundle = BundleId::new(IndexId(2), 3).expect("not 0");
    let draft = |stage| {
        written(|out| {
            let draft = Draft {
                number: 17,
                stage,
                size: 400 << 20,
                path: b"d/film",
            };
            draft.emit(out)
        })
    };
    vec![
        announce(&[], &[]),
        announce(&entries, &[]),
        request(
            ObjectId::Content(ContentId([7; 32])),
            1,
            65_536,
            Encoding::NONE,
        ),
        request(
            ObjectId::Content(ContentId([7; 32])),
            32,
            1156,
            Encoding::NONE,
        ),
        request(
            ObjectId::Recipe(ContentId([7; 32])),
            3,
            4608,
            Encoding::NONE,
        ),
        request(ObjectId::Journal(IndexId(2)), 1, 32_768, Encoding::NONE),
        block(Encoding::NONE, 0, 5, b"hello"),
        block(Encoding::NONE, 56, 65_536, &[1; 64]),
        written(|out| have.emit(out)),
        refuse(RefuseReason::GONE),
        refuse(RefuseReason::BUSY),
        written(goodbye::emit),
        written(|out| {
            let probe = Probe {
                size: 1452,
                tag: 3,
                ecn: false,
            };
            probe.emit(out)
        }),
        written(|out| Padding { tag: 3 }.emit(&mut out[..100])),
        announce(&entries, &[0, 5, b'h', b'e', b'l', b'l', b'o', 0, 1, b'!']),
        // The second goes beyond the datagram.
        announce(&entries, &[0, 1, b'h', 0, 9, b'i']),
        announce(&entries, &[0, 0, 0, 1, b'h']),
        request(
            ObjectId::Content(ContentId([7; 32])),
            2,
            65_536,
            Encoding::ANY,
        ),
        block(Encoding::SMALL, 3, 20_000, &[1; 64]),
        request(ObjectId::Bundle(bundle), 1, 32_768, Encoding::NONE),
        draft(Stage::Growing(384)),
        draft(Stage::Named {
            chunks: 5700,
            content: ContentId([7; 32]),
        }),
        draft(Stage::Dropped),
    ]
}

fn handshakes() -> Vec<Vec<u8>> {
    let mut response = genuine_initiation(4);
    response.truncate(80);
    response[0] = 2;
    // Names of sessions begin with the prefix of who made them.
    response[8] = 0;
    let mut sealed = vec![3, 0, 0, 0, 0, 1, 2, 3];
    sealed.extend([0; 40]);
    vec![
        genuine_initiation(0),
        genuine_initiation(1),
        genuine_initiation(3),
        response,
        sealed.clone(),
        sealed[..32].to_vec(),
        vec![],
    ]
}

fn legacy() -> Vec<Vec<u8>> {
    let queries = [
        InformationQuery::Information,
        InformationQuery::Modified {
            path: "./share/note.txt",
        },
    ];
    let information = [
        (0, 0, "{}"),
        (1, 7, "{'./share/a.txt': 1795401269.8234777}"),
        (1, 9, "{\"./share/quo'te\\u200b.txt\": -1.5}"),
    ];
    let requests = [
        Request::FileInformation { name: "zip1.zip" },
        Request::Block {
            index: 3,
            name: "../share/a.txt",
        },
        Request::Unknown {
            operation: Operation(7),
            rest: b"abc",
        },
    ];
    let replies = [
        Reply::FileInformation(FileInformation {
            size: 50_265,
            block_size: 20_480,
        }),
        Reply::Block {
            index: 2,
            bytes: b"PK\x03\x04",
        },
        Reply::Failed {
            operation: Operation::BLOCK,
            status: Status::OUT_OF_RANGE,
        },
    ];
    let mut all: Vec<_> = queries
        .iter()
        .map(|query| written(|out| query.emit(out)))
        .collect();
    all.extend(information.map(|(count, add_times, dict)| {
        let reply = InformationReply {
            count,
            add_times,
            dict,
        };
        written(|out| reply.emit(out))
    }));
    all.extend(requests.map(|request| written(|out| request.emit(out))));
    all.extend(replies.map(|reply| written(|out| reply.emit(out))));
    all
}

fn dicts() -> Vec<Vec<u8>> {
    [
        "{}",
        "{'./share/a.txt': 1795401269.8234777}",
        "{'./share/d/a': 5.0, \"./share/quo'te\": -1.5, './share/both\\'\"': 1e-07}",
        "{'./share/\\x7f\\u200b\\U000e0001\\udcff\\t\\\\': 0}",
        "{'./share/\u{444}\u{1f600}': 1.0, './share/b': 2.0}",
        "{'./share/a': __import__('os').system('x')}",
        "{'./share/../a': 1}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn paths() -> Vec<Vec<u8>> {
    [
        &b"a"[..],
        b"folder/file.txt",
        b"a/../b",
        b"./share",
        b"/etc/passwd",
        b"a//b",
        b"name\n\x1b[2J\xff",
        "\u{444}\u{1f600}/...".as_bytes(),
        &[b'x'; 256],
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

/// Three bytes of length before each piece. DEFLATE by hand: what the encoder of today writes may change.
fn pieces() -> Vec<Vec<u8>> {
    let piece = |length: u32, encoded: &[u8]| [&length.to_be_bytes()[1..], encoded].concat();
    let stored = |last: u8, bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).expect("a short one");
        let (len, not) = (len.to_le_bytes(), (!len).to_le_bytes());
        [&[last][..], &len, &not, bytes].concat()
    };
    // As journal pages are, which are as long as they become.
    let pages = pages().into_iter().map(|page| piece(1, &stored(1, &page)));
    let pieces = [
        piece(5, &stored(1, b"hello")),
        piece(8, &[stored(0, b"two "), stored(1, b"more")].concat()),
        piece(1000, &stored(1, &[9; 1000])),
        // Fixed codes: an "a", then it again 258 times, and the end.
        piece(259, &[0x4b, 0x1c, 0x05, 0x00]),
        piece(1, &[0x4b, 0x04, 0x00]),
        // A distance before the beginning, a kind of block that there is not, codes without a symbol.
        piece(259, &[0x03, 0x06, 0x00, 0x00]),
        piece(9, &[0x07, 0, 0, 0]),
        piece(1_048_576, &[0x05, 0xe0, 0x81, 0x08, 0, 0, 0, 0, 0x20, 0x7f]),
    ];
    pieces.into_iter().chain(pages).collect()
}

/// Two bytes before each datagram: its length, and how many of its first bytes are those of a true one.
fn strangers() -> Vec<Vec<u8>> {
    let datagram = |copied: u8, bytes: &[u8]| {
        let mut all = vec![bytes.len() as u8, copied];
        all.extend(bytes);
        all
    };
    vec![
        datagram(0, &genuine_initiation(1)[..90]),
        datagram(8, &[0; 40]),
        datagram(16, &[0; 39]),
        datagram(16, &[0; 32]),
        datagram(4, &[0xff; 200]),
        [
            datagram(16, &[1; 39]),
            datagram(1, &[]),
            datagram(0, &[2; 80]),
        ]
        .concat(),
    ]
}
