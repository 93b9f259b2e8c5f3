//! A disk that refuses writes: what was committed stays, and work goes on when there is room.

use super::super::StoreError;
use super::*;

/// Changes until the disk refuses; whether it did.
fn work(store: &mut Store, random: &mut Random, states: &mut Vec<Picture>) -> bool {
    for _ in 0..150 {
        if change_anything(store, random).is_err() {
            return true;
        }
        let durability = match random.below(15) {
            0 => Durability::Durable,
            1 => Durability::Eventual,
            _ => continue,
        };
        let now = picture(store);
        let result = store.commit(durability);
        if result.is_ok() && durability == Durability::Durable {
            states.clear();
        }
        states.push(now);
        if result.is_err() {
            return true;
        }
    }
    false
}

fn without_sequence(picture: &Picture) -> Picture {
    Picture {
        sequence: 0,
        ..picture.clone()
    }
}

fn fill_and_go_on(seed: u64) {
    let mut random = Random(seed);
    let (file, mut store) = begin();
    let mut states = vec![picture(&store)];
    for _ in 0..4 {
        if random.below(2) == 0 {
            file.fill_after(random.below(100));
        } else {
            file.vanish_after(random.below(100));
        }
        let failed = work(&mut store, &mut random, &mut states);
        let given = store.sequence();
        if failed {
            assert!(
                store.commit(Durability::Durable).is_err(),
                "seed {seed}: half a change was committed"
            );
            assert!(store.put(b"more", file_row(1)).is_err());
            // Still no room: this may fail, and must not do harm.
            if random.below(2) == 0 {
                store.abandon();
            }
        }
        file.recover();
        store.abandon();
        let found = picture(&store);
        assert!(
            states
                .iter()
                .any(|state| without_sequence(state) == without_sequence(&found)),
            "seed {seed}"
        );
        if failed {
            assert!(
                found.sequence >= states[0].sequence
                    && found.sequence <= given.max(states[0].sequence)
            );
        }
        store.put(b"again", file_row(1)).unwrap();
        store.commit(Durability::Durable).unwrap();
        states = vec![picture(&store)];
        if random.below(2) == 0 {
            drop(store);
            store = reopen(&file);
            assert_eq!(picture(&store), states[0]);
        }
    }
}

#[test]
fn a_full_disk_is_survived() {
    for seed in 0..300 {
        fill_and_go_on(seed);
    }
}

#[test]
fn sequences_of_lost_commits_are_not_given_again() {
    let (file, mut store) = begin();
    store.put(b"a", file_row(1)).unwrap();
    store.commit(Durability::Durable).unwrap();
    store.put(b"b", file_row(1)).unwrap();
    store.commit(Durability::Eventual).unwrap();
    file.vanish_after(0);
    store.put(b"c", file_row(1)).unwrap();
    assert!(store.commit(Durability::Durable).is_err());
    file.recover();
    store.abandon();
    let again = store.put(b"d", file_row(1)).unwrap();
    assert!(again > 2, "sequence {again} was given before");
    store.commit(Durability::Durable).unwrap();
    drop(store);
    assert_eq!(reopen(&file).sequence(), again);
}

/// redb's check at the start makes a commit, which a file without a free page has no room for.
#[test]
fn an_index_that_cannot_grow_mostly_opens_and_is_never_taken_for_damaged() {
    let mut opened = 0;
    for seed in 0..50 {
        let (file, mut store) = begin();
        let mut random = Random(seed);
        for _ in 0..random.below(1500) {
            change_anything(&mut store, &mut random).unwrap();
        }
        store.commit(Durability::Durable).unwrap();
        let before = picture(&store);
        if seed % 2 == 0 {
            // As if the power had gone: what a clean end writes is missing.
            file.vanish_after(0);
        }
        drop(store);
        file.recover();
        file.forbid_growth();
        match Store::open(file.clone(), IndexId(1)) {
            Ok((store, _)) => {
                assert_eq!(picture(&store), before);
                opened += 1;
            }
            Err(StoreError::Disk(_)) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
        file.recover();
        assert_eq!(picture(&reopen(&file)), before);
    }
    assert!(opened > 30, "{opened} of 50");
}
