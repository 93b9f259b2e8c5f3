//! Nothing gets its final name before its bytes are on the disk, whatever fails on the way (docs/architecture.md, "Landing").

use crate::fetching::{cluster, random, write};
use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::disk::Node;
use sim::rng::Rng;

/// Three make a group, and two of them would be flushed by themselves.
const FILES: u64 = 3;
/// More than an announcement carries.
const SIZE: u64 = 5_000;

#[test]
fn a_group_that_shrinks_while_it_is_readied_is_flushed_all_the_same() {
    let mut landed = 0;
    for seed in 0..150 {
        let mut cluster = cluster(2, Duration::from_millis(5));
        for number in 0..FILES {
            let name = format!("file {number}");
            write(&cluster, 0, name.as_bytes(), &random(SIZE + number));
        }
        let disk = cluster.machines[1].disk.handle();
        disk.fail(100, Rng::new(seed));
        cluster.drive_until(Duration::from_secs(5), |_| {
            !disk.tree(Place::Share).is_empty()
        });
        cluster.crash(1, true);
        for (path, node) in cluster.machines[1].disk.tree(Place::Share) {
            let Node::File(_, _, bytes) = node else {
                continue;
            };
            landed += 1;
            let number = u64::from(path[path.len() - 1] - b'0');
            assert!(
                *bytes == *random(SIZE + number),
                "seed {seed}, file {number}"
            );
        }
    }
    assert!(landed > 100, "{landed}");
}
