//! Files that are not what was written.

use super::super::StoreError;
use super::*;
use crate::disk::DiskFile;

/// A whole index of some pages, closed.
fn sound() -> Vec<u8> {
    let (file, mut store) = begin();
    let mut random = Random(3);
    for _ in 0..400 {
        change_anything(&mut store, &mut random).unwrap();
    }
    store.commit(Durability::Durable).unwrap();
    drop(store);
    file.bytes()
}

/// Opens these bytes and reads all there is. Only two ends are right: all is as it was, or damage.
fn open_and_read(bytes: &[u8]) -> Result<Picture, StoreError> {
    let (store, _) = Store::open(MemoryFile::holding(bytes), IndexId(1))?;
    Ok(picture(&store))
}

fn damaged(result: &Result<Picture, StoreError>) -> bool {
    matches!(result, Err(StoreError::Damaged(_)))
}

#[test]
fn a_cut_off_file_is_damaged() {
    let bytes = sound();
    for end in
        (1..bytes.len())
            .step_by(777)
            .chain([1, 8, 9, 64, 320, 512, 4095, 4096, bytes.len() - 1])
    {
        let result = open_and_read(&bytes[..end]);
        assert!(damaged(&result), "{end}: {result:?}");
    }
}

#[test]
fn zeros_and_random_bytes_are_damaged() {
    for len in [1, 9, 512, 4096, 100_000] {
        assert!(damaged(&open_and_read(&vec![0; len])));
        let mut random = Random(len as u64);
        let noise: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        assert!(damaged(&open_and_read(&noise)));
        let bytes = sound();
        let mut zeroed = bytes.clone();
        zeroed[..len.min(bytes.len())].fill(0);
        assert!(damaged(&open_and_read(&zeroed)));
    }
}

#[test]
fn pages_of_zeros_or_noise_are_noticed() {
    let bytes = sound();
    let expected = open_and_read(&bytes).unwrap();
    let mut random = Random(5);
    for page in 0..bytes.len() / 4096 {
        for noise in [false, true] {
            let mut bytes = bytes.clone();
            bytes[page * 4096..][..4096].fill_with(|| if noise { random.next() as u8 } else { 0 });
            match open_and_read(&bytes) {
                Ok(found) => assert_eq!(found, expected, "page {page}"),
                Err(StoreError::Damaged(_)) => {}
                Err(error) => panic!("page {page}: {error}"),
            }
        }
    }
}

#[test]
fn flipped_bits_are_noticed() {
    let bytes = sound();
    let expected = open_and_read(&bytes).unwrap();
    let mut random = Random(6);
    let header = (0..400 * 8).map(|bit| bit as u64);
    let anywhere = (0..500)
        .map(|_| random.below(bytes.len() as u64 * 8))
        .collect::<Vec<_>>();
    for bit in header.chain(anywhere) {
        let mut bytes = bytes.clone();
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        match open_and_read(&bytes) {
            Ok(found) => assert_eq!(found, expected, "bit {bit}"),
            Err(StoreError::Damaged(_)) => {}
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn a_file_of_another_layout_is_damaged() {
    let (file, mut store) = begin();
    store.set_meta("layout", &[77]).unwrap();
    store.commit(Durability::Durable).unwrap();
    drop(store);
    assert!(matches!(
        Store::open(file, IndexId(1)),
        Err(StoreError::Damaged(_))
    ));
}

/// Overwrites some of a file, in one of the ways in which disks and memory do.
fn spoil(bytes: &mut [u8], random: &mut Random) {
    let mut place = |end: usize| random.below(end as u64) as usize;
    let pages = bytes.len() / 4096;
    match place(4) {
        // A page that was written to another's place.
        0 => {
            let from = place(pages) * 4096;
            bytes.copy_within(from..from + 4096, place(pages) * 4096);
        }
        // A sector that was never written.
        1 => {
            let sector = place(bytes.len() / 512) * 512;
            bytes[sector..sector + 512].fill(0);
        }
        // A number that is not what it was.
        2 => {
            let at = place(bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&random.next().to_le_bytes());
        }
        // A byte of the header.
        _ => {
            let at = place(512);
            bytes[at] = random.next() as u8;
        }
    }
}

#[test]
fn several_sorts_of_damage_at_once_are_noticed() {
    let bytes = sound();
    let expected = open_and_read(&bytes).unwrap();
    let mut random = Random(7);
    for round in 0..2000 {
        let mut bytes = bytes.clone();
        for _ in 0..=random.below(3) {
            spoil(&mut bytes, &mut random);
        }
        match open_and_read(&bytes) {
            Ok(found) => assert_eq!(found, expected, "round {round}"),
            Err(StoreError::Damaged(_)) => {}
            Err(error) => panic!("round {round}: {error}"),
        }
    }
}

#[test]
fn a_sector_that_cannot_be_read_is_damage() {
    let file = MemoryFile::holding(&sound());
    file.fail_reading();
    assert!(matches!(
        Store::open(file, IndexId(1)),
        Err(StoreError::Damaged(_))
    ));
}

#[test]
fn an_index_that_vanished_under_us_is_not_begun_anew_under_its_old_id() {
    let (file, mut store) = begin();
    store.put(b"a", file_row(1)).unwrap();
    store.commit(Durability::Durable).unwrap();
    file.vanish_after(0);
    store.put(b"b", file_row(1)).unwrap();
    assert!(store.commit(Durability::Durable).is_err());
    file.recover();
    file.set_len(0).unwrap();
    for _ in 0..2 {
        store.abandon();
        assert!(store.get(b"a").is_err());
        assert!(store.put(b"c", file_row(1)).is_err());
        assert!(store.commit(Durability::Durable).is_err());
    }
    drop(store);
    let (store, opened) = Store::open(file, IndexId(1)).unwrap();
    assert_eq!((opened, store.index_id()), (Opened::Created, IndexId(1)));
}
