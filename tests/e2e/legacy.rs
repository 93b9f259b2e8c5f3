//! Real originals and real tinypeers, each in a namespace of its own. `TINYPEER_LEGACY_MB` is the size of the
//! large file of the test plan (10; the ancestor's own plan: 650).

use crate::harness::folder::{write, write_random};
use crate::harness::netns::Network;
use crate::harness::original::{Original, starter};
use crate::harness::program::make_key;
use crate::harness::wait::wait_until;
use crate::harness::{Peer, Scratch, seconds, skip};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who is at a place of the group.
enum Member {
    Original(Original),
    Tinypeer(Box<Peer>),
}

impl Member {
    fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Original(original) => original.path(name),
            Self::Tinypeer(peer) => peer.path(name),
        }
    }

    fn start(&mut self) {
        match self {
            Self::Original(original) => original.start(),
            Self::Tinypeer(peer) => peer.start_and_wait(seconds(10)),
        }
    }

    fn kill(&mut self) {
        match self {
            Self::Original(original) => original.kill(),
            Self::Tinypeer(peer) => peer.kill(),
        }
    }

    fn report(&self) -> String {
        match self {
            Self::Original(original) => original.report(),
            Self::Tinypeer(peer) => peer.report(),
        }
    }
}

struct Plan {
    case: &'static str,
    members: Vec<Member>,
    network: Network,
    scratch: Scratch,
}

/// Three members; those at `tinypeers` are tinypeers.
fn plan(case: &'static str, tinypeers: &[usize]) -> Option<Plan> {
    let made = || {
        let script = starter()?;
        let network = Network::new(3)?;
        let scratch = Scratch::new(case);
        let key = make_key(scratch.path(), "group.key");
        let addresses = network.addresses();
        let members = (0..3).map(|place| {
            let others: Vec<usize> = (0..3).filter(|other| *other != place).collect();
            let namespace = network.namespace(place);
            let name = format!("member{}", place + 1);
            if !tinypeers.contains(&place) {
                let partners = [addresses[others[0]].ip(), addresses[others[1]].ip()];
                let dir = scratch.folder(&name);
                return Member::Original(Original::new(&script, dir, namespace, partners));
            }
            let ip = |wanted: bool| {
                let kind = others
                    .iter()
                    .filter(|other| tinypeers.contains(other) == wanted);
                kind.map(|other| addresses[*other].ip().to_string())
                    .collect::<Vec<_>>()
            };
            let mut peer = Peer::new(scratch.path(), &name, addresses[place], &ip(true), &key);
            peer.options = vec!["--legacy".to_owned(), ip(false).join(",")];
            peer.namespace = Some(namespace);
            Member::Tinypeer(Box::new(peer))
        });
        let members = members.collect();
        Ok(Plan {
            case,
            members,
            network,
            scratch,
        })
    };
    let made: Result<Plan, String> = made();
    made.inspect_err(|why| skip(case, why)).ok()
}

impl Plan {
    /// Waits until all at `places` have what is at `from`, and says how long it took.
    fn wait_for(
        &self,
        what: &str,
        names: &[String],
        from: &Path,
        places: &[usize],
        bound: Duration,
    ) {
        let same = || {
            places.iter().all(|place| {
                names.iter().all(|name| {
                    let there = self.members[*place].path(name);
                    let (one, other) = (from.join(name), there);
                    let len = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
                    len(&one).is_some()
                        && len(&one) == len(&other)
                        && crate::harness::folder::same_bytes(&one, &other).unwrap_or(false)
                })
            })
        };
        let report = || self.members.iter().map(Member::report).collect::<String>();
        let took = wait_until(what, bound, same, report);
        println!("{}: {what}: {:.1} s", self.case, took.as_secs_f64());
    }

    /// The ancestor's test plan.
    fn play(&mut self) {
        let megabytes = std::env::var("TINYPEER_LEGACY_MB")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(10_u64);
        let source = self.scratch.folder("source");
        let bound = seconds(60 + megabytes / 2);
        write_random(&source.join("10 MB.bin"), 1, 10_000_000);
        self.members[0].start();
        let link = self.members[0].path("10 MB.bin");
        std::os::unix::fs::symlink(source.join("10 MB.bin"), link).expect("make a link");
        let link = ["10 MB.bin".to_owned()];
        self.members[1].start();
        self.wait_for("10 MB from 1 on 2", &link, &source, &[1], bound);
        self.members[2].start();
        self.wait_for("10 MB from 1 on 3", &link, &source, &[2], bound);

        let mut names = vec!["folder/large.bin".to_owned()];
        write_random(&source.join("folder/large.bin"), 2, megabytes * 1_000_000);
        for number in 0..50 {
            let name = format!("folder/s{number:02}.dat");
            write_random(&source.join(&name), 100 + number, 100_000);
            names.push(name);
        }
        copy_in(
            &source.join("folder"),
            &self.members[1].path("folder"),
            &self.scratch,
        );
        self.wait_for("the folder from 2 on 3", &names, &source, &[2], bound);
        self.members[0].kill();
        self.members[0].start();
        self.wait_for(
            "the folder on 1, started anew",
            &names,
            &source,
            &[0],
            bound,
        );

        write(&source.join("note.txt"), b"first\n");
        let note = ["note.txt".to_owned()];
        fs::copy(source.join("note.txt"), self.members[2].path("note.txt")).expect("copy");
        self.wait_for(
            "a text file from 3 everywhere",
            &note,
            &source,
            &[0, 1],
            bound,
        );
        write(&source.join("note.txt"), b"second line\n");
        fs::copy(source.join("note.txt"), self.members[2].path("note.txt")).expect("copy");
        let tinypeers: Vec<usize> = (0..3)
            .filter(|place| matches!(self.members[*place], Member::Tinypeer(_)))
            .collect();
        self.wait_for(
            "the text file modified on 3, on tinypeers",
            &note,
            &source,
            &tinypeers,
            bound,
        );
        self.wait_for("and everywhere", &note, &source, &[0, 1], bound);
    }
}

