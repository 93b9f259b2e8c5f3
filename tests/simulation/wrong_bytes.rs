//! Peers that send bytes that do not verify.

use crate::liar::{Lie, Meeting, SIZE};
use peer_mio::disk::{At, Disk, Place};
use proto_core::time::Duration;

fn has_file(meeting: &Meeting) -> bool {
    let tree = meeting.disk.tree(Place::Share);
    tree.contains_key(b"file".as_slice())
}

fn errors(meeting: &Meeting) -> Vec<String> {
    meeting.peer.status().errors
}

/// The liar is there alone for long, then an honest one comes, and gives all but what is here.
fn alone_then_not(lie: Lie, most: u64) {
    let mut meeting = Meeting::new(&[lie, Lie::None]);
    meeting.set_on(1, false);
    meeting.drive(Duration::from_secs(60));
    assert!(!has_file(&meeting));
    assert_eq!(
        errors(&meeting),
        ["10.0.0.1:22001 sends wrong bytes of file"]
    );
    let before = meeting.served(0);
    meeting.drive(Duration::from_secs(300));
    let served = meeting.served(0) - before;
    assert!(served < most, "{served} bytes for nothing");
    let before = meeting.served(0);
    meeting.set_on(1, true);
    meeting.drive(Duration::from_secs(10));
    assert!(has_file(&meeting));
    assert_eq!(errors(&meeting), Vec::<String>::new());
    // The next try remembers who sent wrong bytes in the last one.
    assert_eq!(meeting.served(0), before);
}

#[test]
fn a_lonely_liar_about_a_chunk_is_asked_ever_more_rarely() {
    // A chunk of up to 256 KiB, five times.
    alone_then_not(Lie::Chunk, 5 * 256 * 1024);
}

#[test]
fn a_lonely_liar_about_a_recipe_is_asked_ever_more_rarely() {
    alone_then_not(Lie::Recipe, 5 * 1000);
}

#[test]
fn a_lonely_liar_about_an_encoding_is_asked_ever_more_rarely() {
    // All chunks, five times, and not once more.
    alone_then_not(Lie::Bomb, 5 * SIZE + 1);
    alone_then_not(Lie::Garbled, 5 * SIZE + 1);
}

#[test]
fn the_honest_one_is_asked_at_once_for_a_recipe_and_most_chunks() {
    for lie in [
        Lie::Recipe,
        Lie::Bytewise,
        Lie::Chunk,
        Lie::Bomb,
        Lie::Garbled,
    ] {
        let mut meeting = Meeting::new(&[lie, Lie::None]);
        // The liar tells of the file first, so it is preferred.
        meeting.set_on(1, false);
        meeting.drive(Duration::from_millis(20));
        meeting.set_on(1, true);
        meeting.drive(Duration::from_secs(10));
        assert!(has_file(&meeting), "{lie:?}");
        assert_eq!(errors(&meeting), Vec::<String>::new());
        let served = meeting.served(0);
        assert!(served < SIZE * 3 / 2, "{lie:?}: {served}");
    }
}

#[test]
fn a_recipe_with_more_chunks_than_the_file_can_have_is_not_stored() {
    let mut meeting = Meeting::new(&[Lie::Bytewise]);
    let index = |meeting: &Meeting| {
        let at = At {
            place: Place::State,
            path: b"index.redb",
        };
        meeting.disk.handle().stat(at).unwrap().size
    };
    let before = index(&meeting);
    meeting.drive(Duration::from_secs(60));
    assert!(!has_file(&meeting));
    // One piece of it a try, and nothing kept.
    assert!(meeting.served(0) < 10 * 64 * 1024, "{}", meeting.served(0));
    assert!(index(&meeting) <= before + 512 * 1024);
}
