//! The demo: three real peers on this machine, played through the steps that the ancestor was
//! measured with, each with its time beside the ancestor's. Ends with 0 only if the three folders
//! are the same byte for byte.
//!
//! `demo [SIZE] [FOLDER]`: SIZE in MB (default 60), FOLDER is where the three peers are (default
//! `demo`); it is emptied first and left to be looked at.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the demo ends at the first thing that is not as it should be"
)]

#[path = "../e2e/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the end-to-end tests use the rest of it"
)]
mod harness;
mod table;

use harness::folder::{compare, write_random};
use harness::{Group, Scratch, Snapshot, seconds};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use table::{Ancestor, Table};

/// Bytes in a MB.
const MB: u64 = 1_000_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let size = arguments.next().unwrap_or_else(|| "60".to_owned());
    let Some(size) = size
        .parse()
        .ok()
        .filter(|size| (7..=100_000).contains(size))
    else {
        eprintln!("demo: SIZE is a number of MB from 7 to 100000, not {size:?}");
        return ExitCode::from(2);
    };
    let folder = arguments.next().unwrap_or_else(|| "demo".to_owned());

    println!("Three peers on this machine, in {folder}/, with a fresh key; {size} MB to share.\n");
    let mut group = Group::in_scratch(Scratch::kept(Path::new(&folder)), 3);
    // A panic (a step that took longer than its bound) also ends with a code that is not 0.
    let table = play(&mut group, size);
    let different = differences(&group);

    println!("\n{table}");
    print_memory(&group);
    if different.is_empty() {
        let files = Snapshot::metadata(&group[0].share())
            .expect("read the folder")
            .0
            .len();
        println!(
            "\nThe three folders are the same, byte for byte: {files} files and folders each."
        );
        ExitCode::SUCCESS
    } else {
        println!("\nThe folders DIFFER:\n{different}");
        ExitCode::FAILURE
    }
}

/// Plays all steps and returns their times.
fn play(group: &mut Group, size: u64) -> Table {
    let mut table = Table::new(size);
    let bound = seconds(60 + size);

    let source = group.scratch.path().join("a 10 MB file");
    write_random(&source, 10, 10 * MB);
    group[0].start_and_wait(seconds(10));
    let start = Instant::now();
    symlink(&source, group[0].path("linked.bin")).expect("make the symlink");
    group.wait_until("peer 1 has published it", bound, |group| {
        published(group, 0, 1)
    });
    table.step(
        "10 MB symlink on peer 1, until published",
        start.elapsed(),
        10 * MB,
        Ancestor::Link,
    );

    for (place, ancestor) in [(1, Ancestor::SecondPeer), (2, Ancestor::ThirdPeer)] {
        let start = Instant::now();
        group[place].start();
        group.wait_until("the new peer has the file", bound, |group| {
            has_size(group, place, "linked.bin", 10 * MB)
        });
        table.step(
            &format!("peer {} started, until it has it", place + 1),
            start.elapsed(),
            10 * MB,
            ancestor,
        );
    }
    group.wait_in_sync(seconds(20));

    add_folder(group, &mut table, size, bound);
    text_file(group, &mut table);
    group.wait_in_sync(seconds(30));
    table
}

