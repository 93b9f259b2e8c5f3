//! What a bad network costs, in bytes, and many files, in flushes.

use peer_mio::disk::Place;
use peer_mio::peer::Flushing;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::network::Weather;
use sim::rng::Rng;

/// Bytes on the wire for a file of so many bytes, and the simulated time it took.
fn cost(size: usize, weather: Weather) -> (u64, Duration) {
    let mut rng = Rng::new(1);
    let mut cluster = Cluster::new(2, &mut rng);
    cluster.network.weather = weather;
    assert!(cluster.start(0) && cluster.start(1));
    assert!(cluster.drive_until(Duration::from_secs(30), Cluster::in_sync));
    let mut filler = Rng::new(2);
    let bytes: Vec<u8> = std::iter::repeat_with(|| filler.bits().to_be_bytes())
        .flatten()
        .take(size)
        .collect();
    let (before, begin) = (cluster.network.bytes, cluster.now());
    cluster.machines[0]
        .disk
        .user_write(b"file", &bytes)
        .unwrap();
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        cluster.machines[1]
            .disk
            .tree(Place::Share)
            .contains_key(b"file".as_slice())
    }));
    (cluster.network.bytes - before, cluster.now() - begin)
}

#[test]
fn five_percent_loss_each_way_costs_little_more_than_what_is_lost() {
    let size = 8_000_000;
    for delay in [100, 1_000, 10_000] {
        let weather = Weather {
            loss: 50,
            delay: Duration::from_micros(delay),
            ..Weather::default()
        };
        let (sent, time) = cost(size, weather);
        println!(
            "5 % loss, {delay} us: {:.3} of the size in {time:?}",
            sent as f64 / size as f64
        );
        assert!(
            sent < size as u64 * 118 / 100,
            "{sent} bytes for {size} at {delay} us"
        );
    }
}

#[test]
fn a_good_network_costs_only_the_headers() {
    let size = 8_000_000;
    let (sent, time) = cost(size, Weather::default());
    println!(
        "no loss: {:.3} of the size in {time:?}",
        sent as f64 / size as f64
    );
    assert!(sent < size as u64 * 106 / 100, "{sent} bytes for {size}");
}

/// Flushes at the two machines until this many files of one are on both, spread over so many folders.
fn flushes_for(files: usize, folders: usize) -> [u64; 2] {
    let mut cluster = Cluster::new(2, &mut Rng::new(1));
    assert!(cluster.start(0) && cluster.start(1));
    assert!(cluster.drive_until(Duration::from_secs(30), Cluster::in_sync));
    let flushes = |cluster: &Cluster| [0, 1].map(|place| cluster.machines[place].disk.flushes());
    let before = flushes(&cluster);
    let disk = &cluster.machines[0].disk;
    for folder in 0..folders {
        disk.user_mkdir(format!("folder {folder}").as_bytes())
            .unwrap();
    }
    for number in 0..files {
        let name = format!("file {number}");
        let path = match number.checked_rem(folders) {
            Some(folder) => format!("folder {folder}/{name}"),
            None => name,
        };
        disk.user_write(path.as_bytes(), path.as_bytes()).unwrap();
    }
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        let landed = cluster.machines[1].disk.tree(Place::Share);
        landed.len() == files + folders && cluster.in_sync()
    }));
    let after = flushes(&cluster);
    let spent = [0, 1].map(|place| after[place] - before[place]);
    println!("{spent:?} flushes for {files} files in {folders} folders");
    spent
}

#[test]
fn many_small_files_are_flushed_together() {
    // A commit of the index flushes it twice.
    let spent = flushes_for(600, 0);
    assert!(spent.iter().all(|spent| *spent < 60), "{spent:?} flushes");
}

#[test]
fn folders_are_not_flushed_one_by_one_while_more_lands() {
    let [_, receiver] = flushes_for(2_000, 100);
    assert!(receiver < 40, "{receiver} flushes");
}

#[test]
fn without_durability_a_landing_waits_for_no_flush() {
    let mut cluster = Cluster::new(2, &mut Rng::new(1));
    cluster.flushing = Flushing::Never;
    cluster.network.weather.delay = Duration::from_micros(20_000);
    assert!(cluster.start(0) && cluster.start(1));
    assert!(cluster.drive_until(Duration::from_secs(30), Cluster::in_sync));
    let before = cluster.machines[1].disk.flushes();
    let files = 60;
    for number in 0..files {
        let name = format!("file {number}");
        let disk = &cluster.machines[0].disk;
        disk.user_write(name.as_bytes(), &vec![number; 1_500_000])
            .unwrap();
    }
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        let landed = cluster.machines[1].disk.tree(Place::Share);
        landed.len() == usize::from(files) && cluster.in_sync()
    }));
    let spent = cluster.machines[1].disk.flushes() - before;
    println!("{spent} flushes for {files} files that are not flushed");
    assert!(spent < 30, "{spent} flushes");
}

#[test]
fn a_folder_that_is_closed_to_who_reads_it_can_be_committed() {
    let mut cluster = Cluster::new(2, &mut Rng::new(1));
    assert!(cluster.start(0) && cluster.start(1));
    assert!(cluster.drive_until(Duration::from_secs(30), Cluster::in_sync));
    cluster.machines[1].disk.enforce_modes(true);
    cluster.machines[0].disk.user_mkdir(b"d").unwrap();
    let files = 1_500;
    for number in 0..files {
        let name = format!("d/file {number}");
        let disk = &cluster.machines[0].disk;
        disk.user_write(name.as_bytes(), name.as_bytes()).unwrap();
    }
    let landed = |cluster: &Cluster| cluster.machines[1].disk.tree(Place::Share).len();
    assert!(cluster.drive_until(Duration::from_secs(10), |cluster| landed(cluster) > 700));
    cluster.set_clocks();
    let disk = &cluster.machines[1].disk;
    disk.user_chmod(b"d", 0o300).unwrap();
    assert!(cluster.drive_until(Duration::from_secs(40), |cluster| {
        let told = cluster.machines[1].peer.as_ref().unwrap().status();
        let flush = told.errors.iter().find(|error| error.contains("flushed"));
        assert_eq!(flush, None);
        landed(cluster) == files + 1
    }));
}

#[test]
fn a_folder_that_is_moved_costs_what_is_new_of_its_entries() {
    let files = 2000;
    let mut cluster = Cluster::new(2, &mut Rng::new(1));
    assert!(cluster.start(0) && cluster.start(1));
    assert!(cluster.drive_until(Duration::from_secs(30), Cluster::in_sync));
    cluster.machines[0].disk.user_mkdir(b"photos").unwrap();
    for number in 0..files {
        let name = format!("photos/picture {number:05}.jpg");
        let disk = &cluster.machines[0].disk;
        disk.user_write(name.as_bytes(), name.as_bytes()).unwrap();
    }
    let moved = |cluster: &Cluster, folder: &str| {
        let landed = cluster.machines[1].disk.tree(Place::Share);
        landed.len() == files + 1 && landed.contains_key(folder.as_bytes())
    };
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        moved(cluster, "photos") && cluster.in_sync()
    }));
    let before = cluster.network.bytes;
    let disk = &cluster.machines[0].disk;
    disk.user_rename(b"photos", b"pictures").unwrap();
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
        moved(cluster, "pictures") && cluster.in_sync()
    }));
    // Each is told as a deletion and a creation, and told back. The content id alone has 32 bytes.
    let each = (cluster.network.bytes - before) / files as u64;
    println!("{each} bytes for each file that is moved");
    assert!(each < 250, "{each} bytes for each file");
}
