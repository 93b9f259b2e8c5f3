//! What an ancestor, its user, a crash or a late datagram does at the wrong moment: nothing of ours is lost, nothing of theirs is taken
//! for what it is not, and publishing goes on.

use super::{Bridged, SOON, conflicts, group, has, ip, limited_group, wait};
use crate::fetching::random;
use peer_mio::disk::Place;
use proto_core::engine::Limits;
use proto_core::legacy::INFORMATION_PORT;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::original::Original;

/// A download of 3 MB by an ancestor takes 15 s.
fn slow_group(seed: u64) -> Cluster {
    let limits = Limits {
        up: Some(200_000),
        down: None,
    };
    let mut cluster = limited_group(1, seed, limits);
    // Not at a whole second: a time like that tells nothing.
    cluster.drive(Duration::from_millis(5_210));
    cluster
}

fn write(cluster: &Cluster, path: &str, bytes: &[u8]) {
    let disk = &cluster.machines[0].disk;
    disk.user_write(path.as_bytes(), bytes).unwrap();
}

fn original_writes(cluster: &mut Cluster, path: &str, bytes: &[u8]) {
    let now = cluster.now();
    cluster.originals[0].write(now, path, bytes);
}

/// The first ancestor is killed and started again with the files that it has.
fn begin_anew(cluster: &mut Cluster) {
    let now = cluster.now();
    let original = &mut cluster.originals[0];
    let share = std::mem::take(&mut original.share);
    *original = Original::new(now, original.ip, [ip(1), ip(3)]);
    original.share = share;
}

/// The contents of all files of the first machine, wherever they are.
fn contents(cluster: &Cluster, place: Place) -> Vec<Vec<u8>> {
    let tree = cluster.machines[0].disk.tree(place);
    tree.into_values()
        .filter_map(|node| match node {
            Node::File(_, _, bytes) => Some(bytes),
            _ => None,
        })
        .collect()
}

fn batches(cluster: &Cluster) -> usize {
    let names = cluster.machines[0].disk.tree(Place::Zip).into_keys();
    names.filter(|name| name.starts_with(b"legacy")).count()
}

/// The ancestor has come so far with our file, from one to the next, when it is killed: ours stays.
fn dies_unpacking(mut cluster: Cluster, ours: &[u8], parts: &[usize]) {
    for part in parts {
        original_writes(&mut cluster, "file", &ours[..*part]);
        cluster.drive(Duration::from_millis(700));
    }
    begin_anew(&mut cluster);
    cluster.drive(Duration::from_secs(60));
    assert!(has(&cluster, 0, "file", ours));
}

#[test]
fn an_ancestor_killed_while_it_unpacks_replaces_nothing_with_its_half() {
    let mut cluster = slow_group(1);
    let ours = random(3_000_000);
    write(&cluster, "file", &ours);
    assert!(cluster.drive_until(SOON, |cluster| cluster.originals[0].add_times > 0));
    dies_unpacking(cluster, &ours, &[300_000, 900_000, 1_500_000]);
}

#[test]
fn an_ancestor_killed_while_it_unpacks_what_it_had_replaces_nothing_with_its_half() {
    let mut cluster = slow_group(9);
    let ours = random(3_000_000);
    write(&cluster, "file", &ours);
    wait(&mut cluster, &[("file", ours.clone())]);
    cluster.drive(Duration::from_secs(10));
    // The other one is published to again, and all unpack it.
    cluster.originals[1].share.remove("file");
    let before = cluster.originals[0].add_times;
    assert!(cluster.drive_until(SOON, |cluster| cluster.originals[0].add_times > before));
    dies_unpacking(cluster, &ours, &[1_500_000]);
}

#[test]
fn a_file_is_not_fetched_back_because_an_ancestor_pauses_while_it_unpacks_it() {
    let mut cluster = slow_group(1);
    let ours = random(3_000_000);
    write(&cluster, "file", &ours);
    assert!(cluster.drive_until(SOON, |cluster| cluster.originals[0].read("file").is_some()));
    for part in [1_000_000, 2_000_000, 3_000_000] {
        original_writes(&mut cluster, "file", &ours[..part]);
        cluster.drive(Duration::from_millis(2300));
    }
    cluster.drive(Duration::from_secs(20));
    assert_eq!(cluster.originals[0].served, 0);
}

