//! Tests of the store.

mod crash;
mod damage;
mod full_disk;
mod memory_file;
mod order;
mod recovery;
mod rows;
mod totals;

use super::{Durability, Fingerprint, Opened, Pending, Row, Store};
use memory_file::MemoryFile;
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Timestamp};
use proto_core::index::version_vector::VersionVector;
use std::ops::ControlFlow::Continue;

/// The id of the indexes here.
const OURS: IndexId = IndexId(0xfeed);

/// A new, empty index.
fn begin() -> (MemoryFile, Store) {
    let file = MemoryFile::default();
    let (store, opened) = Store::open(file.clone(), OURS).unwrap();
    assert_eq!(opened, Opened::Created);
    (file, store)
}

/// The index in a file that has one. The fresh id must not matter.
fn reopen(file: &MemoryFile) -> Store {
    let (store, opened) = Store::open(file.clone(), IndexId(1)).unwrap();
    assert_eq!((opened, store.index_id()), (Opened::Existing, OURS));
    store
}

fn entry(kind: Kind, content: u8, size: u64) -> Entry {
    Entry {
        kind,
        mode: 0o640,
        size,
        mtime: Timestamp {
            sec: -3,
            nsec: 999_999_999,
        },
        content: ContentId([content; 32]),
        modified_by: IndexId(7),
        version: VersionVector::from_sorted([(IndexId(7), 3)]).unwrap(),
        sequence: 0,
    }
}

fn row(kind: Kind, content: u8, size: u64) -> Row {
    Row {
        entry: entry(kind, content, size),
        target: Vec::new(),
        local: None,
        run: 1,
    }
}

fn file_row(content: u8) -> Row {
    row(Kind::File, content, 10)
}

fn pending(kind: Kind, content: u8) -> Pending {
    Pending {
        // Every third one is too short for a recipe.
        entry: entry(
            kind,
            content,
            if content % 3 == 2 { 16_384 } else { 16_385 },
        ),
        target: Vec::new(),
        told_by: IndexId(9),
    }
}

fn fingerprint(inode: u64) -> Fingerprint {
    let time = Timestamp { sec: 5, nsec: 6 };
    Fingerprint {
        inode,
        size: 10,
        mtime: time,
        ctime: time,
        mode: 0o640,
        link: inode % 2 == 1,
    }
}

fn walked(store: &Store, after: Option<&[u8]>) -> Vec<(Vec<u8>, Row)> {
    let mut rows = Vec::new();
    store
        .walk(after, &mut |path, row| {
            rows.push((path.to_vec(), row.clone()));
            Continue(())
        })
        .unwrap();
    rows
}

fn journal(store: &Store, after: u64) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    store
        .journal(after, &mut |sequence, path, row| {
            assert_eq!(row.entry.sequence, sequence);
            records.push((sequence, path.to_vec()));
            Continue(())
        })
        .unwrap();
    records
}

fn paths_of(store: &Store, content: u8) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    store
        .paths_of(ContentId([content; 32]), &mut |path| {
            assert!(
                store.get(path).unwrap().is_some(),
                "a visitor may read the store"
            );
            paths.push(path.to_vec());
            Continue(())
        })
        .unwrap();
    paths
}

fn all_pending(store: &Store) -> Vec<(Vec<u8>, Pending)> {
    let mut found: Vec<(Vec<u8>, Pending)> = Vec::new();
    while let Some(next) = store
        .next_pending(found.last().map(|(path, _)| path.as_slice()))
        .unwrap()
    {
        found.push(next);
    }
    found
}

/// All that a store says.
#[derive(Clone, PartialEq, Debug)]
struct Picture {
    sequence: u64,
    totals: super::Totals,
    rows: Vec<(Vec<u8>, Row)>,
    journal: Vec<(u64, Vec<u8>)>,
    contents: Vec<Vec<Vec<u8>>>,
    pending: Vec<(Vec<u8>, Pending)>,
    wanted: Vec<bool>,
    recipes: Vec<Option<Vec<u8>>>,
    cursors: Vec<u64>,
    meta: Option<Vec<u8>>,
}

/// Contents, recipes and peers that the tests of whole stores use: 0 up to this.
const FEW: u8 = 6;