/// Copies a folder beside and renames it into place.
fn copy_in(from: &Path, to: &Path, scratch: &Scratch) {
    let beside = scratch.path().join("moving");
    fs::create_dir(&beside).expect("make a folder");
    for entry in fs::read_dir(from).expect("list") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), beside.join(entry.file_name())).expect("copy");
    }
    fs::rename(beside, to).expect("move in");
}

#[test]
#[ignore = "the folder was not seen to reach the third member in time; `make legacy-plan` runs it, docs/legacy.md, section 9"]
fn legacy_two_originals_and_a_tinypeer_that_plays_the_first() {
    if let Some(mut plan) = plan("legacy-tinypeer-1", &[0]) {
        plan.play();
    }
}

#[test]
#[ignore = "never run to its end yet; `make legacy-plan` runs it, docs/legacy.md, section 9"]
fn legacy_two_originals_and_a_tinypeer_that_plays_the_second() {
    if let Some(mut plan) = plan("legacy-tinypeer-2", &[1]) {
        plan.play();
    }
}

#[test]
#[ignore = "never run to its end yet; `make legacy-plan` runs it, docs/legacy.md, section 9"]
fn legacy_two_originals_and_a_tinypeer_that_plays_the_third() {
    if let Some(mut plan) = plan("legacy-tinypeer-3", &[2]) {
        plan.play();
    }
}

#[test]
#[ignore = "a file that the original changes soon becomes a conflict copy; `make legacy-plan` runs it, docs/legacy.md, section 9"]
fn legacy_one_original_and_two_tinypeers() {
    if let Some(mut plan) = plan("legacy-original-3", &[0, 1]) {
        plan.play();
    }
}

#[test]
fn legacy_five_percent_of_loss_towards_the_tinypeer() {
    let Some(mut plan) = plan("legacy-loss", &[1]) else {
        return;
    };
    if let Err(why) = plan.network.lose_at(1, 0.05) {
        return skip("legacy-loss", &why);
    }
    let source = plan.scratch.folder("source");
    for member in &mut plan.members {
        member.start();
    }
    write_random(&source.join("theirs.bin"), 3, 5_000_000);
    fs::copy(
        source.join("theirs.bin"),
        plan.scratch.path().join("moving"),
    )
    .expect("copy");
    fs::rename(
        plan.scratch.path().join("moving"),
        plan.members[0].path("theirs.bin"),
    )
    .expect("move");
    let theirs = ["theirs.bin".to_owned()];
    plan.wait_for(
        "5 MB from an original through loss",
        &theirs,
        &source,
        &[1],
        seconds(90),
    );
    write_random(&source.join("ours.bin"), 4, 5_000_000);
    fs::copy(source.join("ours.bin"), plan.members[1].path("ours.bin")).expect("copy");
    let ours = ["ours.bin".to_owned()];
    plan.wait_for(
        "5 MB to the originals through loss",
        &ours,
        &source,
        &[0, 2],
        seconds(180),
    );
}

/// The worst that an original does: it comes back with nothing.
#[test]
fn legacy_an_original_that_restarts_empty_deletes_nothing() {
    let Some(mut plan) = plan("legacy-empty", &[1]) else {
        return;
    };
    let source = plan.scratch.folder("source");
    for member in &mut plan.members {
        member.start();
    }
    write(&source.join("kept.txt"), b"kept\n");
    fs::copy(source.join("kept.txt"), plan.members[1].path("kept.txt")).expect("copy");
    let kept = ["kept.txt".to_owned()];
    plan.wait_for(
        "a file from the tinypeer",
        &kept,
        &source,
        &[0, 2],
        seconds(60),
    );
    plan.members[0].kill();
    fs::remove_file(plan.members[0].path("kept.txt")).expect("delete");
    plan.members[0].start();
    plan.wait_for("the file is back", &kept, &source, &[0], seconds(60));
    plan.wait_for("and never left", &kept, &source, &[1, 2], seconds(1));
}
