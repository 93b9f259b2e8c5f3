//! What a user does to a path while something lands there.

use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::cluster::Cluster;
use sim::disk::Node;
use sim::rng::Rng;

const SOON: Duration = Duration::from_secs(30);

/// Two machines that are in sync, with these files from the first one.
fn two(files: &[(&[u8], &[u8])]) -> Cluster {
    let mut cluster = Cluster::new(2, &mut Rng::new(1));
    assert!(cluster.start(0) && cluster.start(1));
    for (path, bytes) in files {
        cluster.machines[0].disk.user_write(path, bytes).unwrap();
    }
    cluster.drive(Duration::from_secs(1));
    settle(&mut cluster);
    cluster
}

#[track_caller]
fn settle(cluster: &mut Cluster) {
    let settled = cluster.drive_until(SOON, Cluster::in_sync);
    assert!(settled, "not in sync: {:#?}", status(cluster, 0));
}

fn status(cluster: &Cluster, place: usize) -> peer_mio::peer::report::Status {
    cluster.machines[place].peer.as_ref().unwrap().status()
}

#[test]
fn what_a_user_writes_while_a_file_lands_is_shared() {
    let mut met = 0;
    for seed in 0..40 {
        let files: &[(&[u8], &[u8])] = if seed % 2 == 0 {
            &[]
        } else {
            &[(b"f", b"the first text")]
        };
        let mut cluster = two(files);
        let (here, there) = (&cluster.machines[0].disk, &cluster.machines[1].disk);
        there.user_meddles(400, Rng::new(seed));
        here.user_write(b"f", b"the second, longer text").unwrap();
        cluster.drive(Duration::from_secs(2));
        cluster.machines[1].disk.user_meddles(0, Rng::new(seed));
        cluster.drive(Duration::from_secs(1));
        settle(&mut cluster);
        let meddled = cluster.machines[1].disk.take_meddled();
        let Some(last) = meddled.last() else { continue };
        met += 1;
        for machine in &cluster.machines {
            let tree = machine.disk.tree(Place::Share);
            let is_it =
                |node: &Node| matches!(node, Node::File(_, _, bytes) if *bytes == last.after);
            assert!(tree.values().any(is_it), "seed {seed}: {tree:?}");
        }
    }
    assert!(met > 10, "only {met}");
}