#[test]
fn what_a_user_saves_twice_before_the_batch_is_there_does_not_replace_ours() {
    let mut cluster = slow_group(2);
    write(&cluster, "file", b"version1");
    wait(&mut cluster, &[("file", b"version1".to_vec())]);
    cluster.drive(Duration::from_secs(10));
    let before = cluster.originals[0].add_times;
    write(&cluster, "large", &random(3_000_000));
    write(&cluster, "file", b"ours, two");
    assert!(cluster.drive_until(SOON, |cluster| cluster.originals[0].add_times > before));
    for text in ["theirs, a", "theirs, two, longer"] {
        original_writes(&mut cluster, "file", text.as_bytes());
        cluster.drive(Duration::from_millis(600));
    }
    cluster.drive(Duration::from_secs(10));
    assert!(has(&cluster, 0, "file", b"ours, two"));
    assert_eq!(conflicts(&cluster), 1);
}

#[test]
fn what_a_user_saves_before_the_batch_is_there_is_taken_though_its_size_is_that_of_ours() {
    let mut cluster = slow_group(2);
    write(&cluster, "file", b"version1");
    wait(&mut cluster, &[("file", b"version1".to_vec())]);
    cluster.drive(Duration::from_secs(10));
    let before = cluster.originals[0].add_times;
    write(&cluster, "large", &random(3_000_000));
    write(&cluster, "file", b"our one");
    assert!(cluster.drive_until(SOON, |cluster| cluster.originals[0].add_times > before));
    original_writes(&mut cluster, "file", b"theirs!");
    cluster.drive(Duration::from_secs(60));
    let share = contents(&cluster, Place::Share);
    assert!(share.contains(&b"theirs!".to_vec()));
    assert!(share.contains(&b"our one".to_vec()));
}

#[test]
fn what_was_deleted_stays_deleted_when_the_other_bridge_leads() {
    let mut cluster = group(2, 3);
    cluster.drive(Duration::from_millis(5_210));
    let names = ["deleted", "b", "c", "d"];
    for name in names {
        write(&cluster, name, name.as_bytes());
    }
    wait(
        &mut cluster,
        &names.map(|name| (name, name.as_bytes().to_vec())),
    );
    cluster.drive(Duration::from_secs(10));
    let disk = &cluster.machines[0].disk;
    disk.user_remove_all(b"deleted").unwrap();
    cluster.drive(Duration::from_secs(30));
    for place in 0..2 {
        assert!(!has(&cluster, place, "deleted", b"deleted"), "{place}");
    }
    for place in 0..2 {
        cluster.crash(place, false);
        cluster.drive(Duration::from_secs(40));
        let came = has(&cluster, 1 - place, "deleted", b"deleted");
        assert!(!came, "when {place} went");
        assert!(cluster.start(place));
        cluster.drive(Duration::from_secs(30));
    }
}

#[test]
fn late_answers_about_one_file_are_not_taken_for_those_about_the_next() {
    let mut cluster = group(1, 5);
    // Longer than an answer is waited for at first.
    cluster.network.weather.delay = Duration::from_millis(300);
    cluster.originals.truncate(1);
    cluster.drive(Duration::from_millis(8_210));
    write(&cluster, "file", b"version1");
    assert!(cluster.drive_until(SOON, |cluster| cluster.originals[0].read("file").is_some()));
    cluster.drive(Duration::from_secs(20));
    for number in 0..10 {
        write(&cluster, &format!("empty{number}"), b"");
    }
    assert!(cluster.drive_until(SOON, |cluster| {
        cluster.originals[0].read("empty9").is_some()
    }));
    let text = b"version2, longer";
    original_writes(&mut cluster, "file", text);
    for _ in 0..100 {
        cluster.drive(Duration::from_secs(1));
        assert!(!has(&cluster, 0, "file", b""));
    }
    assert!(has(&cluster, 0, "file", text));
}