/// A folder of one large file and 50 small ones comes on peer 2; peer 1 is killed while it fetches.
fn add_folder(group: &mut Group, table: &mut Table, size: u64, bound: Duration) {
    let folder = group.scratch.path().join("folder");
    write_random(&folder.join("large.bin"), 20, (size - 5) * MB);
    for number in 0..50 {
        write_random(
            &folder.join(format!("small {number:02}.bin")),
            100 + number,
            MB / 10,
        );
    }
    let before = group[0].status_now().received();
    let start = Instant::now();
    fs::rename(&folder, group[1].path("folder")).expect("move the folder into share");

    // Peer 2's own look at it, and the kill, fall where they fall: both are watched at once.
    let (mut indexed, mut killed, mut kept) = (None, None, 0);
    let elapsed = group_wait(group, bound, |group| {
        if indexed.is_none() && published(group, 1, 52) {
            indexed = Some(start.elapsed());
        }
        if killed.is_none() {
            let fetched = group[0]
                .status()
                .map_or(0, |status| status.received().saturating_sub(before));
            // A tenth: in the middle, and not so late that there is nothing left to resume.
            if fetched >= size * MB / 10 || complete(group, 2, size) {
                group[0].kill();
                killed = Some(start.elapsed());
                kept = fetched;
            }
        }
        indexed.is_some() && killed.is_some() && complete(group, 2, size)
    });
    let indexed = indexed.expect("waited for");
    table.step(
        &format!("{size} MB folder on peer 2, until all is indexed"),
        indexed,
        size * MB,
        Ancestor::Compression,
    );
    table.step(
        "the same move, until complete on peer 3",
        elapsed,
        size * MB,
        Ancestor::Complete,
    );
    let killed = killed.expect("waited for").as_secs_f64();
    println!(
        "        peer 1 was killed (-9) {killed:.2} s after the move, with {} of {size} MB",
        kept / MB
    );

    let start = Instant::now();
    group[0].start();
    group.wait_until("peer 1 is equal", bound, |group| complete(group, 0, size));
    table.step(
        "peer 1 restarted, until equal",
        start.elapsed(),
        size * MB,
        Ancestor::Restarted,
    );
}

/// A text file comes on peer 3 and is changed there.
fn text_file(group: &Group, table: &mut Table) {
    for (step, text, ancestor) in [
        (
            "text file added on peer 3, until everywhere",
            "a first line\n",
            Ancestor::TextAdded,
        ),
        (
            "the text file changed, until everywhere",
            "a first line\nand a second\n",
            Ancestor::TextChanged,
        ),
        (
            "and changed once more",
            "a first line\nand another\n",
            Ancestor::TextChanged,
        ),
    ] {
        let start = Instant::now();
        group[2].write("notes.txt", text.as_bytes());
        group.wait_until(step, seconds(20), |group| {
            group
                .peers
                .iter()
                .all(|peer| peer.has("notes.txt", text.as_bytes()))
        });
        table.step(step, start.elapsed(), 0, ancestor);
    }
}

/// Waits with a look that may change the group.
fn group_wait(
    group: &mut Group,
    bound: Duration,
    mut reached: impl FnMut(&mut Group) -> bool,
) -> Duration {
    let start = Instant::now();
    while !reached(group) {
        assert!(
            start.elapsed() < bound,
            "the folder did not arrive\n{}",
            group.report()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

fn published(group: &Group, place: usize, files: u64) -> bool {
    group[place]
        .status()
        .is_ok_and(|status| status.files >= files)
}

fn has_size(group: &Group, place: usize, name: &str, size: u64) -> bool {
    group[place]
        .path(name)
        .metadata()
        .is_ok_and(|metadata| metadata.len() == size)
}

/// Whether a peer has all of the folder; files appear only when they are whole.
fn complete(group: &Group, place: usize, size: u64) -> bool {
    has_size(group, place, "folder/large.bin", (size - 5) * MB)
        && fs::read_dir(group[place].path("folder")).is_ok_and(|list| list.count() == 51)
}

/// Compares peers 1 and 3 with peer 2, which took nothing but changes from them.
fn differences(group: &Group) -> String {
    let mut text = String::new();
    // Peer 1 shares what its symlink leads to: that is compared by its bytes.
    let original = group.scratch.path().join("a 10 MB file");
    for peer in &group.peers {
        if !harness::folder::same_bytes(&peer.path("linked.bin"), &original).unwrap_or(false) {
            text += &format!(
                "  {}: linked.bin is not the file that was linked\n",
                peer.name
            );
        }
    }
    for place in [0, 2] {
        let found = compare(&group[1].share(), &group[place].share()).expect("read the folders");
        let lines = found
            .lines()
            .filter(|line| !(place == 0 && line.contains("\"linked.bin\"")));
        text.extend(lines.map(|line| format!("  peer 2 / peer {}: {}\n", place + 1, line.trim())));
    }
    text
}

fn print_memory(group: &Group) {
    let megabytes = |kilobytes: u64| kilobytes as f64 * 1024.0 / 1e6;
    let peaks = group
        .peers
        .iter()
        .map(|peer| format!("{} {:.1} MB", peer.name, megabytes(peer.peak_memory())));
    println!(
        "Peak resident memory: {}",
        peaks.collect::<Vec<_>>().join(", ")
    );
}
