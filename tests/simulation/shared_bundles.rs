//! Several machines that want the same small files of one share the bundles (docs/architecture.md, "Bundles").

use crate::bundles::{files, names, tell};
use crate::fetching::{cluster, random, write};
use crate::liar::{Meeting, index_of};
use crate::shelf::{Files, Manner, landed};
use crate::stalling::beside;
use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;

const FILES: u64 = 1500;
const BYTES: u64 = 3000;
const BOUND: Duration = Duration::from_secs(60);

/// Machine 0 has many new files, and the others want them.
fn receivers(count: u8) -> Cluster {
    let mut cluster = cluster(count + 1, Duration::from_millis(5));
    cluster.network.uplink = 10_000_000;
    for number in 0..FILES {
        let path = format!("file {number:04}");
        write(&cluster, 0, path.as_bytes(), &random(BYTES + number));
    }
    cluster
}

/// Bytes of all files.
fn bytes() -> u64 {
    (0..FILES).map(|number| BYTES + number).sum()
}

/// Drives until it is so, and looks now and then: a look goes over all files.
fn until(cluster: &mut Cluster, is_so: impl Fn(&Cluster) -> bool) {
    let end = cluster.now() + BOUND;
    while !is_so(cluster) {
        assert!(cluster.now() < end, "not within {BOUND:?}");
        cluster.drive(Duration::from_millis(20));
    }
}

/// How many files a machine has.
fn count(cluster: &Cluster, place: usize) -> u64 {
    names(cluster, place, Place::Share).len() as u64
}

fn sync(cluster: &mut Cluster, machines: impl IntoIterator<Item = usize> + Clone) {
    until(cluster, |cluster| {
        let mut machines = machines.clone().into_iter();
        machines.all(|place| count(cluster, place) == FILES)
    });
    for place in machines {
        assert!(
            files(cluster, place) == files(cluster, 0),
            "other bytes at {place}"
        );
    }
}

#[test]
fn each_receiver_hardly_costs_the_source_more_than_the_first() {
    for (count, most) in [(1, 120), (2, 150), (4, 250)] {
        let mut cluster = receivers(count);
        let source = cluster.machines[0].address;
        sync(&mut cluster, 1..=usize::from(count));
        let sent = cluster.network.sent_by(source) * 100 / bytes();
        println!("{count} receivers of small files: the source sends {sent} % of them");
        assert!(sent < most, "{count} receivers: {sent} %");
        // Nobody keeps a bundle that nobody lacks.
        assert!(cluster.drive_until(BOUND, Cluster::in_sync));
        cluster.drive(Duration::from_secs(2));
        for place in 0..=usize::from(count) {
            let left = [Place::Zip, Place::Download].map(|folder| names(&cluster, place, folder));
            assert_eq!(left, [Vec::<Vec<u8>>::new(), Vec::new()]);
        }
    }
}

/// Drives until machine 1 keeps bundles for others.
fn until_kept(cluster: &mut Cluster) {
    until(cluster, |cluster| {
        names(cluster, 1, Place::Zip).len() > 1 && count(cluster, 1) > FILES / 4
    });
    assert!(count(cluster, 2) < FILES * 3 / 4, "over too soon");
}

#[test]
fn what_was_left_to_a_receiver_that_vanishes_comes_from_the_source() {
    let mut cluster = receivers(2);
    until_kept(&mut cluster);
    cluster.crash(1, false);
    sync(&mut cluster, [2]);
}

#[test]
fn what_the_source_has_not_given_when_it_vanishes_is_shared_as_far_as_it_came() {
    let mut cluster = receivers(2);
    until_kept(&mut cluster);
    cluster.crash(0, false);
    let first = [1, 2].map(|place| count(&cluster, place));
    cluster.drive(Duration::from_secs(20));
    // Each has what the other one had.
    assert!(count(&cluster, 1) > first[0].max(first[1]) * 5 / 4);
    assert!(files(&cluster, 1) == files(&cluster, 2));
    assert!(cluster.start(0));
    sync(&mut cluster, [1, 2]);
}

