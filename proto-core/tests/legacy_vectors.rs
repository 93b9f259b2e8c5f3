//! Datagrams of the ancestor, parsed and written back to the same bytes; and what is not one of them.
#![cfg(test)]

use proptest::prelude::*;
use proto_core::legacy::{
    FileInformation, InformationQuery, InformationReply, MAX_BLOCK, MAX_INFORMATION_REPLY,
    MAX_LEGACY_NAME, Operation, Reply, Request, Status,
};
use proto_core::wire::WireError;
use std::collections::BTreeMap;
use std::io::Write as _;

struct Vector {
    name: String,
    kind: String,
    /// The datagram; what was left out of the vector is zeros.
    bytes: Vec<u8>,
    fields: BTreeMap<String, String>,
}

impl Vector {
    fn field(&self, name: &str) -> &str {
        &self.fields[name]
    }

    fn number(&self, name: &str) -> u64 {
        self.field(name).parse().expect("a number")
    }

    fn number_u32(&self, name: &str) -> u32 {
        self.number(name).try_into().expect("a u32")
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hex digit") as u8;
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    pairs
        .iter()
        .map(|[high, low]| digit(*high) << 4 | digit(*low))
        .collect()
}

fn padded(hex: &str, len: usize) -> Vec<u8> {
    let mut bytes = unhex(hex);
    assert!(bytes.len() <= len);
    bytes.resize(len, 0);
    bytes
}

fn committed() -> Vec<Vector> {
    include_str!("legacy_vectors.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split('\t');
            let mut next = || fields.next().expect("four fields").to_owned();
            let (name, kind, len, hex) = (next(), next(), next(), next());
            Vector {
                name,
                kind,
                bytes: padded(&hex, len.parse().expect("a length")),
                fields: fields
                    .filter_map(|field| field.split_once('='))
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
            }
        })
        .collect()
}

fn emitted(emit: impl FnOnce(&mut [u8]) -> Result<usize, WireError>) -> Vec<u8> {
    let mut out = vec![0xaa; 70_000];
    let len = emit(&mut out).expect("it can be written");
    out.truncate(len);
    out
}

fn check_request(vector: &Vector) {
    let request = Request::parse(&vector.bytes).expect("a request");
    let expected = match vector.number_u32("operation") {
        0 => Request::FileInformation {
            name: vector.field("filename"),
        },
        1 => Request::Block {
            index: vector.number("block_index"),
            name: vector.field("filename"),
        },
        operation => {
            assert!(matches!(request, Request::Unknown { rest, .. }
                if rest == unhex(vector.field("rest_hex"))));
            Request::Unknown {
                operation: Operation(operation),
                rest: &vector.bytes[8..],
            }
        }
    };
    assert_eq!(request, expected, "{}", vector.name);
    // What stands behind the header is ignored.
    let len = 4 + vector.number_u32("header_length") as usize;
    assert_eq!(
        emitted(|out| request.emit(out)),
        vector.bytes[..len],
        "{}",
        vector.name
    );
}

fn check_reply(vector: &Vector) {
    let reply = Reply::parse(&vector.bytes).expect("a reply");
    let operation = Operation(vector.number_u32("operation"));
    let expected = match (Status(vector.number_u32("status")), operation) {
        (Status::OK, Operation::FILE_INFORMATION) => {
            let information = FileInformation {
                size: vector.number("file_size"),
                block_size: vector.number("block_size").try_into().expect("a u16"),
            };
            assert_eq!(information.total_blocks(), vector.number("total_blocks"));
            Reply::FileInformation(information)
        }
        (Status::OK, Operation::BLOCK) => {
            assert_eq!(
                vector.bytes.len() as u64 - 28,
                vector.number("block_length")
            );
            Reply::Block {
                index: vector.number("block_index"),
                bytes: &vector.bytes[28..],
            }
        }
        (status, operation) => Reply::Failed { operation, status },
    };
    assert_eq!(reply, expected, "{}", vector.name);
    assert_eq!(
        emitted(|out| reply.emit(out)),
        vector.bytes,
        "{}",
        vector.name
    );
}