/// Its user writes a file, and again once it is published: what is here in the end.
fn written_while_published(first: &[u8], second: &[u8]) -> Cluster {
    let mut cluster = group(1, 6);
    cluster.drive(Duration::from_millis(5_000));
    // Archives tell times in steps of two seconds.
    while cluster.now().as_micros() % 2_000_000 > 100_000 {
        cluster.drive(Duration::from_millis(20));
    }
    let begin = cluster.now();
    original_writes(&mut cluster, "file", first);
    assert!(cluster.drive_until(SOON, |cluster| cluster.originals[0].add_times > 0));
    let end = cluster.now();
    original_writes(&mut cluster, "file", second);
    assert_eq!(
        begin.as_micros() / 2_000_000,
        end.as_micros() / 2_000_000,
        "both in one step"
    );
    cluster.drive(Duration::from_secs(100));
    cluster
}

#[test]
fn a_file_that_is_published_while_it_is_written_comes_whole() {
    let whole = random(500_000);
    let cluster = written_while_published(&whole[..300_000], &whole);
    assert!(has(&cluster, 0, "file", &whole));
}

#[test]
fn a_file_that_is_changed_just_after_it_was_packed_comes_as_it_is_though_it_is_as_long() {
    let cluster = written_while_published(b"before", b"behind");
    assert!(has(&cluster, 0, "file", b"behind"));
}

#[test]
fn an_archive_of_an_earlier_life_is_not_taken_for_the_newest_batch() {
    let mut cluster = group(1, 6);
    cluster.originals.truncate(1);
    cluster.drive(Duration::from_millis(5_210));
    let begin = cluster.now();
    original_writes(&mut cluster, "file", b"before");
    assert!(cluster.drive_until(SOON, |cluster| has(cluster, 0, "file", b"before")));
    let archives = cluster.originals[0].archives.clone();
    assert_eq!(archives.len(), 1);
    begin_anew(&mut cluster);
    cluster.originals[0].archives = archives;
    // A quarter of an hour could be a time zone.
    let quarter = begin + Duration::from_secs(900);
    cluster.drive(quarter.saturating_since(cluster.now()));
    original_writes(&mut cluster, "file", b"behind");
    cluster.drive(Duration::from_millis(1100));
    // The number is one that another has told.
    cluster.originals[0].add_times = 1;
    cluster.drive(Duration::from_secs(10));
    assert!(has(&cluster, 0, "file", b"behind"));
}

#[test]
fn after_any_operation_of_the_disk_that_fails_what_is_replaced_is_still_somewhere() {
    let mut struck = 0;
    for count in 0..40 {
        let mut cluster = group(1, 7);
        cluster.drive(Duration::from_millis(5_210));
        original_writes(&mut cluster, "file", b"before");
        assert!(cluster.drive_until(SOON, |cluster| has(cluster, 0, "file", b"before")));
        cluster.drive(Duration::from_secs(5));
        original_writes(&mut cluster, "file", b"behind it");
        cluster.machines[0].disk.stop_after(count);
        cluster.drive(Duration::from_secs(10));
        struck += usize::from(cluster.machines[0].disk.is_stopped());
        cluster.crash(0, false);
        assert!(cluster.start(0), "{count}");
        cluster.drive(Duration::from_secs(20));
        let kept = [Place::Share, Place::Trash].map(|place| contents(&cluster, place));
        assert!(kept.concat().contains(&b"before".to_vec()), "{count}");
        assert!(has(&cluster, 0, "file", b"behind it"), "{count}");
    }
    assert!(struck > 10, "{struck}");
}

#[test]
fn what_is_new_here_does_not_wait_for_the_batch_of_another() {
    let mut cluster = group(1, 6);
    cluster.drive(Duration::from_millis(5_210));
    original_writes(&mut cluster, "theirs", b"theirs");
    wait(&mut cluster, &[("theirs", b"theirs".to_vec())]);
    assert_eq!(cluster.originals[1].add_times, 1);
    cluster.drive(Duration::from_secs(2));
    // An ancestor that got it from another could need ten seconds.
    write(&cluster, "ours", &vec![7; 100_000_000]);
    cluster.drive(Duration::from_secs(5));
    assert_eq!(batches(&cluster), 1);
}

