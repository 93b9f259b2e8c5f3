//! A few machines and a large file on its way between them.

use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::network::Weather;
use sim::rng::Rng;

/// Bytes of the file.
pub const SIZE: u64 = 8_000_000;

/// Machines in sync on a network of so much delay.
pub fn cluster(machines: u8, delay: Duration) -> Cluster {
    let mut cluster = Cluster::new(machines, &mut Rng::new(1));
    cluster.network.weather = Weather {
        delay,
        ..Weather::default()
    };
    for place in 0..usize::from(machines) {
        assert!(cluster.start(place));
    }
    assert!(cluster.drive_until(Duration::from_secs(30), Cluster::in_sync));
    cluster
}

pub fn random(size: u64) -> Vec<u8> {
    let mut filler = Rng::new(size);
    std::iter::repeat_with(|| filler.bits().to_be_bytes())
        .flatten()
        .take(usize::try_from(size).unwrap())
        .collect()
}

pub fn write(cluster: &Cluster, place: usize, path: &[u8], bytes: &[u8]) {
    cluster.set_clocks();
    cluster.machines[place]
        .disk
        .user_write(path, bytes)
        .unwrap();
}

/// Whether anything is at a path of a machine's folder.
pub fn has(cluster: &Cluster, place: usize, path: &[u8]) -> bool {
    let tree = cluster.machines[place].disk.tree(Place::Share);
    tree.contains_key(path)
}

/// Whether a file with just these bytes is there.
pub fn holds(cluster: &Cluster, place: usize, path: &[u8], bytes: &[u8]) -> bool {
    let tree = cluster.machines[place].disk.tree(Place::Share);
    matches!(tree.get(path), Some(Node::File(_, _, found)) if found == bytes)
}

/// Bytes that a machine has of what it fetches.
pub fn here(cluster: &Cluster, place: usize) -> u64 {
    let peer = cluster.machines[place].peer.as_ref();
    peer.and_then(|peer| peer.progress())
        .map_or(0, |(_, here, _)| here)
}

/// Machine 0 has a new file, machine 1 a part of it.
pub fn begin(cluster: &mut Cluster, part: u64) {
    begin_of(cluster, SIZE, part);
}

/// The same with a file of so many bytes.
pub fn begin_of(cluster: &mut Cluster, size: u64, part: u64) {
    write(cluster, 0, b"file", &random(size));
    assert!(cluster.drive_until(Duration::from_secs(60), |cluster| here(cluster, 1) >= part));
    let landed = cluster.machines[1].disk.tree(Place::Share);
    assert!(!landed.contains_key(b"file".as_slice()), "over too soon");
}

pub fn errors(cluster: &Cluster, place: usize) -> Vec<String> {
    cluster.machines[place]
        .peer
        .as_ref()
        .unwrap()
        .status()
        .errors
}
