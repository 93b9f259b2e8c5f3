//! Power cuts: what is found after one is the state of a commit, and not of one that is older than
//! the last durable one.

use super::*;

/// The power goes at any write of a random life, in the middle of a commit too.
fn live_and_crash(seed: u64) {
    let mut random = Random(seed);
    let (file, mut store) = begin();
    // What may be found: the last durable commit and what came after it.
    let mut possible = vec![picture(&store)];
    for _life in 0..3 {
        file.vanish_after(random.below(120));
        for _ in 0..200 {
            if change_anything(&mut store, &mut random).is_err() {
                break;
            }
            let durability = match random.below(20) {
                0 => Durability::Durable,
                1 => Durability::Eventual,
                _ => continue,
            };
            let now = picture(&store);
            let result = store.commit(durability);
            if result.is_ok() && durability == Durability::Durable {
                possible.clear();
            }
            possible.push(now);
            if result.is_err() {
                break;
            }
        }
        drop(store);
        file.crash(&mut random);
        store = reopen(&file);
        let found = picture(&store);
        assert!(
            possible.contains(&found),
            "seed {seed}: found at {}, possible {:?}",
            found.sequence,
            possible
                .iter()
                .map(|state| state.sequence)
                .collect::<Vec<_>>()
        );
        possible = vec![found];
    }
}

#[test]
fn a_crash_leaves_the_state_of_a_commit() {
    for seed in 0..400 {
        live_and_crash(seed);
    }
}

#[test]
fn a_crash_while_an_index_is_begun_never_keeps_the_next_from_beginning() {
    let (file, _) = begin();
    for changes in 0..=file.changes() {
        for seed in 0..20 {
            let file = MemoryFile::default();
            file.vanish_after(changes);
            drop(Store::open(file.clone(), OURS));
            file.crash(&mut Random(seed));
            match Store::open(file.clone(), OURS) {
                Ok((store, _)) => assert_eq!((store.index_id(), store.sequence()), (OURS, 0)),
                Err(super::super::StoreError::Damaged(_)) => {}
                Err(error) => panic!("{changes} {seed}: {error}"),
            }
        }
    }
}
