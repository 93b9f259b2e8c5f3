//! Peers that tell of files that they do not hash.

use crate::fetching::random;
use crate::liar::{Meeting, Shelf, index_of};
use peer_mio::disk::Place;
use peer_mio::jobs::hash::content_of;
use proto_core::boundary::{Objects, Read};
use proto_core::content::recipe::{self, ContentIdHasher, MAX_RECIPE_BLOCK};
use proto_core::content::{ChunkRef, ContentId};
use proto_core::index::entry::{Entry, Kind, Sequence, Timestamp};
use proto_core::index::version_vector::VersionVector;
use proto_core::limits::RECIPE_BLOCK_CHUNKS;
use proto_core::time::Duration;
use proto_core::wire::ObjectId;
use proto_core::wire::draft::{Draft, Stage};
use proto_core::wire::page::PageWriter;

/// Chunks of a recipe block, each as long as may be.
const CHUNK: u32 = 262_144;
const CHUNKS: u32 = RECIPE_BLOCK_CHUNKS as u32;
/// What one recipe block covers.
const SIZE: u64 = CHUNK as u64 * CHUNKS as u64;

/// Zeros, under whatever name they are asked for.
struct Zeros {
    recipe: Vec<u8>,
    content: ContentId,
    zero: Vec<u8>,
    /// Bytes of chunks that were sent.
    served: u64,
}

impl Zeros {
    fn new() -> Self {
        let zero = vec![0; CHUNK as usize];
        let chunk = ChunkRef {
            len: CHUNK,
            hash: recipe::hash_chunk(&zero),
        };
        let mut hasher = ContentIdHasher::new();
        (0..CHUNKS).for_each(|_| hasher.push(&chunk));
        Self {
            recipe: recipe::write(&chunk).repeat(CHUNKS as usize),
            content: hasher.finish(),
            zero,
            served: 0,
        }
    }
}

impl Shelf for Zeros {
    fn objects(&mut self) -> &mut dyn Objects {
        self
    }

    fn newest(&self) -> Sequence {
        0
    }
}

impl Objects for Zeros {
    fn piece(&mut self, object: ObjectId, _: u64, length: usize) -> Read {
        match object {
            ObjectId::Content(_) => Read::Ready(length),
            ObjectId::Recipe(_) => Read::Ready(self.recipe.len().min(length)),
            _ => Read::Gone,
        }
    }

    fn read(&mut self, object: ObjectId, _: u64, _: usize, at: usize, buffer: &mut [u8]) -> Read {
        let is_content = matches!(object, ObjectId::Content(_));
        let bytes = if is_content { &self.zero } else { &self.recipe };
        buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
        self.served += u64::from(is_content) * buffer.len() as u64;
        Read::Ready(buffer.len())
    }
}

fn meeting() -> Meeting<Zeros> {
    let mut meeting = Meeting::with([Zeros::new()]);
    meeting.drive(Duration::from_secs(2));
    meeting
}

fn tell<S: Shelf>(meeting: &mut Meeting<S>, number: u64, stage: Stage, size: u64, path: &str) {
    let draft = Draft {
        number,
        stage,
        size,
        path: path.as_bytes(),
    };
    meeting.tell_draft(0, &draft);
}

/// Files in `download/`.
fn parts<S: Shelf>(meeting: &Meeting<S>) -> usize {
    meeting.disk.tree(Place::Download).len()
}

fn is_fetching<S: Shelf>(meeting: &Meeting<S>) -> bool {
    meeting.peer.progress().is_some()
}

/// What is told is fetched, and when its end is told nothing is left of it.
fn comes_to_nothing(size: u64, end: Stage) {
    let mut meeting = meeting();
    tell(&mut meeting, 1, Stage::Growing(CHUNKS), size, "file");
    let begun = |meeting: &Meeting<Zeros>| meeting.liars[0].shelf.served >= SIZE / 4;
    assert!(meeting.drive_until(Duration::from_secs(5), begun));
    assert!(is_fetching(&meeting) && parts(&meeting) == 1);
    tell(&mut meeting, 1, end, size, "file");
    meeting.drive(Duration::from_secs(5));
    assert!(!is_fetching(&meeting), "{end:?}");
    assert_eq!(parts(&meeting), 0, "{end:?}");
    assert_eq!(meeting.peer.status().errors, Vec::<String>::new());
    assert_eq!(meeting.disk.tree(Place::Share).len(), 0);
}

#[test]
fn one_with_a_name_that_is_not_its_own_comes_to_nothing() {
    let content = ContentId([5; 32]);
    let chunks = CHUNKS;
    comes_to_nothing(SIZE, Stage::Named { chunks, content });
}

#[test]
fn one_that_is_longer_than_its_recipe_comes_to_nothing() {
    let content = Zeros::new().content;
    let chunks = CHUNKS;
    comes_to_nothing(SIZE + 1, Stage::Named { chunks, content });
}

