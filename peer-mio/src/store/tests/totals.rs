//! Sums, fingerprints, recipes and the small things.

use super::super::Totals;
use super::*;

#[test]
fn totals_follow_puts_replacements_and_tombstones() {
    let (file, mut store) = begin();
    store.put(b"d", row(Kind::Directory, 0, 0)).unwrap();
    store.put(b"d/a", row(Kind::File, 1, 100)).unwrap();
    store
        .put(
            b"d/b.conflict-20260101-000000-0a1b.txt",
            row(Kind::File, 2, 7),
        )
        .unwrap();
    store.put(b"x.conflict-/c", row(Kind::File, 3, 1)).unwrap();
    assert_eq!(
        store.totals(),
        Totals {
            files: 3,
            bytes: 108,
            conflicts: 1,
            tombstones: 0
        }
    );
    store.put(b"d/a", row(Kind::File, 1, 50)).unwrap();
    assert_eq!(
        store.totals(),
        Totals {
            files: 3,
            bytes: 58,
            conflicts: 1,
            tombstones: 0
        }
    );
    store
        .put(
            b"d/b.conflict-20260101-000000-0a1b.txt",
            row(Kind::Tombstone, 0, 0),
        )
        .unwrap();
    let totals = Totals {
        files: 2,
        bytes: 51,
        conflicts: 0,
        tombstones: 1,
    };
    assert_eq!(store.totals(), totals);
    store.commit(Durability::Durable).unwrap();
    drop(store);
    let mut store = reopen(&file);
    assert_eq!(store.totals(), totals);
    store
        .forget(b"d/b.conflict-20260101-000000-0a1b.txt")
        .unwrap();
    store.forget(b"never").unwrap();
    assert_eq!(
        store.totals(),
        Totals {
            tombstones: 0,
            ..totals
        }
    );
}

#[test]
fn put_gives_the_sequence_and_replaces() {
    let (_, mut store) = begin();
    assert_eq!((store.sequence(), store.next_sequence()), (0, 1));
    let mut symlink = row(Kind::Symlink, 1, 0);
    symlink.target = b"over/there".to_vec();
    symlink.entry.sequence = 99;
    assert_eq!(store.put(b"a", symlink.clone()).unwrap(), 1);
    symlink.entry.sequence = 1;
    assert_eq!(store.get(b"a").unwrap(), Some(symlink));
    assert_eq!(store.put(b"a", file_row(1)).unwrap(), 2);
    assert_eq!(store.get(b"a").unwrap().unwrap().target, b"");
    assert_eq!(store.get(b"b").unwrap(), None);
}

#[test]
fn a_fingerprint_is_no_change_that_others_hear_of() {
    let (_, mut store) = begin();
    store.put(b"a", file_row(1)).unwrap();
    store.set_fingerprint(b"a", fingerprint(3), 1).unwrap();
    store.set_fingerprint(b"none", fingerprint(3), 1).unwrap();
    let row = store.get(b"a").unwrap().unwrap();
    assert_eq!(
        (row.local, row.entry.sequence, store.sequence()),
        (Some(fingerprint(3)), 1, 1)
    );
    assert_eq!(store.get(b"none").unwrap(), None);
}

#[test]
fn recipes_are_kept_block_by_block_and_dropped_whole() {
    let (_, mut store) = begin();
    let (one, two) = (ContentId([1; 32]), ContentId([2; 32]));
    for number in 0..300 {
        store
            .put_recipe_block(one, number, &number.to_be_bytes())
            .unwrap();
    }
    store.put_recipe_block(one, u32::MAX, b"last").unwrap();
    store.put_recipe_block(two, 0, b"two").unwrap();
    assert_eq!(
        store.recipe_block(one, 299).unwrap(),
        Some(299u32.to_be_bytes().to_vec())
    );
    assert_eq!(store.recipe_block(one, 300).unwrap(), None);
    let has = |content, number| store.recipe_block(content, number).unwrap().is_some();
    assert!((0..300).all(|number| has(one, number)) && !has(one, 300));
    assert!(has(two, 0) && !has(two, 1));
    store.remove_recipe(one).unwrap();
    assert!(
        [0, 299, u32::MAX]
            .iter()
            .all(|&number| store.recipe_block(one, number).unwrap().is_none())
    );
    assert_eq!(
        store.recipe_block(two, 0).unwrap().as_deref(),
        Some(b"two".as_slice())
    );
    store.commit(Durability::Durable).unwrap();
    store.remove_recipe(one).unwrap();
    assert!(!store.dirty(), "nothing to drop is nothing to write");
}

#[test]
fn sweeps_drop_recipes_that_nothing_needs_some_at_a_time() {
    let (_, mut store) = begin();
    let content = |number: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        ContentId(id)
    };
    for number in 0..1200 {
        store.put_recipe_block(content(number), 0, b"0").unwrap();
        store.put_recipe_block(content(number), 1, b"1").unwrap();
        let mut live = file_row(0);
        live.entry.content = content(number);
        let mut wanted = pending(Kind::File, 0);
        wanted.entry.content = content(number);
        let path = number.to_string().into_bytes();
        match number % 100 {
            1 => store.put(&path, live).map(|_| ()).unwrap(),
            2 => store.put_pending(&path, &wanted).unwrap(),
            _ => {}
        }
    }
    let left = |store: &Store| {
        (0..1200)
            .filter(|&number| store.recipe_block(content(number), 1).unwrap().is_some())
            .count()
    };
    store.sweep_recipes().unwrap();
    assert_eq!(left(&store), 1200 - 512);
    store.sweep_recipes().unwrap();
    assert_eq!(left(&store), 1200 - 1024);
    store.sweep_recipes().unwrap();
    assert_eq!(left(&store), 24);
    for (path, _) in all_pending(&store) {
        store.remove_pending(&path).unwrap();
    }
    // The next one begins anew.
    store.sweep_recipes().unwrap();
    assert_eq!(left(&store), 12);
    store.commit(Durability::Durable).unwrap();
    store.sweep_recipes().unwrap();
    assert!(!store.dirty());
}

#[test]
fn cursors_and_values_are_remembered() {
    let (file, mut store) = begin();
    assert_eq!(
        (
            store.cursor(IndexId(4)).unwrap(),
            store.meta("share").unwrap()
        ),
        (0, None)
    );
    store.set_cursor(IndexId(4), 70).unwrap();
    store.set_agreed(9).unwrap();
    store.set_meta("share", b"inode").unwrap();
    store.commit(Durability::Durable).unwrap();
    drop(store);
    let store = reopen(&file);
    assert_eq!(store.cursor(IndexId(4)).unwrap(), 70);
    assert_eq!(store.agreed().unwrap(), 9);
    assert_eq!(
        store.meta("share").unwrap().as_deref(),
        Some(b"inode".as_slice())
    );
}
