//! Programs that write slowly: what arrives is always something that was there.

use crate::harness::{Group, seconds};
use std::fs::{self, File};
use std::io::Write;
use std::thread;
use std::time::Duration;

#[test]
fn a_file_that_is_held_open_and_grows_is_never_mixed() {
    let mut group = Group::on_loopback("slow-writer", 3);
    group.start();
    let line = |number: usize| format!("line {number:06} of a log that grows slowly\n");
    let whole: String = (0..60).map(line).collect();
    let path = group[0].path("growing.log");
    let writer = thread::spawn(move || {
        let mut file = File::create(path).expect("create the log");
        for number in 0..60 {
            file.write_all(line(number).as_bytes()).expect("append");
            // The pauses are the case: now and then longer than any time of quiet.
            thread::sleep(Duration::from_millis(if number % 20 == 19 {
                2500
            } else {
                50
            }));
        }
    });
    group.wait_until("the whole log is everywhere", seconds(40), |group| {
        for peer in &group.peers {
            let found = peer.read("growing.log").unwrap_or_default();
            assert!(
                whole.as_bytes().starts_with(&found),
                "{} has what never was: {found:?}",
                peer.name
            );
        }
        group
            .peers
            .iter()
            .all(|peer| peer.has("growing.log", whole.as_bytes()))
    });
    writer.join().expect("the writer");
    group.wait_in_sync(seconds(10));
    let end = group.wait_equal_to(0, seconds(10));
    assert_eq!(
        end.paths().len(),
        1,
        "no conflict with itself: {:?}",
        end.paths()
    );
}

#[test]
fn a_file_that_is_replaced_all_the_time_arrives_as_one_of_its_versions() {
    let mut group = Group::on_loopback("replaced", 2);
    group.start();
    let version = |number: u8| vec![number; 300_000];
    let (temporary, path) = (
        group.scratch.path().join("new version"),
        group[0].path("state"),
    );
    let writer = thread::spawn(move || {
        for number in 1..=40 {
            fs::write(&temporary, version(number)).expect("write a version");
            fs::rename(&temporary, &path).expect("rename it into place");
            thread::sleep(Duration::from_millis(30));
        }
    });
    group.wait_until("the last version arrives", seconds(20), |group| {
        let found = group[1].read("state").unwrap_or_default();
        assert!(
            found.windows(2).all(|pair| pair[0] == pair[1]),
            "two versions are mixed"
        );
        assert!(
            found.is_empty() || found.len() == 300_000,
            "a part of a version: {}",
            found.len()
        );
        found.first() == Some(&40)
    });
    writer.join().expect("the writer");
    group.wait_in_sync(seconds(10));
    let end = group.wait_equal_to(0, seconds(10));
    assert_eq!(
        end.paths().len(),
        1,
        "no conflict with itself: {:?}",
        end.paths()
    );
}