#[test]
fn a_receiver_whose_bundles_lie_costs_the_others_nothing_but_time() {
    let mut cluster = receivers(2);
    let mut told = Vec::new();
    while count(&cluster, 2) < FILES {
        let zips = names(&cluster, 1, Place::Zip);
        if zips.iter().any(|zip| !told.contains(zip)) {
            // The checksum of each member.
            tell(&cluster, 1, |head| head[16] ^= 1);
            told = zips;
        }
        cluster.drive(Duration::from_millis(5));
    }
    assert!(!told.is_empty());
    sync(&mut cluster, [1, 2]);
}

#[test]
fn a_receiver_with_a_slow_link_does_not_hold_up_what_the_source_has() {
    let mut cluster = receivers(2);
    cluster.network.uplink_of = Some((cluster.machines[1].address, 100_000));
    let begin = cluster.now();
    sync(&mut cluster, [2]);
    let took = cluster.now() - begin;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn receivers_that_wait_for_room_do_not_keep_bundles_for_each_other() {
    let mut cluster = receivers(2);
    for place in [1, 2] {
        let disk = &cluster.machines[place].disk;
        disk.set_capacity(disk.used() + bytes() * 7 / 4);
    }
    sync(&mut cluster, [1, 2]);
}

#[test]
fn files_that_change_meanwhile_do_not_end_the_sharing() {
    let mut cluster = receivers(2);
    let source = cluster.machines[0].address;
    until(&mut cluster, |cluster| count(cluster, 1) > 100);
    for number in (0..FILES).step_by(100) {
        let path = format!("file {number:04}");
        write(&cluster, 0, path.as_bytes(), &random(BYTES + 1 + number));
    }
    assert!(cluster.drive_until(BOUND, Cluster::in_sync));
    sync(&mut cluster, [1, 2]);
    let sent = cluster.network.sent_by(source) * 100 / bytes();
    assert!(sent < 170, "{sent} %");
}

#[test]
fn bundles_of_others_go_though_one_machine_is_away() {
    let mut cluster = receivers(3);
    cluster.crash(3, false);
    sync(&mut cluster, [1, 2]);
    cluster.drive(Duration::from_secs(20));
    for place in [1, 2] {
        assert_eq!(names(&cluster, place, Place::Zip), Vec::<Vec<u8>>::new());
    }
}

/// How long it takes until all files of an honest source are here, beside others that say to have them too.
fn beside_holders(manner: Manner, holders: usize) -> Duration {
    let mut shelves = vec![Files::new(index_of(0), Manner::Honest, "b", 3000, 3000)];
    for place in 1..=holders {
        let (index, author) = (index_of(place), index_of(0));
        let mut holder = Files::passed_on(index, author, manner, "b", 3000, 3000);
        (holder.wants, holder.mute) = (1, true);
        shelves.push(holder);
    }
    let mut meeting = Meeting::with(shelves);
    meeting.drive(Duration::from_millis(60));
    for liar in meeting.liars.iter_mut().skip(1) {
        liar.shelf.mute = false;
    }
    let mut took = Duration::from_millis(60);
    while landed(&meeting, "b") < 3000 {
        assert!(took < BOUND, "{} files", landed(&meeting, "b"));
        meeting.drive(Duration::from_millis(100));
        took += Duration::from_millis(100);
    }
    took
}

#[test]
fn who_says_to_have_bundles_and_does_not_give_them_costs_seconds() {
    for (manner, holders, most) in [
        (Manner::Honest, 1, 2),
        (Manner::Beginnings, 1, 6),
        (Manner::Beginnings, 4, 16),
        (Manner::Trickle(200), 1, 6),
        (Manner::Trickle(3000), 1, 6),
    ] {
        let took = beside_holders(manner, holders);
        assert!(
            took < Duration::from_secs(most),
            "{took:?} beside {holders} of {manner:?}"
        );
    }
}

#[test]
fn what_is_left_to_one_whose_own_files_never_end_comes_from_its_source() {
    let mut silent = Files::new(index_of(0), Manner::Beginnings, "a", 20_000, 3000);
    silent.wants = 1;
    beside(silent);
}
