//! A small file is told of as soon as it is closed; what is written within the same tick of the file clock
//! leaves no other time, and must come all the same (docs/architecture.md, section 3).

use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::network::Weather;
use sim::rng::Rng;

const SOON: Duration = Duration::from_secs(60);

fn two(rng: &mut Rng) -> Cluster {
    let mut cluster = Cluster::new(2, rng);
    assert!(cluster.start(0) && cluster.start(1));
    assert!(cluster.drive_until(SOON, Cluster::in_sync));
    cluster
}

fn bytes(cluster: &Cluster, place: usize, path: &[u8]) -> Option<Vec<u8>> {
    match cluster.machines[place]
        .disk
        .tree(Place::Share)
        .remove(path)?
    {
        Node::File(_, _, bytes) => Some(bytes),
        _ => None,
    }
}

fn time(cluster: &Cluster, path: &[u8]) -> Option<(i64, u32)> {
    match cluster.machines[0].disk.tree(Place::Share).remove(path)? {
        Node::File(_, mtime, _) => Some((mtime.sec, mtime.nsec)),
        _ => None,
    }
}

fn sequence(cluster: &Cluster) -> u64 {
    let peer = cluster.machines[0].peer.as_ref();
    peer.map_or(0, |peer| peer.status().sequence)
}

#[test]
fn what_is_written_in_the_tick_in_which_it_was_told_of_is_told_too() {
    let mut met = 0;
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let mut cluster = two(&mut rng);
        let (mut last, mut sequence_of_last) = (Vec::new(), 0);
        let writes = 2 + rng.below(12);
        for number in 0..writes {
            // All of one length, so that only the bytes differ.
            let text = format!("line {number:04} of {seed:04}").into_bytes();
            // Both are of what was told of last.
            let (before, mtime) = (sequence(&cluster), time(&cluster, b"f"));
            let told = std::mem::replace(&mut sequence_of_last, before) != before;
            cluster.set_clocks();
            cluster.machines[0].disk.user_write(b"f", &text).unwrap();
            last = text;
            if told && mtime.is_some() && time(&cluster, b"f") == mtime {
                met += 1;
            }
            cluster.drive(Duration::from_micros(rng.below(4_000)));
        }
        if seed % 3 == 0 {
            // Nothing that is only in memory is needed for it.
            cluster.crash(0, false);
            assert!(cluster.start(0));
        }
        // No scan is waited for, but for that of a start.
        cluster.drive(Duration::from_secs(1));
        assert!(cluster.drive_until(Duration::from_secs(20), Cluster::in_sync));
        for place in 0..2 {
            let found = bytes(&cluster, place, b"f");
            assert_eq!(found.as_ref(), Some(&last), "seed {seed} at {place}");
        }
    }
    assert!(met > 50, "only {met} told of within one tick");
}

/// How long it takes until a file with these bytes is on the other machine.
fn latency(delay: Duration, size: usize) -> Duration {
    let mut cluster = two(&mut Rng::new(7));
    cluster.network.weather = Weather {
        delay,
        ..Weather::default()
    };
    let text = vec![b'x'; size];
    cluster.machines[0].disk.user_write(b"f", &text).unwrap();
    assert!(cluster.drive_until(SOON, |cluster| bytes(cluster, 1, b"f").is_some()));
    let begin = cluster.now();
    // Idle, as between two changes by hand.
    assert!(cluster.drive_until(SOON, Cluster::in_sync));
    cluster.drive(Duration::from_millis(700));
    assert!(cluster.now() > begin);
    let text = vec![b'y'; size];
    let begin = cluster.now();
    cluster.set_clocks();
    cluster.machines[0].disk.user_write(b"f", &text).unwrap();
    // The kernel tells of it at once; the simulator would at the next moment at which anything happens.
    cluster.step(begin + Duration::from_micros(10));
    assert!(
        cluster.drive_until(SOON, |cluster| bytes(cluster, 1, b"f").as_ref()
            == Some(&text))
    );
    cluster.now() - begin
}

