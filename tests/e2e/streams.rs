//! Which stream carries what: the log, the bar and the end of a transfer are standard error's.

use crate::harness::folder::random_bytes;
use crate::harness::{Group, seconds, wait_until};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was written to a terminal so far.
type Screen = Arc<Mutex<Vec<u8>>>;

/// A terminal of 100 columns: the side that a program writes to, and what appears on the other.
fn terminal() -> (File, Screen) {
    let master =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("a terminal of ours");
    unlockpt(&master).expect("a terminal that can be opened");
    let size = Winsize {
        ws_row: 40,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size).expect("the size of the terminal");
    let name = ptsname(&master, Vec::new()).expect("the name of the terminal");
    let slave = File::options()
        .read(true)
        .write(true)
        .open(OsStr::from_bytes(name.to_bytes()))
        .expect("open the terminal");
    let screen = Screen::default();
    let kept = Arc::clone(&screen);
    std::thread::spawn(move || {
        let mut master = File::from(master);
        let mut buffer = [0; 4096];
        // EIO: nobody has the other side open any more.
        while let Ok(read @ 1..) = master.read(&mut buffer) {
            kept.lock()
                .expect("no panic before")
                .extend_from_slice(&buffer[..read]);
        }
    });
    (slave, screen)
}

#[test]
fn standard_error_carries_the_log_and_nothing_else_is_written() {
    let mut group = Group::on_loopback("streams", 2);
    let (slave, screen) = terminal();
    group[0].start();
    group[1].start_logging_to(slave.into());
    group.wait_until("both answer", seconds(10), |group| {
        group.peers.iter().all(|peer| peer.status().is_ok())
    });
    group.wait_in_sync(seconds(20));
    group[0].write("large.bin", &random_bytes(7, 50_000_000));
    // What is logged while the bar is there.
    for number in 0..60 {
        group[1].write(&format!("small {number}"), b"x");
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = || String::from_utf8_lossy(&screen.lock().expect("no panic before")).into_owned();
    // The one line at the end: size, seconds and rate.
    wait_until(
        "the end of the transfer is told",
        seconds(30),
        || text().contains("large.bin: 50000000 bytes in ") && text().contains(" MB/s"),
        text,
    );
    // The bar: how much of how much (and what erases it again).
    let shown = text();
    assert!(
        shown.contains("MiB/") && shown.contains("\u{1b}["),
        "{shown}"
    );
    // Every line of the log begins where a line does, not in the bar.
    for (at, _) in shown.match_indices("[peer_mio") {
        let before = shown[..at]
            .trim_end_matches(|character: char| character.is_ascii_uppercase() || character == ' ');
        assert!(
            before.is_empty() || before.ends_with('\n') || before.ends_with("\u{1b}[2"),
            "{:?}",
            &shown[..at]
        );
    }
    assert!(
        group[0].log().contains("listening on"),
        "{}",
        group[0].report()
    );
    for peer in &mut group.peers {
        assert_eq!(peer.terminate(seconds(5)).code(), Some(0));
        let output = peer.output();
        assert!(
            output.is_empty(),
            "{}: {}",
            peer.name,
            String::from_utf8_lossy(&output)
        );
    }
}
