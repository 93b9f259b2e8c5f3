//! The command line: what a mistake costs (one line, exit code 2, nothing touched), keys, status.

use crate::harness::folder::set_mode;
use crate::harness::group::{loopback_net, on_net};
use crate::harness::program::{make_key, run};
use crate::harness::{Group, Scratch, Snapshot, seconds};
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A peer's folder with a key, ready to be started from, and addresses nobody uses.
struct Bench {
    scratch: Scratch,
    key: PathBuf,
    listen: String,
    other: String,
}

impl Bench {
    fn new(test: &str) -> Self {
        let scratch = Scratch::new(test);
        let key = make_key(scratch.path(), "group.key");
        scratch.folder("peer");
        let net = loopback_net();
        Self {
            key,
            listen: on_net(net, 1).to_string(),
            other: on_net(net, 2).to_string(),
            scratch,
        }
    }

    /// Runs with these options, in place of the right ones of the same name.
    fn start(&self, instead: &[(&str, &str)]) -> Output {
        let dir = self.scratch.path().join("peer");
        let right = [
            ("--dir", text(&dir)),
            ("--key-file", text(&self.key)),
            ("--ip", &self.other),
            ("--listen", &self.listen),
        ];
        let mut arguments = Vec::new();
        for (option, value) in right {
            let value = instead
                .iter()
                .find(|(name, _)| *name == option)
                .map_or(value, |(_, value)| value);
            arguments.extend([option, value]);
        }
        for (name, value) in instead {
            if !right.iter().any(|(option, _)| option == name) {
                arguments.extend([*name, *value]);
            }
        }
        run(self.scratch.path(), &arguments)
    }
}

/// What it is, the options with it, and a word that the message must have.
type Mistake<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str);

fn text(path: &Path) -> &str {
    path.to_str().expect("scratch folders have plain names")
}

/// Exit code 2, one line on standard error that contains `word`, nothing on standard output.
fn assert_refused(case: &str, output: &Output, word: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{case}: {error}");
    assert!(output.stdout.is_empty(), "{case}: {:?}", output.stdout);
    assert_eq!(error.lines().count(), 1, "{case}: {error}");
    assert!(
        error.to_lowercase().contains(word),
        "{case}: no word of {word:?} in {error}"
    );
}

#[test]
fn a_start_that_cannot_be_says_why_and_touches_nothing() {
    let bench = Bench::new("refused");
    let at = |name: &str| bench.scratch.path().join(name);
    for (name, bytes) in [
        ("empty.key", &b""[..]),
        ("short.key", b"0123456789abcdef\n"),
        ("noise.key", b"\xff\xfe\x00 not a key\n"),
        ("long.key", &[b'0'; 100_000]),
    ] {
        fs::write(at(name), bytes).unwrap();
        // One line, and no second one about others who may read it.
        set_mode(&at(name), if name == "short.key" { 0o644 } else { 0o600 });
    }
    fs::create_dir(at("folder.key")).unwrap();
    fs::write(at("a file"), b"not a folder").unwrap();
    let many: Vec<String> = (1..=17).map(|host| format!("10.1.1.{host}")).collect();
    let taken = UdpSocket::bind(&bench.listen).expect("take the port");
    let free = on_net(loopback_net(), 1).to_string();
    let [missing, folder, file] =
        [at("missing"), at("folder.key"), at("a file")].map(|path| text(&path).to_owned());
    let keys =
        ["empty.key", "short.key", "noise.key", "long.key"].map(|name| text(&at(name)).to_owned());
    let many = many.join(",");

    let mut table: Vec<Mistake<'_>> = vec![
        ("no key", vec![("--key-file", &missing)], "keygen"),
        ("a folder as key", vec![("--key-file", &folder)], "key"),
        ("--dir is missing", vec![("--dir", &missing)], "missing"),
        (
            "--dir is a file",
            vec![("--dir", &file)],
            "is a file, not a folder",
        ),
        (
            "a limit without unit",
            vec![("--limit", "fast")],
            "bytes per second",
        ),
        (
            "a limit too small",
            vec![("--limit-up", "5K")],
            "bytes per second",
        ),
        ("half an address", vec![("--ip", "10.0.0")], "10.0.0"),
        ("no address", vec![("--ip", "")], "--ip"),
        (
            "an empty place in the list",
            vec![("--ip", "10.0.0.1,,10.0.0.2")],
            "--ip",
        ),
        (
            "a port that is none",
            vec![("--ip", "10.0.0.1:99999")],
            "99999",
        ),
        ("a name", vec![("--ip", "localhost")], "localhost"),
        ("port 0", vec![("--ip", "10.0.0.1:0")], "port 0"),
        ("every address", vec![("--ip", "0.0.0.0")], "every address"),
        (
            "IPv6 with an IPv4 socket",
            vec![("--ip", "2001:db8::1")],
            "--listen [::]",
        ),
        ("no interface", vec![("--ip", "fe80::1")], "link-local"),
        ("too many peers", vec![("--ip", &many)], "16"),
        (
            "a listen address that is none",
            vec![("--listen", "here")],
            "here",
        ),
        (
            "an address of another machine",
            vec![("--listen", "203.0.113.7:22001")],
            "203.0.113.7",
        ),
    ];
    table.extend(
        keys.iter()
            .map(|key| ("a bad key", vec![("--key-file", key.as_str())], "key")),
    );
    // All but the last one with a port that is free, so that each has just one mistake.
    for (_, instead, _) in &mut table {
        if !instead.iter().any(|(name, _)| *name == "--listen") {
            instead.push(("--listen", &free));
        }
    }
    table.push(("the port is taken", vec![], "22001"));

    let before = Snapshot::full(bench.scratch.path()).unwrap();
    for (case, instead, word) in table {
        let output = bench.start(&instead);
        assert_refused(case, &output, word);
        let after = Snapshot::full(bench.scratch.path()).unwrap();
        assert_eq!(before, after, "{case}: {}", before.difference(&after));
    }
    drop(taken);
}

