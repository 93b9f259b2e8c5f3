//! Several machines that fetch the same content from one.

use crate::fetching::{SIZE, begin_of, cluster, errors, here, random, write};
use peer_mio::disk::Place;
use proto_core::time::Duration;
use sim::disk::Node;

#[test]
fn two_that_have_all_of_it_between_them_need_no_third() {
    let mut cluster = cluster(3, Duration::from_millis(5));
    let bytes = random(5 * SIZE);
    begin_of(&mut cluster, 5 * SIZE, SIZE * 19 / 4);
    assert!(here(&cluster, 2) < 5 * SIZE);
    cluster.crash(0, false);
    cluster.drive(Duration::from_secs(30));
    for place in [1, 2] {
        let landed = cluster.machines[place].disk.tree(Place::Share);
        let Some(Node::File(_, _, landed)) = landed.get(&b"file"[..]) else {
            panic!("not here: {:?}", errors(&cluster, place));
        };
        assert!(*landed == bytes);
    }
}

#[test]
fn a_second_receiver_hardly_costs_the_source_anything() {
    for (receivers, most) in [(2, 115), (3, 130), (7, 200)] {
        let mut cluster = cluster(receivers + 1, Duration::from_millis(1));
        let source = cluster.machines[0].address;
        write(&cluster, 0, b"file", &random(5 * SIZE));
        assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
            cluster.machines.iter().all(|machine| {
                let landed = machine.disk.tree(Place::Share);
                landed.contains_key(b"file".as_slice())
            })
        }));
        let sent = cluster.network.sent_by(source) * 100 / (5 * SIZE);
        println!("{receivers} receivers: the source sends {sent} % of the file");
        assert!(sent < most, "{receivers} receivers: {sent} %");
    }
}

#[test]
fn a_receiver_that_vanishes_costs_the_other_less_than_a_second() {
    let time = |vanishes: bool| {
        let mut cluster = cluster(3, Duration::from_millis(5));
        begin_of(&mut cluster, 30 * SIZE, 6 * SIZE);
        let begin = cluster.now();
        if vanishes {
            cluster.crash(2, false);
        }
        assert!(cluster.drive_until(Duration::from_secs(60), |cluster| {
            let landed = cluster.machines[1].disk.tree(Place::Share);
            landed.contains_key(b"file".as_slice())
        }));
        cluster.now() - begin
    };
    let (alone, together) = (time(true), time(false));
    println!("{together:?} with another receiver, {alone:?} if that vanishes");
    assert!(alone < together + Duration::from_secs(1), "{alone:?}");
}
