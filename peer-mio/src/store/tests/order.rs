//! The orders in which rows and pending changes are visited, and what is below a directory.

use super::*;
use std::ops::ControlFlow::Break;

fn paths(rows: &[(Vec<u8>, Row)]) -> Vec<&[u8]> {
    rows.iter().map(|(path, _)| path.as_slice()).collect()
}

#[test]
fn a_walk_is_in_tree_order() {
    let (_, mut store) = begin();
    for path in [
        b"a.b".as_slice(),
        b"a-b",
        b"a",
        b"b",
        b"a/b",
        b"a/b/c",
        b"a\x01",
    ] {
        store.put(path, file_row(1)).unwrap();
    }
    let all = [
        b"a".as_slice(),
        b"a/b",
        b"a/b/c",
        b"a\x01",
        b"a-b",
        b"a.b",
        b"b",
    ];
    assert_eq!(paths(&walked(&store, None)), all);
    for (place, path) in all.iter().enumerate() {
        assert_eq!(paths(&walked(&store, Some(path))), all[place + 1..]);
    }
    assert_eq!(
        paths(&walked(&store, Some(b"a/a"))),
        all[1..],
        "the path need not have a row"
    );
    assert!(
        all.windows(2)
            .all(|pair| proto_core::path::tree_cmp(pair[0], pair[1]).is_lt())
    );
}

#[test]
fn long_walks_and_journals_miss_nothing_and_end_when_told() {
    let (_, mut store) = begin();
    let names: Vec<Vec<u8>> = (0..300)
        .map(|number| format!("{number:03}").into_bytes())
        .collect();
    for (place, name) in names.iter().enumerate() {
        store.put(name, file_row(2)).unwrap();
        if place % 100 == 0 {
            store.commit(Durability::Durable).unwrap();
        }
    }
    for end in [0, 1, 63, 64, 65, 127, 128, 200, 300] {
        let (mut seen, mut sequences, mut same) = (Vec::new(), Vec::new(), Vec::new());
        let until = |len: usize| if len >= end { Break(()) } else { Continue(()) };
        store
            .walk(None, &mut |path, row| {
                assert_eq!(
                    store.get(path).unwrap().as_ref(),
                    Some(row),
                    "a visitor may read the store"
                );
                seen.push(path.to_vec());
                until(seen.len())
            })
            .unwrap();
        store
            .journal(0, &mut |sequence, path, row| {
                assert_eq!(store.get(path).unwrap().as_ref(), Some(row));
                sequences.push(sequence);
                until(sequences.len())
            })
            .unwrap();
        store
            .paths_of(ContentId([2; 32]), &mut |path| {
                same.push(path.to_vec());
                until(same.len())
            })
            .unwrap();
        let end = end.max(1);
        assert_eq!(seen, names[..end]);
        assert_eq!(same, names[..end]);
        assert_eq!(sequences, (1..=end as u64).collect::<Vec<_>>());
    }
    assert_eq!(journal(&store, 298).len(), 2);
    assert_eq!(journal(&store, 300), []);
    assert_eq!(journal(&store, u64::MAX), []);
}

#[test]
fn the_journal_holds_each_path_once_at_its_newest_sequence() {
    let (_, mut store) = begin();
    for path in [b"a", b"b", b"a", b"c", b"b"] {
        store.put(path, file_row(1)).unwrap();
    }
    assert_eq!(
        journal(&store, 0),
        [(3, b"a".to_vec()), (4, b"c".to_vec()), (5, b"b".to_vec())]
    );
    assert_eq!(journal(&store, 3), [(4, b"c".to_vec()), (5, b"b".to_vec())]);
    store.forget(b"b").unwrap();
    assert_eq!(journal(&store, 3), [(4, b"c".to_vec())]);
    assert_eq!(
        (store.sequence(), store.next_sequence()),
        (5, 6),
        "sequences are never given twice"
    );
}