#[test]
fn a_second_instance_in_a_folder_is_refused_and_the_first_goes_on() {
    let mut group = Group::on_loopback("second", 2);
    group.start();
    let elsewhere = on_net(loopback_net(), 1).to_string();
    let before = Snapshot::full(&group[0].share()).unwrap();
    let arguments = [
        "--dir",
        text(&group[0].dir),
        "--ip",
        &group[0].others[0],
        "--listen",
        &elsewhere,
        "--key-file",
        text(&group.key),
    ];
    assert_refused(
        "second instance",
        &run(group.scratch.path(), &arguments),
        "running",
    );
    assert_eq!(before, Snapshot::full(&group[0].share()).unwrap());
    group[0].write("still", b"working");
    group.wait_equal_to(0, seconds(10));
    group.wait_in_sync(seconds(10));
}

#[test]
fn keygen_writes_a_private_key_once() {
    let scratch = Scratch::new("keygen");
    let key = make_key(scratch.path(), "group.key");
    let first = fs::read_to_string(&key).unwrap();
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert_eq!(first.lines().count(), 1, "a file of one line");

    let again = run(scratch.path(), &["keygen", "group.key"]);
    assert_refused("a key is there", &again, "group.key");
    assert_eq!(
        fs::read_to_string(&key).unwrap(),
        first,
        "the key is still the same"
    );

    std::os::unix::fs::symlink("elsewhere", scratch.path().join("link")).unwrap();
    assert_refused(
        "a link is there",
        &run(scratch.path(), &["keygen", "link"]),
        "link",
    );
    assert!(
        !scratch.path().join("elsewhere").exists(),
        "nothing was written through the link"
    );

    let printed = run(scratch.path(), &["keygen", "-"]);
    assert!(printed.status.success() && printed.stderr.is_empty());
    let printed = String::from_utf8(printed.stdout).expect("a key is text");
    assert_eq!(printed.lines().count(), 1);
    assert_eq!(printed.len(), first.len(), "the same form");
    assert_ne!(printed, first, "each key is a new one");
    assert!(!scratch.path().join("-").exists(), "no file of that name");

    // Without a name: where a start in this folder looks for it.
    let output = run(scratch.path(), &["keygen"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let default = scratch.path().join(".tinypeer/key");
    assert_eq!(
        fs::metadata(default).unwrap().permissions().mode() & 0o7777,
        0o600
    );
}

#[test]
fn status_says_whether_all_is_in_sync() {
    let mut group = Group::on_loopback("status", 2);
    let none = group[0].ask(&["--json"]);
    assert!(
        !none.status.success() && none.stdout.is_empty(),
        "no peer runs there yet"
    );
    assert_eq!(String::from_utf8_lossy(&none.stderr).lines().count(), 1);

    group[0].start_and_wait(seconds(10));
    assert_eq!(
        group[0].ask(&["--wait", "1"]).status.code(),
        Some(1),
        "the other one is away"
    );
    let alone = group[0].status_now();
    assert_eq!(alone.peers.len(), 1);
    assert!(!alone.peers[0].connected);
    assert_eq!(alone.peers[0].address, group[1].listen.to_string());

    group[1].start_and_wait(seconds(10));
    assert_eq!(
        group[0].ask(&["--wait", "20"]).status.code(),
        Some(0),
        "{}",
        group.report()
    );
    group[0].write("folder/a", &[1; 1000]);
    group[0].write("folder/b", &[2; 24]);
    group.wait_equal_to(0, seconds(10));
    group.wait_in_sync(seconds(10));
    for peer in &group.peers {
        let status = peer.status_now();
        assert_eq!((status.files, status.bytes), (2, 1024), "{status:?}");
        assert_eq!((status.pending, status.conflicts), (0, 0), "{status:?}");
        assert!(status.errors.is_empty(), "{status:?}");
        assert!(
            status.peers[0].connected && status.peers[0].rtt_us.is_some(),
            "{status:?}"
        );
    }
    let words = group[0].ask(&[]);
    assert!(words.status.success());
    assert!(String::from_utf8_lossy(&words.stdout).contains(&group[1].listen.to_string()));
}

#[test]
fn sigterm_ends_it_cleanly_and_the_index_is_kept() {
    let mut group = Group::on_loopback("sigterm", 2);
    group.start();
    group[0].write("file", b"before");
    group.wait_equal_to(0, seconds(10));
    group.wait_in_sync(seconds(10));
    let sequence = group[0].status_now().sequence;
    assert_eq!(
        group[0].terminate(seconds(5)).code(),
        Some(0),
        "{}",
        group[0].report()
    );
    assert!(
        !group[0].ask(&["--json"]).status.success(),
        "nobody answers any more"
    );

    group[0].start_and_wait(seconds(10));
    group.wait_in_sync(seconds(10));
    assert_eq!(
        group[0].status_now().sequence,
        sequence,
        "what did not change is not counted again"
    );
}