#[test]
fn one_whose_recipe_is_longer_than_it_comes_to_nothing() {
    let mut meeting = meeting();
    tell(&mut meeting, 1, Stage::Growing(CHUNKS), SIZE - 1, "file");
    meeting.drive(Duration::from_secs(5));
    assert!(!is_fetching(&meeting));
    assert_eq!(parts(&meeting), 0);
}

#[test]
fn one_that_is_dropped_comes_to_nothing() {
    comes_to_nothing(SIZE, Stage::Dropped);
    comes_to_nothing(2 * SIZE, Stage::Dropped);
}

#[test]
fn one_that_is_never_told_of_in_the_index_does_not_land_and_ends() {
    let mut meeting = meeting();
    let content = Zeros::new().content;
    tell(&mut meeting, 1, Stage::Growing(CHUNKS), SIZE, "file");
    meeting.drive(Duration::from_secs(1));
    let chunks = CHUNKS;
    tell(
        &mut meeting,
        1,
        Stage::Named { chunks, content },
        SIZE,
        "file",
    );
    meeting.drive(Duration::from_secs(5));
    assert!(is_fetching(&meeting));
    assert_eq!(meeting.disk.tree(Place::Share).len(), 0);
    let served = meeting.liars[0].shelf.served;
    assert_eq!(served, SIZE, "each chunk once");
    meeting.drive(Duration::from_secs(40));
    assert!(!is_fetching(&meeting));
    assert_eq!(meeting.disk.tree(Place::Share).len(), 0);
}

#[test]
fn one_that_never_ends_is_given_up() {
    let mut meeting = meeting();
    tell(&mut meeting, 1, Stage::Growing(CHUNKS), 3 * SIZE, "file");
    meeting.drive(Duration::from_secs(5));
    assert!(is_fetching(&meeting));
    meeting.drive(Duration::from_secs(60));
    assert!(!is_fetching(&meeting));
}

#[test]
fn what_there_is_no_room_for_and_what_is_small_is_not_begun() {
    let mut meeting = meeting();
    for (number, size) in [(1, u64::MAX), (2, 1 << 60), (3, 16 << 20), (4, 0)] {
        tell(&mut meeting, number, Stage::Growing(CHUNKS), size, "file");
        meeting.drive(Duration::from_millis(100));
        assert!(!is_fetching(&meeting), "{size}");
    }
    assert_eq!(parts(&meeting), 0);
}

#[test]
fn of_many_only_a_few_are_fetched() {
    let mut meeting = meeting();
    for number in 1..40 {
        let path = format!("file {number}");
        tell(
            &mut meeting,
            number,
            Stage::Growing(CHUNKS),
            2 * SIZE + number,
            &path,
        );
        meeting.drive(Duration::from_millis(300));
    }
    assert_eq!(parts(&meeting), 4);
}

#[test]
fn those_that_end_leave_nothing_in_the_index() {
    let mut meeting = meeting();
    let used = |meeting: &mut Meeting<Zeros>, numbers: std::ops::Range<u64>| {
        for number in numbers {
            let path = format!("file {number}");
            for stage in [Stage::Growing(100 * CHUNKS), Stage::Dropped] {
                tell(meeting, number, stage, 1_000_000_000, &path);
                meeting.drive(Duration::from_millis(300));
            }
        }
        meeting.disk.write_back();
        meeting.disk.used()
    };
    let first = used(&mut meeting, 0..5);
    let later = used(&mut meeting, 5..25);
    assert_eq!(parts(&meeting), 0);
    assert!(later <= first + first / 2, "{first} bytes, then {later}");
}

/// Bytes of an honest file.
const HONEST: u64 = 17_000_000;

/// One that has a file, and may tell of it.
struct Owner {
    bytes: Vec<u8>,
    recipe: Vec<u8>,
    page: Vec<u8>,
    tells: bool,
}

impl Owner {
    fn new(place: usize, tells: bool) -> Self {
        let (bytes, index) = (random(HONEST + place as u64), index_of(place));
        let bytes = bytes[..HONEST as usize].to_vec();
        let (content, recipe) = content_of(&bytes);
        let entry = Entry {
            kind: Kind::File,
            mode: 0o644,
            size: HONEST,
            mtime: Timestamp::default(),
            content,
            modified_by: index,
            version: VersionVector::from_sorted([(index, 1)]).unwrap(),
            sequence: 1,
        };
        let mut page = vec![0; 1000];
        let mut writer = PageWriter::new(&mut page, index, 0).unwrap();
        writer.push(&entry, b"file", b"").unwrap();
        let len = writer.finish(1, 1);
        page.truncate(len);
        Self {
            bytes,
            recipe,
            page,
            tells,
        }
    }

    fn find(&self, object: ObjectId, start: u64, length: usize) -> &[u8] {
        let from = usize::try_from(start).unwrap();
        match object {
            ObjectId::Content(_) => self.bytes.get(from..from + length).unwrap_or_default(),
            ObjectId::Recipe(_) => {
                let from = from * MAX_RECIPE_BLOCK;
                let end = (from + length).min(self.recipe.len());
                self.recipe.get(from..end).unwrap_or_default()
            }
            ObjectId::Journal(_) if start == 0 && self.tells => &self.page,
            _ => &[],
        }
    }
}

