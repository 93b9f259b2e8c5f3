//! Real originals and real tinypeers, each in a namespace of its own. `TINYPEER_LEGACY_MB` is the size of the
//! large file of the test plan (2; the ancestor's own plan: 650).

use crate::harness::folder::{same_bytes, write, write_random};
use crate::harness::netns::Network;
use crate::harness::original::{Original, starter};
use crate::harness::program::make_key;
use crate::harness::wait::wait_until;
use crate::harness::{Peer, Scratch, seconds, skip};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
        let scratch = Scratch::new("legacy");
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

/// How a step of the plan may end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Must {
    /// At all of the places what was waited for is there.
    Arrive,
    /// It may be missing at some: originals are known to lose such a change.
    Try,
}

impl Plan {
    /// Waits until all at `places` have what is at `from`, and says how long it took at each.
    fn wait_for(
        &self,
        what: &str,
        names: &[String],
        from: &Path,
        places: &[usize],
        bound: Duration,
    ) {
        self.await_arrival(Must::Arrive, what, names, from, places, bound);
    }

    fn await_arrival(
        &self,
        must: Must,
        what: &str,
        names: &[String],
        from: &Path,
        places: &[usize],
        bound: Duration,
    ) {
        let start = Instant::now();
        let mut times: [Option<Duration>; 3] = [None; 3];
        let arrived = || {
            for place in places {
                let there =
                    |name: &String| is_same(&from.join(name), &self.members[*place].path(name));
                // What has come is not compared again: it may be large.
                if times[*place].is_none() && names.iter().all(there) {
                    times[*place] = Some(start.elapsed());
                }
            }
            let all = places.iter().all(|place| times[*place].is_some());
            all || (must == Must::Try && start.elapsed() >= bound)
        };
        let report = || self.members.iter().map(Member::report).collect::<String>();
        // Who only tries ends by itself.
        let patience = if must == Must::Try { bound * 2 } else { bound };
        wait_until(what, patience, arrived, report);
        let cells = (0..3).map(|place| match (times[place], places.contains(&place)) {
            (Some(time), _) => format!(" {:.1} |", time.as_secs_f64()),
            (None, true) => " never |".to_owned(),
            (None, false) => " |".to_owned(),
        });
        println!("| {}: {what} |{}", self.case, cells.collect::<String>());
    }

    /// The ancestor's test plan; the seconds until something is at each member make a table.
    fn play(&mut self) {
        println!("| {}, seconds until it is on | 1 | 2 | 3 |", self.case);
        println!("|---|---|---|---|");
        let megabytes = std::env::var("TINYPEER_LEGACY_MB")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(SMALL_MB);
        let source = self.scratch.folder("source");
        let bound = seconds(60 + megabytes / 2);
        write_random(&source.join("10 MB.bin"), 1, 10_000_000);
        let link = ["10 MB.bin".to_owned()];
        self.members[0].start();
        std::os::unix::fs::symlink(source.join(&link[0]), self.members[0].path(&link[0]))
            .expect("make a link");
        self.members[1].start();
        self.wait_for(
            "a link of 10 MB on 1, then 2 started",
            &link,
            &source,
            &[1],
            bound,
        );
        self.members[2].start();
        self.wait_for("the link, 3 started", &link, &source, &[2], bound);

        let names = make_folder(&source, megabytes);
        let to = self.members[1].path("folder");
        copy_in(&source.join("folder"), &to, &self.scratch);
        self.members[0].kill();
        let what = format!("a folder of {megabytes} MB on 2, 1 killed");
        self.wait_for(&what, &names, &source, &[2], bound);
        self.members[0].start();
        self.wait_for("the folder, 1 started again", &names, &source, &[0], bound);

        let note = ["note.txt".to_owned()];
        write(&source.join(&note[0]), b"first\n");
        fs::copy(source.join(&note[0]), self.members[2].path(&note[0])).expect("copy");
        self.wait_for("a text file on 3", &note, &source, &[0, 1], bound);
        write(&source.join(&note[0]), b"second line\n");
        fs::copy(source.join(&note[0]), self.members[2].path(&note[0])).expect("copy");
        let originals = |member: &Member| matches!(member, Member::Original(_));
        let (must, bound) = if self.members.iter().all(originals) {
            (Must::Try, seconds(15))
        } else {
            (Must::Arrive, bound)
        };
        self.await_arrival(
            must,
            "the text file modified on 3",
            &note,
            &source,
            &[0, 1],
            bound,
        );
        for member in &self.members {
            assert!(must == Must::Try || !has_conflicts(&member.path("")));
        }
    }
}

