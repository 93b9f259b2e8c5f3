//! A peer that sends the beginning of everything and nothing more holds up only what it has itself.

use crate::liar::{Meeting, index_of};
use crate::shelf::{Files, Manner, landed};
use proto_core::time::Duration;

/// One machine of whose files only beginnings come, and one with files that are planned after them.
fn beside_beginnings(count: u64, size: u64) -> Meeting<Files> {
    let meeting = beside(Files::new(
        index_of(0),
        Manner::Beginnings,
        "a",
        count,
        size,
    ));
    assert_eq!(landed(&meeting, "a"), 0);
    meeting
}

/// A machine with its files, and an honest one, all of whose files land.
pub fn beside(silent: Files) -> Meeting<Files> {
    let honest = Files::new(index_of(1), Manner::Honest, "b", 1000, 3000);
    let mut meeting = Meeting::with([silent, honest]);
    // Its files are planned before any of the honest one's is known.
    meeting.set_on(1, false);
    meeting.drive(Duration::from_millis(300));
    meeting.set_on(1, true);
    let all = meeting.drive_until(Duration::from_secs(12), |it| landed(it, "b") == 1000);
    assert!(all, "{} files", landed(&meeting, "b"));
    meeting
}

#[test]
fn who_sends_only_beginnings_of_bundles_holds_up_nobody_elses_files() {
    let mut meeting = beside_beginnings(3000, 3000);
    meeting.drive(Duration::from_secs(60));
    meeting.liars[0].shelf.manner = Manner::Honest;
    let all = meeting.drive_until(Duration::from_secs(180), |it| landed(it, "a") == 3000);
    assert!(all, "{} files", landed(&meeting, "a"));
}

#[test]
fn who_sends_only_beginnings_of_contents_holds_up_nobody_elses_files() {
    let mut meeting = beside_beginnings(100, 200_000);
    meeting.drive(Duration::from_secs(60));
    let errors = meeting.peer.status().errors;
    let told = errors.iter().any(|it| it.contains("sends nothing of it"));
    assert!(told, "{errors:?}");
    meeting.liars[0].shelf.manner = Manner::Honest;
    let all = meeting.drive_until(Duration::from_secs(180), |it| landed(it, "a") == 100);
    assert!(all, "{} files", landed(&meeting, "a"));
    assert_eq!(meeting.peer.status().errors, Vec::<String>::new());
}

/// Two machines of whose contents only beginnings come, and a third whose files are planned last.
#[test]
fn two_that_send_only_beginnings_do_not_keep_all_places() {
    let mut meeting = Meeting::with([
        Files::new(index_of(0), Manner::Beginnings, "a", 300, 200_000),
        Files::new(index_of(1), Manner::Beginnings, "b", 300, 200_000),
        Files::new(index_of(2), Manner::Honest, "c", 300, 200_000),
    ]);
    let all = meeting.drive_until(Duration::from_secs(60), |it| landed(it, "c") == 300);
    assert!(all, "{} files", landed(&meeting, "c"));
}
