//! Bytes that are no message never panic, and what still passes can be walked through.

use super::samples::{longest_entry, messages, page, sample_entry};
use proptest::prelude::*;
use proto_core::index::entry::IndexId;
use proto_core::path;
use proto_core::wire::Message;
use proto_core::wire::announce::contents;
use proto_core::wire::page::Page;

/// Reads bytes as everything that they could be.
fn read_all(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        let _ = message.to_string();
        match message {
            Message::Request(request) => assert!((1..=32).contains(&request.items().count())),
            Message::Announce(announce) => {
                read_page(announce.page);
                let told: usize = contents(announce.contents)
                    .map(|content| content.len() + 2)
                    .sum();
                assert!(told <= announce.contents.len());
            }
            _ => {}
        }
    }
    read_page(bytes);
}

fn read_page(bytes: &[u8]) {
    if let Ok(page) = Page::parse(bytes) {
        for told in page.entries() {
            assert_eq!(path::check(told.path), Ok(()));
            assert!(told.entry.sequence > page.after && told.entry.sequence <= page.through);
        }
    }
}

fn sample_page() -> Vec<u8> {
    page(IndexId(7), 4, &[sample_entry()], 5, 6)
}

#[test]
fn every_truncation_is_refused() {
    for (name, bytes) in messages() {
        for len in 0..bytes.len() {
            let decoded = Message::decode(&bytes[..len]);
            read_all(&bytes[..len]);
            // A BLOCK's payload, an ANNOUNCE's contents and PADDING go to the end of the datagram.
            let open = match name {
                "announce" => 52 + sample_page().len(),
                "block" => 13,
                "padding" => 8,
                _ => bytes.len(),
            };
            assert_eq!(decoded.is_ok(), len >= open, "{name} {len}");
        }
        let longer = [&bytes[..], &[0]].concat();
        let open = ["announce", "block", "padding"].contains(&name);
        assert_eq!(Message::decode(&longer).is_ok(), open, "{name}");
    }
    for whole in [sample_page(), page(IndexId(7), 4, &[longest_entry()], 5, 6)] {
        for len in 0..whole.len() {
            assert!(Page::parse(&whole[..len]).is_err(), "{len}");
        }
        assert!(Page::parse(&[&whole[..], &[0]].concat()).is_err());
    }
}

#[test]
fn every_flipped_bit_of_a_page_is_noticed() {
    let whole = sample_page();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Page::parse(&flipped).is_err(), "{bit}");
    }
}

#[test]
fn every_flipped_bit_of_a_message() {
    for (_, bytes) in messages() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            read_all(&flipped);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(operation in 0u8..9, mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = operation;
        }
        read_all(&bytes);
    }

    /// Past the checksum too.
    #[test]
    fn pages_with_a_right_checksum(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6)) {
        let mut bytes = sample_page();
        let len = bytes.len();
        for (at, byte) in changes {
            bytes[at % len] = byte;
        }
        super::boundaries::set_checksum(&mut bytes);
        read_all(&bytes);
    }
}
