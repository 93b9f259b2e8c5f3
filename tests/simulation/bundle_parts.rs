//! Bundles that come, and are not all of use: a server that is not the same for all parts, members that cannot be written.

use crate::liar::{Meeting, index_of};
use crate::shelf::{Files, Manner};
use peer_mio::disk::{At, Disk, Place};
use proto_core::time::Duration;

/// Bundles of 1.3 MB.
const FILES: usize = 128;
const SIZE: u64 = 10_000;

/// Gets all files from one machine, then as many that it makes later: how many bundles it began in both times.
fn twice(manner: Manner) -> [usize; 2] {
    let files = |manner| Files::new(index_of(0), manner, "a", FILES as u64, SIZE);
    let mut meeting = Meeting::with([files(manner)]);
    let landed = |meeting: &Meeting<Files>| {
        let tree = meeting.disk.tree(Place::Share);
        tree.len().saturating_sub(1)
    };
    let all = meeting.drive_until(Duration::from_secs(10), |it| landed(it) == FILES);
    assert!(all, "{manner:?}: {} files", landed(&meeting));
    let first = meeting.liars[0].shelf.begun;
    meeting.liars[0].shelf.add(FILES as u64);
    let all = meeting.drive_until(Duration::from_secs(10), |it| landed(it) == 2 * FILES);
    assert!(all, "{manner:?}: {} files", landed(&meeting));
    [first, meeting.liars[0].shelf.begun - first]
}

#[test]
fn a_bundle_whose_server_forgets_or_rebuilds_it_is_begun_anew_and_the_server_not_shunned() {
    assert!(twice(Manner::Honest).into_iter().all(|begun| begun > 0));
    for often in [1, 2, 20] {
        for manner in [Manner::Forgets(often), Manner::Rebuilds(often)] {
            let [first, then] = twice(manner);
            assert!(then > 0, "{manner:?}: shunned");
            assert!((2..10).contains(&first), "{manner:?}: {first}");
        }
    }
}

#[test]
fn a_member_that_cannot_be_written_comes_by_itself_and_the_bundle_not_again() {
    let files = Files::new(index_of(0), Manner::Honest, "a", FILES as u64, SIZE);
    let names: Vec<String> = files.member_names().take(20).collect();
    let mut meeting = Meeting::with([files]);
    let disk = meeting.disk.handle();
    for name in &names {
        // A folder is where the file would be written.
        let at = At {
            place: Place::Download,
            path: name.as_bytes(),
        };
        disk.make_dir(at, 0o700).unwrap();
    }
    let landed = |meeting: &Meeting<Files>| meeting.disk.tree(Place::Share).len();
    let all = meeting.drive_until(Duration::from_secs(30), |it| landed(it) == FILES + 1);
    assert!(all, "{} files", landed(&meeting));
    // A few by which it was told in parts.
    let begun = meeting.liars[0].shelf.begun;
    assert!(begun <= 4, "{begun} bundles");
}