#[test]
fn contents_are_those_of_live_files_only() {
    let (_, mut store) = begin();
    store.put(b"x", file_row(1)).unwrap();
    store.put(b"y/z", file_row(1)).unwrap();
    store.put(b"link", row(Kind::Symlink, 1, 0)).unwrap();
    store.put(b"w", file_row(2)).unwrap();
    assert_eq!(paths_of(&store, 1), [b"x".to_vec(), b"y/z".to_vec()]);
    store.put(b"x", file_row(2)).unwrap();
    store.put(b"y/z", row(Kind::Tombstone, 0, 0)).unwrap();
    assert_eq!(paths_of(&store, 1), Vec::<Vec<u8>>::new());
    assert_eq!(paths_of(&store, 2), [b"w".to_vec(), b"x".to_vec()]);
    assert_eq!(paths_of(&store, 0), Vec::<Vec<u8>>::new());
}

#[test]
fn a_content_of_all_ones_ends_where_the_table_ends() {
    let (_, mut store) = begin();
    store.put(b"x", file_row(0xff)).unwrap();
    store.put(b"y", file_row(0xfe)).unwrap();
    assert_eq!(paths_of(&store, 0xff), [b"x".to_vec()]);
    assert_eq!(paths_of(&store, 0xfe), [b"y".to_vec()]);
}

#[test]
fn pending_changes_are_visited_both_ways() {
    let (_, mut store) = begin();
    let all = [b"a".as_slice(), b"a/b", b"a-b", b"a.b"];
    for path in [3, 0, 2, 1].map(|place: usize| all[place]) {
        store.put_pending(path, &pending(Kind::File, 1)).unwrap();
    }
    assert_eq!(store.pending_len(), 4);
    assert_eq!(
        all_pending(&store)
            .iter()
            .map(|(path, _)| path.as_slice())
            .collect::<Vec<_>>(),
        all
    );
    let mut back: Vec<Vec<u8>> = Vec::new();
    while let Some((path, _)) = store
        .previous_pending(back.last().map(Vec::as_slice))
        .unwrap()
    {
        back.push(path);
    }
    back.reverse();
    assert_eq!(back, all);
    store
        .put_pending(b"a", &pending(Kind::Tombstone, 0))
        .unwrap();
    assert_eq!(
        (store.pending_len(), store.pending(b"a").unwrap()),
        (4, Some(pending(Kind::Tombstone, 0)))
    );
    store.remove_pending(b"a").unwrap();
    store.remove_pending(b"a").unwrap();
    assert_eq!(
        (store.pending_len(), store.pending(b"a").unwrap()),
        (3, None)
    );
}

#[test]
fn below_is_neither_the_directory_nor_its_namesakes() {
    let (_, mut store) = begin();
    for path in [b"d".as_slice(), b"d-x", b"d.x", b"d\x01", b"dd/x", b"c/x"] {
        store.put(path, row(Kind::Directory, 0, 0)).unwrap();
        store.put_pending(path, &pending(Kind::File, 1)).unwrap();
    }
    assert!(!store.has_live_below(b"d").unwrap());
    assert!(!store.has_pending_below(b"d").unwrap());
    store.put(b"d/gone", row(Kind::Tombstone, 0, 0)).unwrap();
    store
        .put_pending(b"d/gone", &pending(Kind::Tombstone, 0))
        .unwrap();
    assert!(!store.has_live_below(b"d").unwrap());
    assert!(store.has_pending_below(b"d").unwrap());
    store.put(b"d/e/f", file_row(1)).unwrap();
    assert!(store.has_live_below(b"d").unwrap());
    assert!(store.has_live_below(b"d/e").unwrap());
    assert!(!store.has_live_below(b"d/e/f").unwrap());
    assert!(store.has_live_below(b"").unwrap());
    assert!(store.has_pending_below(b"").unwrap());
}

#[test]
fn a_walk_below_a_directory_visits_all_in_it_and_nothing_beside_it() {
    let (_, mut store) = begin();
    for path in [
        b"d".as_slice(),
        b"d/a",
        b"d/a/b",
        b"d/a-b",
        b"d-x",
        b"d.x",
        b"e",
    ] {
        store.put(path, file_row(1)).unwrap();
    }
    let below = |directory: &[u8]| {
        let mut paths = Vec::new();
        store
            .walk_below(directory, &mut |path, _| {
                paths.push(path.to_vec());
                Continue(())
            })
            .unwrap();
        paths
    };
    assert_eq!(below(b"d"), [b"d/a".as_slice(), b"d/a/b", b"d/a-b"]);
    assert_eq!(below(b"d/a"), [b"d/a/b"]);
    assert!(below(b"e").is_empty() && below(b"none").is_empty());
    assert_eq!(below(b"").len(), 7);
}
