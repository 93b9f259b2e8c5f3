//! Laws of paths: what passes stays below `share/`, the tree order is the order of a walk, and what is
//! printed moves no cursor.

use proptest::prelude::*;
use proto_core::limits::{MAX_NAME, MAX_PATH};
use proto_core::path::{Escaped, PathError, check, is_below, name, parent, tree_cmp};
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// Bytes that are often paths, and often nearly.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(&b"ab/.\\-"[..]),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..24)
}

fn paths() -> impl Strategy<Value = Vec<u8>> {
    bytes().prop_filter("a path", |bytes| check(bytes).is_ok())
}

proptest! {
    /// What the standard library makes of it is the judge.
    #[test]
    fn what_passes_is_plain_components_below_the_root(bytes in bytes()) {
        let path = Path::new(OsStr::from_bytes(&bytes));
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let joined: Vec<&[u8]> = path.components().map(|part| part.as_os_str().as_bytes()).collect();
        // `components` forgives what makes no difference to it: `a//b`, `a/.`, `a/`.
        let exact = joined.join(&b'/') == bytes;
        let passes = !bytes.is_empty() && plain && exact && !bytes.contains(&0);
        prop_assert_eq!(check(&bytes).is_ok(), passes);
    }

    #[test]
    fn parent_and_name_are_those_of_the_standard_library(path in paths()) {
        let theirs = Path::new(OsStr::from_bytes(&path));
        prop_assert_eq!(name(&path), theirs.file_name().unwrap().as_bytes());
        let their_parent = theirs.parent().unwrap().as_os_str().as_bytes();
        prop_assert_eq!(parent(&path).unwrap_or_default(), their_parent);
        if let Some(parent) = parent(&path) {
            prop_assert_eq!(check(parent), Ok(()));
            prop_assert!(is_below(&path, parent));
        }
    }

    #[test]
    fn below_is_below_in_the_standard_library(a in paths(), b in paths()) {
        let (path, directory) = (Path::new(OsStr::from_bytes(&a)), Path::new(OsStr::from_bytes(&b)));
        prop_assert_eq!(is_below(&a, &b), path != directory && path.starts_with(directory));
        prop_assert!(is_below(&a, b""));
    }

    #[test]
    fn the_tree_order_is_that_of_the_components(a in paths(), b in paths()) {
        let parts = |path: &[u8]| path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        prop_assert_eq!(tree_cmp(&a, &b), parts(&a).cmp(&parts(&b)));
    }

    /// Also over bytes that are no paths.
    #[test]
    fn the_tree_order_is_an_order(a in bytes(), b in bytes(), c in bytes()) {
        prop_assert_eq!(tree_cmp(&a, &b) == Ordering::Equal, a == b);
        prop_assert_eq!(tree_cmp(&a, &b), tree_cmp(&b, &a).reverse());
        if tree_cmp(&a, &b).is_le() && tree_cmp(&b, &c).is_le() {
            prop_assert!(tree_cmp(&a, &c).is_le());
        }
    }

    #[test]
    fn a_directory_is_followed_by_what_is_in_it(mut all in prop::collection::vec(paths(), 0..30), directory in paths()) {
        all.sort_by(|a, b| tree_cmp(a, b));
        let inside: Vec<bool> = all.iter().map(|path| *path == directory || is_below(path, &directory)).collect();
        // One run of them, at most.
        prop_assert!(inside.windows(2).filter(|pair| pair[0] != pair[1]).count() <= 2);
        let run: Vec<&Vec<u8>> = all.iter().filter(|path| is_below(path, &directory) || **path == directory).collect();
        prop_assert!(run.windows(2).all(|pair| *pair[0] == directory || *pair[1] != directory));
    }

    #[test]
    fn what_is_printed_is_harmless_and_says_what_it_was(bytes: Vec<u8>) {
        let printed = Escaped(&bytes).to_string();
        prop_assert!(!printed.chars().any(char::is_control));
        prop_assert_eq!(unescaped(&printed), bytes);
    }

    #[test]
    fn plain_text_is_printed_as_it_is(text in "[^\\p{Cc}\\\\]{0,40}") {
        prop_assert_eq!(Escaped(text.as_bytes()).to_string(), text);
    }
}

/// Back from what [`Escaped`] printed.
fn unescaped(printed: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = printed.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'\\' {
            let hex = std::str::from_utf8(&tail[1..3]).unwrap();
            assert_eq!(tail[0], b'x');
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &tail[3..];
        } else {
            bytes.push(*first);
        }
    }
    bytes
}

#[test]
fn the_longest_path_and_component() {
    let components = |count: usize, last: usize| {
        let mut path = vec![b'x'; MAX_NAME].repeat(count);
        for at in 1..=count {
            path.insert(at * (MAX_NAME + 1) - 1, b'/');
        }
        path.resize(path.len() + last, b'y');
        path
    };
    assert_eq!(components(15, 255).len(), MAX_PATH);
    assert_eq!(check(&components(15, 255)), Ok(()));
    assert_eq!(check(&components(15, 256)), Err(PathError::Length));
    assert_eq!(check(&components(1, 256)), Err(PathError::Component));
    assert_eq!(check(&b"a/".repeat(2048)[..MAX_PATH]), Ok(()));
}