/// Megabytes of the large file, if nothing else is asked for.
const SMALL_MB: u64 = 2;

/// One large file and fifty small ones; their names.
fn make_folder(source: &Path, megabytes: u64) -> Vec<String> {
    let mut names = vec!["folder/large.bin".to_owned()];
    write_random(&source.join(&names[0]), 2, megabytes * 1_000_000);
    for number in 0..50 {
        let name = format!("folder/s{number:02}.dat");
        write_random(&source.join(&name), 100 + number, 100_000);
        names.push(name);
    }
    names
}

fn is_same(one: &Path, other: &Path) -> bool {
    let len = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    len(one).is_some() && len(one) == len(other) && same_bytes(one, other).unwrap_or(false)
}

fn has_conflicts(share: &Path) -> bool {
    let entries = fs::read_dir(share).expect("list the share");
    let mut entries = entries.map(|entry| entry.expect("an entry"));
    entries.any(|entry| {
        let named = entry.file_name().to_string_lossy().contains(".conflict-");
        let folder = entry.file_type().expect("its type").is_dir();
        named || (folder && has_conflicts(&entry.path()))
    })
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

fn play(case: &'static str, tinypeers: &[usize]) {
    if let Some(mut plan) = plan(case, tinypeers) {
        plan.play();
    }
}

#[test]
fn legacy_plan_with_a_tinypeer_as_1() {
    play("tinypeer at 1", &[0]);
}

#[test]
fn legacy_plan_with_a_tinypeer_as_2() {
    play("tinypeer at 2", &[1]);
}

#[test]
fn legacy_plan_with_a_tinypeer_as_3() {
    play("tinypeer at 3", &[2]);
}

#[test]
fn legacy_plan_with_tinypeers_as_1_and_2() {
    play("tinypeers at 1, 2", &[0, 1]);
}

#[test]
#[ignore = "two of three places are enough to see that it works; `make legacy-plan` runs it"]
fn legacy_plan_with_tinypeers_as_1_and_3() {
    play("tinypeers at 1, 3", &[0, 2]);
}

#[test]
#[ignore = "two of three places are enough to see that it works; `make legacy-plan` runs it"]
fn legacy_plan_with_tinypeers_as_2_and_3() {
    play("tinypeers at 2, 3", &[1, 2]);
}

#[test]
#[ignore = "says nothing of tinypeer: what three originals need for the same; `make legacy-plan` runs it"]
fn legacy_plan_with_originals_alone() {
    play("three originals", &[]);
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

#[test]
fn legacy_beside_one_ipv6_address() {
    let Some(mut plan) = plan("legacy-ipv6", &[1]) else {
        return;
    };
    if !Path::new("/proc/net/if_inet6").exists() {
        return skip("legacy-ipv6", "the kernel has no IPv6");
    }
    if let Member::Tinypeer(peer) = &mut plan.members[1] {
        peer.listen = "[::1]:22001".parse().expect("an address");
    }
    let source = plan.scratch.folder("source");
    for member in &mut plan.members {
        member.start();
    }
    for (name, from, to) in [("theirs", 0, [1, 2]), ("ours", 1, [0, 2])] {
        write(&source.join(name), name.as_bytes());
        fs::copy(source.join(name), plan.members[from].path(name)).expect("copy");
        let names = [name.to_owned()];
        plan.wait_for(name, &names, &source, &to, seconds(60));
    }
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
