//! The fuzzers' corpus, replayed by an ordinary test.
#![cfg(test)]

mod seeds;

use sim::{archive_bodies, fuzz_bodies, hostile_session};
use std::path::{Path, PathBuf};

type Body = fn(&[u8]);

/// Every target with its body.
const TARGETS: [(&str, Body); 10] = [
    ("archive", archive_bodies::archive),
    ("bundle", archive_bodies::bundle),
    ("decode_message", fuzz_bodies::decode_message),
    ("decode_handshake", fuzz_bodies::decode_handshake),
    ("decode_page", fuzz_bodies::decode_page),
    ("decode_piece", fuzz_bodies::decode_piece),
    ("decode_dict", fuzz_bodies::decode_dict),
    ("decode_legacy", fuzz_bodies::decode_legacy),
    ("check_path", fuzz_bodies::check_path),
    ("hostile_session", hostile_session::hostile_session),
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    names
}

fn replay(target: &str) {
    let (_, body) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    let inputs = names(&fuzz().join("corpus").join(target));
    assert!(inputs.len() >= 24, "{target}: {} inputs", inputs.len());
    for input in inputs {
        // A panic names the input.
        eprintln!("{}", input.display());
        body(&std::fs::read(&input).expect("an input"));
    }
}

#[test]
fn decode_message() {
    replay("decode_message");
}

#[test]
fn decode_handshake() {
    replay("decode_handshake");
}

#[test]
fn decode_page() {
    replay("decode_page");
}

#[test]
fn decode_dict() {
    replay("decode_dict");
}

#[test]
fn decode_piece() {
    replay("decode_piece");
}

#[test]
fn decode_legacy() {
    replay("decode_legacy");
}

#[test]
fn check_path() {
    replay("check_path");
}

#[test]
fn hostile_session() {
    replay("hostile_session");
}

#[test]
fn archive() {
    replay("archive");
}

#[test]
fn bundle() {
    replay("bundle");
}

#[test]
fn every_fuzz_target_is_replayed() {
    let targets: Vec<_> = names(&fuzz().join("fuzz_targets"))
        .iter()
        .map(|path| path.file_stem().expect("a name").to_owned())
        .collect();
    let mut replayed = TARGETS.map(|(name, _)| name);
    replayed.sort_unstable();
    assert_eq!(targets, replayed);
}

/// The corpus begins with the seeds as the encoders of today write them. `BLESS=1` writes them anew,
/// for when a format has changed.
#[test]
fn the_seeds_are_in_the_corpus() {
    let bless = std::env::var_os("BLESS").is_some();
    // Zip files were made by another program than tinypeer.
    for (target, _) in TARGETS
        .into_iter()
        .filter(|(target, _)| !matches!(*target, "archive" | "bundle"))
    {
        let folder = fuzz().join("corpus").join(target);
        for (name, bytes) in seeds::seeds(target) {
            let path = folder.join(name);
            if bless {
                std::fs::write(&path, &bytes).expect("a seed");
            }
            let kept = std::fs::read(&path).unwrap_or_default();
            assert_eq!(kept, bytes, "{}", path.display());
        }
    }
}
