//! What routers may mark: read from the counters of the kernel of each peer.

use crate::harness::folder::write_random;
use crate::harness::program::tool;
use crate::harness::{Group, seconds, skip};
use std::fs;

/// A counter of datagrams that came to a peer, from `/proc/net/netstat`.
fn counter(group: &Group, place: usize, name: &str) -> u64 {
    let network = group.network.as_ref().unwrap();
    let namespace = network.namespace(place);
    let text = tool(&format!("ip netns exec {namespace} cat /proc/net/netstat")).unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("IpExt:"));
    let names = lines.next().unwrap().split_whitespace();
    let values = lines.next().unwrap().split_whitespace();
    let mut pairs = names.zip(values);
    let found = pairs.find(|(of, _)| *of == name);
    found.unwrap().1.parse().unwrap()
}

#[test]
fn blocks_say_that_they_may_be_marked_and_nothing_else_does() {
    let mut group = match Group::in_namespaces("marks", 2) {
        Ok(group) => group,
        Err(why) => return skip("marks", &why),
    };
    group.start();
    let source = group.scratch.path().join("5 MB");
    write_random(&source, 5, 5_000_000);
    fs::rename(source, group[0].path("5 MB")).unwrap();
    group.wait_equal_to(0, seconds(20));
    group.wait_in_sync(seconds(20));
    // With receive offload some thirty of them count as one.
    let at_puller = counter(&group, 1, "InECT0Pkts");
    let at_source = counter(&group, 0, "InECT0Pkts");
    assert!(at_puller >= 50, "{at_puller}");
    // Only the PADDINGs of the search for the length.
    assert!(at_source < 30, "{at_source}");
    assert!(counter(&group, 0, "InNoECTPkts") > 10);
    assert!(group[1].status_now().flushes > 0, "5 MB without a flush");
}
