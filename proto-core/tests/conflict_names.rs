//! Names of conflict copies.
#![cfg(test)]

use heapless::Vec;
use proptest::prelude::*;
use proto_core::index::conflict::{conflict_name, is_conflict_name};
use proto_core::index::entry::{Entry, IndexId, Kind, Timestamp};
use proto_core::index::reconcile::{Found, local_change};
use proto_core::limits::MAX_NAME;

fn loser(sec: i64, by: u64) -> Entry {
    let found = Found {
        kind: Kind::File,
        mtime: Timestamp {
            sec,
            nsec: 999_999_999,
        },
        ..Found::NOTHING
    };
    local_change(None, IndexId(by), 1, found)
}

fn named(name: &[u8], sec: i64, by: u64, attempt: u32) -> std::vec::Vec<u8> {
    let mut out = Vec::new();
    conflict_name(name, &loser(sec, by), attempt, &mut out);
    out.to_vec()
}

fn name(text: &str, sec: i64, by: u64, attempt: u32) -> String {
    String::from_utf8(named(text.as_bytes(), sec, by, attempt)).unwrap()
}

#[test]
fn the_tag_stands_before_the_extension() {
    for (before, after) in [
        ("a.txt", "a.conflict-19700101-000000-00ff.txt"),
        ("a", "a.conflict-19700101-000000-00ff"),
        ("a.tar.gz", "a.tar.conflict-19700101-000000-00ff.gz"),
        (".profile", ".profile.conflict-19700101-000000-00ff"),
        (".a.b", ".a.conflict-19700101-000000-00ff.b"),
        ("a.", "a.conflict-19700101-000000-00ff."),
        ("..a", "..conflict-19700101-000000-00ff.a"),
    ] {
        assert_eq!(name(before, 0, 0xff, 0), after);
        assert!(is_conflict_name(after.as_bytes()) && !is_conflict_name(before.as_bytes()));
        // A copy of the copy gets a new tag, not a second one.
        assert_eq!(name(after, 1, 0xff, 0), after.replace("000000", "000001"));
    }
}

#[test]
fn date_time_peer_and_attempt_are_the_losers() {
    assert_eq!(
        name("a", 1_709_210_096, 0x1234_5678_9abc_def0, 0),
        "a.conflict-20240229-123456-def0"
    );
    assert_eq!(
        name("a.b", -1, 0x10, 7),
        "a.conflict-19691231-235959-0010-7.b"
    );
    assert_eq!(name("a", i64::MIN, 0, 0), "a.conflict-00000101-000000-0000");
    assert_eq!(
        name("a", i64::MAX, 0, u32::MAX),
        "a.conflict-99991231-235959-0000-4294967295"
    );
}

#[test]
fn only_whole_tags_count() {
    for plain in [
        "a.conflict-2024022-123456-def0",
        "a.conflict-20240229-123456-DEF0",
        "a.conflict-20240229-123456-def0-",
        "a.conflict-20240229-123456-def0-x",
        "a.conflict-20240229-123456-def0x",
        "a.conflict-20240229-123456-def0.b.c",
        "aconflict-20240229-123456-def0",
        ".conflict-20240229-123456-def0",
        ".conflict-20240229-123456-def0.txt",
        "",
    ] {
        assert!(!is_conflict_name(plain.as_bytes()), "{plain}");
    }
    for copy in [
        "a.conflict-20240229-123456-def0-12",
        ".a.conflict-20240229-123456-def0.b",
    ] {
        assert!(is_conflict_name(copy.as_bytes()), "{copy}");
    }
}

#[test]
fn long_stems_are_cut_between_characters() {
    for character in ["a", "é", "€", "😀"] {
        let long = character.repeat(MAX_NAME / character.len());
        let copy = name(&long, 0, 0, 0);
        let stem = copy.strip_suffix(".conflict-19700101-000000-0000").unwrap();
        assert!(copy.len() <= MAX_NAME && copy.len() > MAX_NAME - character.len());
        assert!(long.starts_with(stem));
    }
}

#[test]
fn a_long_extension_counts_as_stem() {
    let long = format!("a.{}", "b".repeat(MAX_NAME - 2));
    let copy = name(&long, 0, 0, 0);
    assert_eq!(copy.len(), MAX_NAME);
    assert!(copy.starts_with("a.bbb") && copy.ends_with("b.conflict-19700101-000000-0000"));
}

fn file_names() -> impl Strategy<Value = std::vec::Vec<u8>> {
    let any_bytes = prop::collection::vec(any::<u8>(), 1..=MAX_NAME);
    let text = prop::collection::vec(any::<char>(), 1..200)
        .prop_map(|text| text.into_iter().collect::<String>().into_bytes());
    let dotted = prop::collection::vec(prop::sample::select(&b".-0ab"[..]), 1..=MAX_NAME);
    prop_oneof![any_bytes, text, dotted].prop_map(|mut name| {
        name.truncate(MAX_NAME);
        name
    })
}

proptest! {
    #[test]
    fn every_name_gets_a_conflict_name(name in file_names(), sec in any::<i64>(), by in any::<u64>(), attempt in any::<u32>()) {
        let copy = named(&name, sec, by, attempt);
        prop_assert!(copy.len() <= MAX_NAME);
        prop_assert!(is_conflict_name(&copy));
        prop_assert_ne!(&copy, &named(&name, sec, by, attempt ^ 1));
    }

    #[test]
    fn copies_of_copies_do_not_grow(name in file_names(), times in prop::collection::vec((any::<i64>(), any::<u64>()), 1..20)) {
        let direct = |sec, by| named(&name, sec, by, 0);
        let mut copy = direct(0, 0);
        let first_len = copy.len();
        for (sec, by) in times {
            copy = named(&copy, sec, by, 0);
            prop_assert_eq!(copy.len(), first_len);
            prop_assert_eq!(&copy, &direct(sec, by));
        }
    }

    #[test]
    fn text_stays_text(text in prop::collection::vec(any::<char>(), 1..250), attempt in any::<u32>()) {
        let text: String = text.into_iter().filter(|&c| c != '.').chain("x".chars()).collect();
        prop_assert!(String::from_utf8(named(text.as_bytes(), 0, 0, attempt)).is_ok());
    }
}
