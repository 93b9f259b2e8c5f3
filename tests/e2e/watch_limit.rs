//! A kernel that watches fewer folders than there are: scans find what it does not tell.

use crate::harness::program::tool;
use crate::harness::{Group, seconds, skip};

#[test]
fn folders_that_are_not_watched_are_scanned_and_that_is_said_once() {
    let limited = "unshare --user --map-root-user sh -c true";
    if let Err(why) = tool(limited) {
        return skip("watch limit", &why);
    }
    let mut group = Group::on_loopback("watch limit", 2);
    // That of share/, that of what holds it, and two more.
    group[0].watches = Some(4);
    for folder in 0..8 {
        std::fs::create_dir_all(group[0].path(&format!("{folder}"))).unwrap();
        group[0].write(&format!("{folder}/file"), b"as it was");
    }
    group.start();
    group.wait_equal_to(0, seconds(20));
    let about_watches = |text: &str| text.matches("fs.inotify.max_user_watches").count();
    group.wait_until("it is in the status", seconds(20), |group| {
        let errors = group[0].status_now().errors;
        errors.iter().any(|error| about_watches(error) == 1)
    });

    // Sooner than the next scan would be: 60 s.
    for folder in 0..8 {
        group[0].write(&format!("{folder}/file"), b"as it is now");
    }
    group.wait_equal_to(0, seconds(30));
    group.wait_in_sync(seconds(20));
    assert_eq!(about_watches(&group[0].log()), 1, "{}", group.report());
    assert_eq!(about_watches(&group[1].log()), 0, "{}", group.report());
}
