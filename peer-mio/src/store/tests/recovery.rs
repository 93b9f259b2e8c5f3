//! What opening does after a power cut: it may be cut short itself, and it may find damage in a file
//! that was never closed.

use super::super::StoreError;
use super::*;

/// A file as it lies there while its index is open, with what a durable commit left last.
fn unclosed(seed: u64) -> (Vec<u8>, Picture) {
    let mut random = Random(seed);
    let (file, mut store) = begin();
    for _ in 0..20 {
        for _ in 0..15 {
            change_anything(&mut store, &mut random).unwrap();
        }
        store.commit(Durability::Durable).unwrap();
    }
    (file.bytes(), picture(&store))
}

#[test]
fn a_file_that_was_never_closed_holds_the_last_commit() {
    let (bytes, expected) = unclosed(1);
    assert_eq!(picture(&reopen(&MemoryFile::holding(&bytes))), expected);
}

/// An older state under the same index id would give sequences a second time. So damage must not be
/// taken for a commit that a power cut kept from ending.
#[test]
fn damage_never_brings_back_an_older_state() {
    let (bytes, expected) = unclosed(2);
    for page in 0..bytes.len() / 4096 {
        for at in [40, 2000] {
            let mut bytes = bytes.clone();
            bytes[page * 4096 + at] ^= 1;
            match Store::open(MemoryFile::holding(&bytes), IndexId(1)) {
                Ok((store, _)) => assert!(picture(&store) == expected, "page {page}, byte {at}"),
                Err(StoreError::Damaged(_)) => {}
                Err(error) => panic!("page {page}, byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn opening_may_be_cut_short_again_and_again() {
    for seed in 0..200 {
        let (bytes, expected) = unclosed(seed);
        let mut random = Random(seed);
        let file = MemoryFile::holding(&bytes);
        for _ in 0..5 {
            file.vanish_after(random.below(8));
            drop(Store::open(file.clone(), IndexId(1)));
            file.crash(&mut random);
        }
        assert_eq!(picture(&reopen(&file)), expected, "seed {seed}");
    }
}