#[test]
fn a_small_change_is_there_within_a_way_of_the_network() {
    let way = Duration::from_millis(20);
    let tiny = latency(way, 100);
    assert!(tiny < way + Duration::from_millis(2), "{tiny:?}");
    // What does not fit is asked for: two ways more.
    let small = latency(way, 4_000);
    assert!(small < way * 3 + Duration::from_millis(10), "{small:?}");
    assert!(small > way * 3, "{small:?}");
}

#[test]
fn a_folder_that_is_moved_is_looked_into_at_once() {
    let mut cluster = two(&mut Rng::new(7));
    for number in 0..20 {
        let (folder, file) = (format!("d/{number}"), format!("d/{number}/f"));
        let disk = &cluster.machines[0].disk;
        if number == 0 {
            disk.user_mkdir(b"d").unwrap();
        }
        disk.user_mkdir(folder.as_bytes()).unwrap();
        disk.user_write(file.as_bytes(), file.as_bytes()).unwrap();
    }
    assert!(cluster.drive_until(SOON, |cluster| bytes(cluster, 1, b"d/19/f").is_some()));
    assert!(cluster.drive_until(SOON, Cluster::in_sync));
    cluster.drive(Duration::from_millis(700));
    let begin = cluster.now();
    cluster.set_clocks();
    cluster.machines[0]
        .disk
        .user_rename(b"d", b"moved")
        .unwrap();
    cluster.step(begin + Duration::from_micros(10));
    assert!(cluster.drive_until(SOON, |cluster| bytes(cluster, 1, b"moved/19/f").is_some()));
    let took = cluster.now() - begin;
    // It took 20 ms until it was looked at, and the pause of a commit until it was scanned.
    assert!(took < Duration::from_millis(40), "{took:?}");
}

/// A folder that is made, filled and renamed into place, or removed again, within a moment is told of once, or not.
#[test]
fn a_folder_that_is_there_for_a_moment_is_not_told() {
    let mut cluster = two(&mut Rng::new(7));
    cluster.drive(Duration::from_millis(700));
    let before = sequence(&cluster);
    for number in 0..20 {
        cluster.set_clocks();
        let disk = cluster.machines[0].disk.handle();
        disk.user_mkdir(b"tmp").unwrap();
        cluster.drive(Duration::from_millis(1));
        disk.user_write(b"tmp/f", b"text").unwrap();
        cluster.drive(Duration::from_millis(4));
        cluster.set_clocks();
        if number % 2 == 0 {
            disk.user_remove_all(b"tmp").unwrap();
        } else {
            let to = format!("final{number}");
            disk.user_rename(b"tmp", to.as_bytes()).unwrap();
        }
        cluster.drive(Duration::from_millis(200));
    }
    assert!(cluster.drive_until(SOON, Cluster::in_sync));
    assert_eq!(sequence(&cluster) - before, 20);
}

#[test]
fn many_files_that_land_from_announcements_are_whole_and_in_sync() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut cluster = two(&mut rng);
        cluster.network.weather = Weather {
            loss: 200,
            duplication: 100,
            delay: Duration::from_millis(3),
            jitter: Duration::from_millis(9),
        };
        for number in 0..30_u64 {
            let place = usize::try_from(rng.below(2)).unwrap();
            let name = format!("file {}", rng.below(8));
            let text =
                format!("{number} {name}").repeat(1 + usize::try_from(rng.below(80)).unwrap());
            cluster.set_clocks();
            let disk = &cluster.machines[place].disk;
            disk.user_write(name.as_bytes(), text.as_bytes()).unwrap();
            cluster.drive(Duration::from_micros(rng.below(30_000)));
        }
        cluster.network.weather = Weather::default();
        assert!(cluster.drive_until(SOON, Cluster::in_sync), "seed {seed}");
        let trees = [0, 1].map(|place| cluster.machines[place].disk.tree(Place::Share));
        assert_eq!(trees[0], trees[1], "seed {seed}");
    }
}