/// What a store says. Checks on the way that its tables agree with each other.
fn picture(store: &Store) -> Picture {
    let rows = walked(store, None);
    let journal = journal(store, 0);
    let mut expected: Vec<(u64, Vec<u8>)> = rows
        .iter()
        .map(|(path, row)| (row.entry.sequence, path.clone()))
        .collect();
    expected.sort();
    assert_eq!(journal, expected, "the journal holds each path once");
    assert!(
        journal
            .last()
            .is_none_or(|(sequence, _)| *sequence <= store.sequence())
    );
    let contents: Vec<_> = (0..FEW).map(|content| paths_of(store, content)).collect();
    for (content, paths) in (0..FEW).zip(&contents) {
        let expected: Vec<Vec<u8>> = rows
            .iter()
            .filter(|(_, row)| row.entry.kind == Kind::File && row.entry.content.0 == [content; 32])
            .map(|(path, _)| path.clone())
            .collect();
        assert_eq!(paths, &expected);
    }
    let pending = all_pending(store);
    assert_eq!(pending.len() as u64, store.pending_len());
    let wanted: Vec<bool> = (0..FEW)
        .map(|content| store.pending_wants(ContentId([content; 32])).unwrap())
        .collect();
    for (content, wanted) in (0..FEW).zip(&wanted) {
        let expected = pending.iter().any(|(_, change)| {
            change.entry.kind == Kind::File
                && change.entry.size > 16_384
                && change.entry.content.0 == [content; 32]
        });
        assert_eq!(*wanted, expected);
    }
    let mut totals = super::meta::Counters::default();
    for (path, row) in &rows {
        totals.add(path, &row.entry);
    }
    assert_eq!(store.totals(), totals.totals);
    Picture {
        sequence: store.sequence(),
        totals: store.totals(),
        rows,
        journal,
        contents,
        pending,
        wanted,
        recipes: (0..FEW)
            .map(|content| store.recipe_block(ContentId([content; 32]), 0).unwrap())
            .collect(),
        cursors: (0..FEW)
            .map(|index| store.cursor(IndexId(index.into())).unwrap())
            .collect(),
        meta: store.meta("share").unwrap(),
    }
}

/// A small generator of random numbers (SplitMix64), so that a seed names a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn small(&mut self) -> u8 {
        self.below(FEW.into()) as u8
    }
}

/// One change of any sort, as a peer would make it.
fn change_anything(store: &mut Store, random: &mut Random) -> Result<(), super::StoreError> {
    let path = format!(
        "d{}/{}{}",
        random.below(4),
        random.below(30),
        if random.below(5) == 0 {
            ".conflict-x"
        } else {
            ""
        }
    )
    .into_bytes();
    let kind = [Kind::File, Kind::File, Kind::Tombstone, Kind::Directory][random.below(4) as usize];
    let content = ContentId([random.small(); 32]);
    match random.below(12) {
        0..=4 => store
            .put(&path, row(kind, content.0[0], random.below(1000)))
            .map(|_| ()),
        5 => store.set_fingerprint(&path, fingerprint(random.next()), 2),
        6 => store.forget(&path),
        7 => store.put_pending(&path, &pending(kind, content.0[0])),
        8 => store.remove_pending(&path),
        9 => match random.below(3) {
            0 => store.remove_recipe(content),
            1 => store.sweep_recipes(),
            _ => {
                store.put_recipe_block(content, 0, &vec![content.0[0]; random.below(3000) as usize])
            }
        },
        10 => store.set_cursor(IndexId(random.small().into()), random.below(100)),
        _ => store.set_meta("share", &random.next().to_be_bytes()),
    }
}

#[test]
fn all_changes_survive_a_durable_commit() {
    let (file, mut store) = begin();
    let mut random = Random(1);
    for _ in 0..2000 {
        change_anything(&mut store, &mut random).unwrap();
    }
    assert!(store.dirty());
    store.commit(Durability::Durable).unwrap();
    assert!(!store.dirty());
    let before = picture(&store);
    assert!(before.rows.len() > 64 && before.pending.len() > 10);
    drop(store);
    assert_eq!(picture(&reopen(&file)), before);
}

#[test]
fn abandon_takes_back_to_the_last_commit_of_either_sort() {
    let (_, mut store) = begin();
    let mut random = Random(2);
    for round in 0..60 {
        for _ in 0..random.below(20) {
            change_anything(&mut store, &mut random).unwrap();
        }
        store
            .commit(if round % 2 == 0 {
                Durability::Eventual
            } else {
                Durability::Durable
            })
            .unwrap();
        let before = picture(&store);
        for _ in 0..random.below(20) {
            change_anything(&mut store, &mut random).unwrap();
        }
        store.abandon();
        assert_eq!(picture(&store), before);
    }
}

#[test]
fn an_eventual_commit_lasts_with_the_next_durable_one() {
    let (file, mut store) = begin();
    store.put(b"a", file_row(1)).unwrap();
    store.commit(Durability::Eventual).unwrap();
    assert!(store.dirty());
    store.commit(Durability::Durable).unwrap();
    assert!(!store.dirty());
    file.crash(&mut Random(0));
    drop(store);
    assert_eq!(walked(&reopen(&file), None).len(), 1);
}

#[test]
fn what_is_pending_is_durable_with_the_next_durable_commit() {
    let (_, mut store) = begin();
    assert!(store.is_pending_durable());
    store.put_pending(b"a", &pending(Kind::File, 1)).unwrap();
    store.commit(Durability::Eventual).unwrap();
    assert!(!store.is_pending_durable());
    store.commit(Durability::Durable).unwrap();
    assert!(store.is_pending_durable());
    store.put(b"a", file_row(1)).unwrap();
    store.commit(Durability::Eventual).unwrap();
    assert!(store.is_pending_durable());
}

#[test]
fn a_path_with_a_nul_is_refused_without_harm() {
    let (_, mut store) = begin();
    assert!(store.put(b"a\0b", file_row(1)).is_err());
    assert!(store.get(b"a\0b").is_err());
    store.put(b"a", file_row(1)).unwrap();
    store.commit(Durability::Durable).unwrap();
}