impl Shelf for Owner {
    fn objects(&mut self) -> &mut dyn Objects {
        self
    }

    fn newest(&self) -> Sequence {
        u64::from(self.tells)
    }
}

impl Objects for Owner {
    fn piece(&mut self, object: ObjectId, start: u64, length: usize) -> Read {
        match self.find(object, start, length).len() {
            0 => Read::Gone,
            len => Read::Ready(len),
        }
    }

    fn read(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        at: usize,
        buffer: &mut [u8],
    ) -> Read {
        let piece = self.find(object, start, length);
        buffer.copy_from_slice(&piece[at..at + buffer.len()]);
        Read::Ready(buffer.len())
    }
}

fn has_file(meeting: &Meeting<Owner>) -> bool {
    let tree = meeting.disk.tree(Place::Share);
    tree.contains_key(b"file".as_slice())
}

/// One tells of a draft again and again that never ends; the other one has a file, and comes later. How long that takes.
fn beside_a_draft_that_never_ends(size: u64, path: &str, capacity: u64) -> Duration {
    let mut meeting = Meeting::with([Owner::new(0, false), Owner::new(1, true)]);
    meeting.disk.set_capacity(capacity);
    meeting.set_on(1, false);
    meeting.drive(Duration::from_secs(2));
    for tick in 0..60 {
        tell(&mut meeting, 7, Stage::Growing(CHUNKS), size, path);
        meeting.drive(Duration::from_millis(500));
        meeting.disk.write_back();
        if tick == 2 {
            assert!(is_fetching(&meeting), "nobody is in the way");
            meeting.set_on(1, true);
        }
        if has_file(&meeting) {
            return Duration::from_millis(500) * tick;
        }
    }
    panic!("it never comes: {:?}", meeting.peer.status().errors);
}

#[test]
fn one_that_never_ends_does_not_keep_out_what_another_one_has_at_its_path() {
    let took = beside_a_draft_that_never_ends(HONEST, "file", u64::MAX);
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn one_that_never_ends_makes_room_for_what_is_pending() {
    let took = beside_a_draft_that_never_ends(925_000_000, "other", 1_000_000_000);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn one_whose_name_is_lost_does_not_keep_its_entry_waiting() {
    let mut meeting = Meeting::with([Owner::new(0, false)]);
    meeting.drive(Duration::from_secs(2));
    tell(&mut meeting, 7, Stage::Growing(CHUNKS), HONEST, "file");
    meeting.drive(Duration::from_millis(100));
    assert!(is_fetching(&meeting));
    // Later ones push it out before it is told again.
    for number in 20..24 {
        tell(&mut meeting, number, Stage::Dropped, HONEST, "other");
    }
    meeting.drive(Duration::from_millis(400));
    meeting.liars[0].shelf.tells = true;
    assert!(meeting.drive_until(Duration::from_secs(5), has_file));
}

/// One that has nothing of what it tells of.
struct Empty;

impl Shelf for Empty {
    fn objects(&mut self) -> &mut dyn Objects {
        self
    }

    fn newest(&self) -> Sequence {
        0
    }
}

impl Objects for Empty {
    fn piece(&mut self, _: ObjectId, _: u64, _: usize) -> Read {
        Read::Gone
    }

    fn read(&mut self, _: ObjectId, _: u64, _: usize, _: usize, _: &mut [u8]) -> Read {
        Read::Gone
    }
}

#[test]
fn those_of_which_nothing_comes_take_up_no_room() {
    let mut meeting = Meeting::with([Empty]);
    meeting.drive(Duration::from_secs(2));
    let before = meeting.disk.used();
    for number in 1..40 {
        let path = format!("file {number}");
        tell(
            &mut meeting,
            number,
            Stage::Growing(CHUNKS),
            1_000_000_000 + number,
            &path,
        );
        meeting.drive(Duration::from_millis(300));
    }
    meeting.drive(Duration::from_secs(5));
    meeting.disk.write_back();
    assert!(!is_fetching(&meeting));
    assert_eq!(parts(&meeting), 0);
    assert!(meeting.disk.used() - before < 1_000_000);
}

#[test]
fn one_that_gets_no_further_wakes_nobody() {
    for named in [false, true] {
        let mut meeting = meeting();
        let size = if named { SIZE } else { 3 * SIZE };
        tell(&mut meeting, 1, Stage::Growing(CHUNKS), size, "file");
        meeting.drive(Duration::from_secs(3));
        if named {
            let (chunks, content) = (CHUNKS, Zeros::new().content);
            tell(
                &mut meeting,
                1,
                Stage::Named { chunks, content },
                size,
                "file",
            );
            meeting.drive(Duration::from_secs(3));
        }
        assert!(is_fetching(&meeting));
        let soon = (0..2000).filter(|_| {
            meeting.drive(Duration::from_millis(1));
            meeting.peer.next_wake() <= meeting.now()
        });
        assert_eq!(soon.count(), 0, "named: {named}");
    }
}
