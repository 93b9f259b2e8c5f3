use super::super::memory_file::{MemoryFile, random, recipe_of};
use super::*;
use std::collections::BTreeSet;

const NEW: ContentId = ContentId([1; 32]);
const OLD: ContentId = ContentId([2; 32]);

#[derive(Default)]
struct Here {
    places: BTreeSet<u32>,
    bytes: u64,
}

impl Chunks for Here {
    fn is_here(&self, place: u32) -> bool {
        self.places.contains(&place)
    }

    fn came(&mut self, place: u32, len: u32) {
        assert!(self.places.insert(place));
        self.bytes += u64::from(len);
    }
}

/// What a job takes of `old` for `new`, in `to`; `claimed` is what the index says of the old file.
fn take(old: MemoryFile, claimed: &[u8], new: &[u8], to: &MemoryFile, budget: usize) -> Here {
    let recipes = [(NEW, recipe_of(new).1), (OLD, recipe_of(claimed).1)];
    let source = Source {
        file: old,
        content: OLD,
        size: claimed.len() as u64,
    };
    let mut job = DeltaJob::new(NEW, to.clone(), vec![source]);
    let mut here = Here::default();
    for _ in 0..1_000_000 {
        let progress = job.step(
            budget,
            &mut |content, place| {
                let recipe = recipes.iter().find(|(named, _)| *named == content).unwrap();
                Ok(recipe.1.get(place as usize).copied())
            },
            &mut here,
        );
        if matches!(progress.unwrap(), Progress::Done(())) {
            check(new, &to.bytes(), &here);
            return here;
        }
    }
    panic!("it never ends");
}

/// What it says is here is here.
fn check(new: &[u8], to: &[u8], here: &Here) {
    let mut start = 0;
    for (place, chunk) in recipe_of(new).1.iter().enumerate() {
        let end = start + chunk.len as usize;
        if here.is_here(place as u32) {
            assert!(to[start..end] == new[start..end], "chunk {place}");
        }
        start = end;
    }
}

#[test]
fn what_is_never_in_memory_is_taken_nevertheless() {
    let bytes = random(1, 3_000_000);
    let (old, to) = (MemoryFile::new(&bytes), MemoryFile::new(&[]));
    old.never_cache();
    let here = take(old, &bytes, &bytes, &to, 1 << 20);
    assert_eq!(here.bytes, 3_000_000);
}

#[test]
fn all_but_what_changed_is_taken() {
    let old = random(1, 3_000_000);
    let mut new = [b"in front".as_slice(), &old].concat();
    new[1_500_000..1_500_100].fill(1);
    for budget in [1, 100_000, usize::MAX] {
        let to = MemoryFile::new(&[]);
        let here = take(MemoryFile::new(&old), &old, &new, &to, budget);
        let missing = new.len() as u64 - here.bytes;
        assert!(missing > 0 && missing < 4 * 262_144, "{missing}");
    }
}

#[test]
fn chunks_that_repeat_are_taken_wherever_they_belong() {
    let old = [vec![0; 1_000_000], random(2, 300_000)].concat();
    let new = [vec![0; 9_000_000], random(2, 300_000)].concat();
    for budget in [1, usize::MAX] {
        let to = MemoryFile::new(&[]);
        let here = take(MemoryFile::new(&old), &old, &new, &to, budget);
        assert!(here.bytes > 8_500_000, "{}", here.bytes);
    }
}

#[test]
fn what_is_not_as_the_index_says_is_not_taken() {
    let claimed = random(3, 2_000_000);
    let mut new = claimed.clone();
    new.extend(random(4, 100_000));
    let whole = take(
        MemoryFile::new(&claimed),
        &claimed,
        &new,
        &MemoryFile::new(&[]),
        1 << 20,
    );
    // Damaged, shorter, empty, and one that cannot be read to its end.
    let mut damaged = claimed.clone();
    damaged[1_000_000] ^= 1;
    let here = take(
        MemoryFile::new(&damaged),
        &claimed,
        &new,
        &MemoryFile::new(&[]),
        1 << 20,
    );
    assert!(here.bytes < whole.bytes && here.bytes > whole.bytes - 300_000);
    let short = MemoryFile::new(&claimed[..900_000]);
    let here = take(short, &claimed, &new, &MemoryFile::new(&[]), 1 << 20);
    assert!(here.bytes <= 900_000 && here.bytes > 600_000);
    let here = take(
        MemoryFile::new(&[]),
        &claimed,
        &new,
        &MemoryFile::new(&[]),
        1 << 20,
    );
    assert_eq!(here.bytes, 0);
    let failing = MemoryFile::new(&claimed);
    failing.fail_reads_from(900_000);
    let here = take(failing, &claimed, &new, &MemoryFile::new(&[]), 1 << 20);
    assert!(here.bytes <= 900_000);
    // Zeros that are none are looked at once for each chunk of the source, not for each place.
    let claimed = vec![0; 5_000_000];
    let here = take(
        MemoryFile::new(&random(5, 5_000_000)),
        &claimed,
        &claimed,
        &MemoryFile::new(&[]),
        1,
    );
    assert_eq!(here.bytes, 0);
}
