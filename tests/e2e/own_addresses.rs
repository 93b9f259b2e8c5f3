//! Machines with more than one address, and ways that are closed.

use crate::harness::group::{loopback_net, on_net};
use crate::harness::program::tool;
use crate::harness::{Group, Scratch, seconds, skip};
use std::net::{IpAddr, SocketAddr};

#[test]
fn a_peer_on_all_addresses_is_reached_at_its_second_one() {
    for (name, any) in [("any-v4", "0.0.0.0"), ("any-v6", "::")] {
        let net = loopback_net();
        let mut group = Group::at(Scratch::new(name), &[on_net(net, 1), on_net(net, 2)]);
        // All addresses have the port that other tests use: another one, below those that the
        // kernel gives out.
        let port = u16::try_from(20_000 + std::process::id() % 10_000).unwrap();
        let any: IpAddr = any.parse().unwrap();
        group[0].listen = SocketAddr::new(any, port);
        let second = SocketAddr::new(on_net(net, 9).ip(), port);
        group[1].others = vec![second.to_string()];
        group[1].write("file", b"over the second address");
        group.start();
        group.wait_equal_to(1, seconds(10));
    }
}

#[test]
fn a_way_that_is_closed_is_told_until_it_is_open() {
    let case = "a_way_that_is_closed_is_told_until_it_is_open";
    let mut group = match Group::in_namespaces("closed", 2) {
        Ok(group) => group,
        Err(why) => return skip(case, &why),
    };
    let namespace = group[0].namespace.clone().expect("a namespace");
    let firewall = |action: &str| {
        tool(&format!(
            "ip netns exec {namespace} iptables {action} OUTPUT -p udp -j DROP"
        ))
    };
    if let Err(why) = firewall("-A") {
        return skip(case, &why);
    }
    let told = |group: &Group, word: &str| {
        group[0]
            .status_now()
            .errors
            .iter()
            .any(|error| error.contains(word))
    };
    for peer in &mut group.peers {
        peer.start_and_wait(seconds(10));
    }
    group.wait_until("the firewall is told", seconds(30), |group| {
        told(group, "firewall")
    });
    firewall("-D").expect("open the way");
    group.wait_in_sync(seconds(60));
    group.wait_until("it is told no more", seconds(30), |group| {
        group[0].status_now().errors.is_empty()
    });

    let down = |state: &str| tool(&format!("ip -n {namespace} link set eth0 {state}"));
    down("down").expect("take the network away");
    group.wait_until("the lost network is told", seconds(60), |group| {
        told(group, "nothing can be sent to")
    });
    down("up").expect("give the network back");
    group.wait_in_sync(seconds(60));
    assert!(group[0].status_now().errors.is_empty());
    let log = group[0].log();
    let count = |word: &str| log.lines().filter(|line| line.contains(word)).count();
    assert_eq!(count("nothing can be sent to"), 2, "{log}");
    assert_eq!(count("can be sent to again"), 2, "{log}");
}