#[test]
fn a_name_that_is_not_utf8_does_not_keep_anything_from_being_published() {
    let mut bridged = Bridged::new();
    write(&bridged.cluster, "ours", b"x");
    for _ in 0..20 {
        bridged.answer("{'./share/\\udcff': 1.5}");
    }
    assert!(batches(&bridged.cluster) > 0);
}

#[test]
fn a_file_that_never_stands_still_does_not_keep_anything_from_being_published() {
    let mut bridged = Bridged::new();
    write(&bridged.cluster, "ours", b"x");
    for second in 0..60 {
        bridged.answer(&format!("{{'./share/log': {second}.5}}"));
    }
    assert!(batches(&bridged.cluster) > 0);
}

#[test]
fn an_ancestor_that_takes_nothing_does_not_use_up_the_numbers() {
    let mut bridged = Bridged::new();
    write(&bridged.cluster, "ours", b"x");
    for _ in 0..200 {
        bridged.answer("{}");
    }
    // After 10, 30, 70 and 150 seconds, and the two newest are kept.
    let zips = bridged.cluster.machines[0].disk.tree(Place::Zip);
    let newest = zips.into_keys().next_back().unwrap();
    assert!(newest <= b"legacy6.zip".to_vec(), "{newest:?}");
    // The next start has no use for them.
    bridged.cluster.crash(0, false);
    assert!(bridged.cluster.start(0));
    assert_eq!(batches(&bridged.cluster), 0);
}

#[test]
fn nothing_is_published_over_what_an_ancestor_has_and_does_not_give() {
    let mut bridged = Bridged::new();
    write(&bridged.cluster, "theirs-too", b"x");
    write(&bridged.cluster, "ours-alone", b"x");
    // It answers no request for that file.
    for _ in 0..60 {
        bridged.answer("{'./share/theirs-too': 1.5}");
        // The other has nothing.
        for _ in 0..2 {
            let nothing = [&[0, 0, 0, 0, 0, 0, 0, 1], &b"{}"[..]].concat();
            bridged.send(INFORMATION_PORT, (ip(3), INFORMATION_PORT), &nothing);
            bridged.cluster.drive(Duration::from_millis(10));
        }
    }
    let zips = contents(&bridged.cluster, Place::Zip);
    let tells = |name: &[u8]| {
        zips.iter()
            .any(|zip| zip.windows(10).any(|part| part == name))
    };
    assert!(tells(b"ours-alone"));
    assert!(!tells(b"theirs-too"));
}

#[test]
fn an_ancestor_that_may_unpack_old_archives_replaces_nothing() {
    let mut cluster = group(1, 8);
    cluster.drive(Duration::from_millis(5_210));
    original_writes(&mut cluster, "file", b"before");
    wait(&mut cluster, &[("file", b"before".to_vec())]);
    cluster.drive(Duration::from_secs(20));
    for original in &mut cluster.originals {
        original.add_times = 11;
    }
    cluster.drive(Duration::from_secs(2));
    original_writes(&mut cluster, "file", b"an old one");
    assert!(cluster.drive_until(SOON, |cluster| conflicts(cluster) == 1));
    assert!(has(&cluster, 0, "file", b"before"));
}

#[test]
fn an_ancestor_whose_dict_cannot_be_read_is_away() {
    let mut bridged = Bridged::new();
    let is_online = |bridged: &Bridged| {
        let status = bridged.cluster.machines[0].peer.as_ref().unwrap().status();
        status.bridge.unwrap().ancestors[0].online
    };
    for (text, online) in [("{}", true), ("{1: 2}", false), ("{}", true)] {
        bridged.answer(text);
        bridged.cluster.drive(Duration::from_millis(500));
        assert_eq!(is_online(&bridged), online, "{text}");
    }
}
