//! What the command line says, and what makes no sense.

use super::*;

fn read(line: &str) -> Result<Command, clap::Error> {
    parse(
        ["tinypeer"]
            .into_iter()
            .chain(line.split_whitespace())
            .map(OsString::from),
    )
}

fn run(line: &str) -> RunOptions {
    match read(line) {
        Ok(Command::Run(options)) => options,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_peer_needs_only_to_know_the_others() {
    let options = run("--ip A,B --ip C");
    assert_eq!(options.ip, ["A", "B", "C"]);
    assert_eq!(options.legacy, [""; 0]);
    assert_eq!(options.dir, PathBuf::from("."));
    assert_eq!(
        (options.key_file.as_ref(), options.listen.as_ref()),
        (None, None)
    );
    assert_eq!(options.symlinks, Symlinks::Follow);
    assert_eq!(
        (options.scan_interval, options.max_delete),
        (60, guard::HALF)
    );
    assert_eq!(options.durability, Flushing::Group);
    assert_eq!((options.limits().up, options.limits().down), (None, None));
    assert!(!options.no_compress && !options.quiet && options.verbose == 0);
}

#[test]
fn every_option_can_be_said() {
    let options = run(
        "--legacy A,B --dir /d --key-file k --listen 1.2.3.4:5 --symlinks keep \
        --scan-interval 7 --max-delete 100 --durability none --limit 20M --limit-up 30K --no-compress -vv",
    );
    assert_eq!(options.legacy, ["A", "B"]);
    assert_eq!(options.dir, PathBuf::from("/d"));
    assert_eq!(options.key_file, Some(PathBuf::from("k")));
    assert_eq!(options.listen.as_deref(), Some("1.2.3.4:5"));
    assert_eq!(options.symlinks, Symlinks::Keep);
    assert_eq!((options.scan_interval, options.max_delete), (7, 100));
    assert_eq!(options.durability, Flushing::Never);
    assert_eq!(options.limits().up, Some(30_000));
    assert_eq!(options.limits().down, Some(20_000_000));
    assert!(options.no_compress && options.verbose == 2);
    assert_eq!(run("--ip A --limit-down 1M").limits().down, Some(1_000_000));
    assert!(run("--ip A -q").quiet);
    assert_eq!(run("--ip A --symlinks skip").symlinks, Symlinks::Skip);
    assert_eq!(run("--ip A --durability full").durability, Flushing::Each);
}

#[test]
fn other_commands_are_read_too() {
    let keygen = |line| match read(line) {
        Ok(Command::Keygen { file }) => file,
        other => panic!("{other:?}"),
    };
    assert_eq!(keygen("keygen"), PathBuf::from(".tinypeer/key"));
    assert_eq!(keygen("keygen -"), PathBuf::from("-"));
    match read("status --dir d --json --wait 1.5") {
        Ok(Command::Status {
            dir,
            json: true,
            wait: Some(wait),
        }) => {
            assert_eq!(dir, PathBuf::from("d"));
            assert!((wait - 1.5).abs() < f64::EPSILON);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        read("status"),
        Ok(Command::Status {
            json: false,
            wait: None,
            ..
        })
    ));
    assert!(matches!(read("resume --dir d"), Ok(Command::Resume { dir }) if dir == *"d"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "",
        "--ip",
        "--ip A --max-delete 0",
        "--ip A --max-delete 101",
        "--ip A --scan-interval 0",
        "--ip A --scan-interval 31536001",
        "--ip A --scan-interval x",
        "--ip A --symlinks some",
        "--ip A --durability half",
        "--ip A -q -v",
        "--ip A --limit 1",
        "--ip A status",
        "status --ip A",
        "status --wait x",
        "keygen a b",
        "help",
        "--nonsense",
    ] {
        assert!(read(line).is_err(), "{line}");
    }
}

#[test]
fn a_rate_has_a_unit_or_none_and_is_not_too_small() {
    let rates = [
        ("20M", 20_000_000),
        ("500k", 500_000),
        ("1G", 1_000_000_000),
        ("10000", 10_000),
    ];
    for (text, bytes) in rates {
        assert_eq!(rate(text), Ok(bytes), "{text}");
    }
    for wrong in [
        "",
        "M",
        "20MB",
        "-5M",
        "1.5M",
        "9K",
        "20 M",
        "99999999999999999999",
        "18446744073709551615G",
        "5µ",
    ] {
        assert!(rate(wrong).is_err(), "{wrong}");
    }
}