fn check(vector: &Vector) {
    match vector.kind.as_str() {
        "info_request" | "notice" => {
            let query = InformationQuery::parse(&vector.bytes).expect("a query");
            let expected = match vector.kind.as_str() {
                "notice" => InformationQuery::Modified {
                    path: vector.field("modified_path"),
                },
                _ => InformationQuery::Information,
            };
            assert_eq!(query, expected, "{}", vector.name);
            assert_eq!(emitted(|out| query.emit(out)), vector.bytes);
        }
        "info_reply" => {
            let reply = InformationReply::parse(&vector.bytes).expect("a reply");
            let expected = InformationReply {
                count: vector.number_u32("count"),
                add_times: vector.number_u32("add_times"),
                dict: vector.field("dict_text"),
            };
            assert_eq!(reply, expected, "{}", vector.name);
            assert_eq!(emitted(|out| reply.emit(out)), vector.bytes);
        }
        "file_info_request" | "block_request" | "unknown_request" => check_request(vector),
        "file_info_reply" | "block_reply" | "error_reply" => check_reply(vector),
        kind => panic!("{}: unknown kind {kind}", vector.name),
    }
}

#[test]
fn the_committed_vectors() {
    let vectors = committed();
    assert_eq!(vectors.len(), 36);
    vectors.iter().for_each(check);
}

/// All vectors as they were recorded, where they lie beside the workspace.
#[test]
fn the_recorded_vectors() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/legacy/vectors.json"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        return skip("legacy vectors: ../shared/legacy/vectors.json is not there");
    };
    let recorded: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let vectors = recorded["vectors"].as_array().expect("vectors");
    assert!(!vectors.is_empty());
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().expect(key).to_owned();
        let len = vector["length"].as_u64().expect("a length") as usize;
        let fields = vector["fields"].as_object().expect("fields");
        check(&Vector {
            name: text("name"),
            kind: text("kind"),
            bytes: padded(&text("hex"), len),
            fields: fields
                .iter()
                .map(|(key, value)| {
                    let plain = value.as_str().map(str::to_owned);
                    (key.clone(), plain.unwrap_or_else(|| value.to_string()))
                })
                .collect(),
        });
    }
}

fn skip(what: &str) {
    eprintln!("skipped: {what}");
    if let Some(path) = std::env::var_os("TINYPEER_SKIPS") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        writeln!(file.expect("the list of skips"), "{what}").expect("the list of skips");
    }
}

fn file_information(size: u64, block_size: u64, total_blocks: u64) -> Vec<u8> {
    let mut bytes = [32u32, 0, 0].map(u32::to_be_bytes).concat();
    bytes.extend(
        [size, block_size, total_blocks]
            .map(u64::to_be_bytes)
            .concat(),
    );
    bytes
}

/// Fields with a value that is allowed, and whether the one beside it still is.
#[test]
fn boundary_values() {
    let max = u64::from(MAX_BLOCK);
    for (size, block_size, total_blocks, good) in [
        (0, 1, 0, true),
        (0, 1, 1, false),
        (1, 0, 0, false),
        (1, 1, 1, true),
        (1, 1, 0, false),
        (20480, 20480, 1, true),
        (20481, 20480, 2, true),
        (20481, 20480, 1, false),
        (1, max, 1, true),
        (1, max + 1, 1, false),
        (1, u64::MAX, 1, false),
        (u64::MAX, 1, u64::MAX, true),
        (u64::MAX, max, u64::MAX.div_ceil(max), true),
        (u64::MAX, 1, 0, false),
    ] {
        let bytes = file_information(size, block_size, total_blocks);
        assert_eq!(
            Reply::parse(&bytes).is_ok(),
            good,
            "{size} {block_size} {total_blocks}"
        );
    }
    // A block's length, against 3 bytes that are there.
    for (len, good) in [
        (0, false),
        (2, false),
        (3, true),
        (4, false),
        (u64::MAX, false),
    ] {
        let mut bytes = [24u32, 1, 0].map(u32::to_be_bytes).concat();
        bytes.extend([7, len].map(u64::to_be_bytes).concat());
        bytes.extend(b"abc");
        assert_eq!(Reply::parse(&bytes).is_ok(), good, "{len}");
    }
    // The header's length, of a file information request with a name of 3 bytes.
    for (len, good) in [
        (0, false),
        (3, false),
        (4, false),
        (5, true),
        (7, true),
        (8, false),
        (u32::MAX, false),
    ] {
        let mut bytes = [len, 0].map(u32::to_be_bytes).concat();
        bytes.extend(b"abc");
        assert_eq!(Request::parse(&bytes).is_ok(), good, "{len}");
    }
    for (len, good) in [
        (0, false),
        (1, true),
        (MAX_LEGACY_NAME, true),
        (MAX_LEGACY_NAME + 1, false),
    ] {
        let mut bytes = [4 + len as u32, 0].map(u32::to_be_bytes).concat();
        bytes.extend(vec![b'a'; len]);
        assert_eq!(Request::parse(&bytes).is_ok(), good, "{len}");
        let name = &"a".repeat(len);
        let mut out = vec![0; 10_000];
        assert_eq!(
            Request::FileInformation { name }.emit(&mut out).is_ok(),
            good
        );
        let notice = InformationQuery::parse(name.as_bytes());
        // No byte at all is another message.
        assert_eq!(notice.is_ok(), good || len == 0, "{len}");
    }
    for status in [0, 1, 2, 400, u32::MAX] {
        let bytes = [8, 1, status].map(u32::to_be_bytes).concat();
        assert_eq!(Reply::parse(&bytes).is_ok(), status != 0, "{status}");
    }
    let dict = &"x".repeat(MAX_INFORMATION_REPLY - 8);
    let mut reply = InformationReply {
        count: 0,
        add_times: u32::MAX,
        dict,
    };
    let mut out = vec![0; 65_507];
    assert_eq!(reply.emit(&mut out), Ok(MAX_INFORMATION_REPLY));
    let longer = &"x".repeat(MAX_INFORMATION_REPLY - 7);
    reply.dict = longer;
    assert_eq!(reply.emit(&mut out), Err(WireError::NoRoom));
}

#[test]
fn names_that_would_end_an_ancestor() {
    for name in [&b"a\0b"[..], b"\xff", b"\xed\xb0\x80"] {
        let mut bytes = [4 + name.len() as u32, 0].map(u32::to_be_bytes).concat();
        bytes.extend(name);
        assert_eq!(Request::parse(&bytes), Err(WireError::Invalid("file name")));
        assert!(InformationQuery::parse(name).is_err());
    }
}

#[test]
fn every_truncation_of_a_reply_or_request_is_refused() {
    for vector in committed() {
        let parses = |bytes: &[u8]| match vector.kind.as_str() {
            kind if kind.starts_with("info") || kind == "notice" => false,
            kind if kind.ends_with("reply") => Reply::parse(bytes).is_ok(),
            _ => Request::parse(bytes).is_ok(),
        };
        let end = match vector.kind.as_str() {
            kind if kind.ends_with("request") => {
                // Bytes behind the header may be missing.
                let mut len = [0; 4];
                len.iter_mut()
                    .zip(&vector.bytes)
                    .for_each(|(to, from)| *to = *from);
                (4 + u32::from_be_bytes(len) as usize).min(vector.bytes.len())
            }
            _ => vector.bytes.len(),
        };
        for len in 0..end {
            assert!(!parses(&vector.bytes[..len]), "{} {len}", vector.name);
        }
    }
}

proptest! {
    #[test]
    fn what_is_read_is_written_alike(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        flips in prop::collection::vec((0usize..36, 0usize..400), 1..4),
    ) {
        let vectors = committed();
        let mut all = vec![bytes];
        for (vector, bit) in flips {
            let mut bytes = vectors[vector].bytes.clone();
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            all.push(bytes);
        }
        for bytes in all {
            if let Ok(query) = InformationQuery::parse(&bytes) {
                prop_assert_eq!(emitted(|out| query.emit(out)), &bytes[..]);
            }
            if let Ok(reply) = InformationReply::parse(&bytes)
                && bytes.len() <= MAX_INFORMATION_REPLY
            {
                prop_assert_eq!(emitted(|out| reply.emit(out)), &bytes[..]);
            }
            if let Ok(reply) = Reply::parse(&bytes) {
                prop_assert_eq!(emitted(|out| reply.emit(out)), &bytes[..]);
            }
            if let Ok(request) = Request::parse(&bytes) {
                let written = emitted(|out| request.emit(out));
                prop_assert_eq!(&written[..], &bytes[..written.len()]);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_alike(
        name in "[^\0]{1,40}",
        index in any::<u64>(),
        (size, block_size) in (any::<u64>(), 1..=MAX_BLOCK),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        (operation, status) in (2u32.., 1u32..),
    ) {
        let operation = Operation(operation);
        for request in [
            Request::FileInformation { name: &name },
            Request::Block { index, name: &name },
            Request::Unknown { operation, rest: &bytes },
        ] {
            let written = emitted(|out| request.emit(out));
            prop_assert_eq!(Request::parse(&written), Ok(request));
        }
        for reply in [
            Reply::FileInformation(FileInformation { size, block_size }),
            Reply::Block { index, bytes: &bytes },
            Reply::Failed { operation, status: Status(status) },
        ] {
            let written = emitted(|out| reply.emit(out));
            prop_assert_eq!(Reply::parse(&written), Ok(reply));
        }
    }
}
