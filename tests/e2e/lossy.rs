//! A network that loses.

use crate::harness::folder::write_random;
use crate::harness::{Group, seconds, skip};
use std::fs;

fn lossy_group(case: &str, count: usize, share: f64) -> Option<Group> {
    let group = Group::in_namespaces(case, count).and_then(|group| {
        let Some(network) = &group.network else {
            return Err("no network".to_owned());
        };
        network.lose(share)?;
        Ok(group)
    });
    group.inspect_err(|why| skip(case, why)).ok()
}

#[test]
fn thirty_megabytes_through_five_percent_loss_each_way() {
    let Some(mut group) = lossy_group("lossy-30-mb", 2, 0.05) else {
        return;
    };
    group.start();
    let source = group.scratch.path().join("30 MB");
    write_random(&source, 30, 30_000_000);
    fs::rename(source, group[0].path("30 MB")).unwrap();
    group.wait_equal_to(0, seconds(60));
    group.wait_in_sync(seconds(20));
    let received = group.network.as_ref().unwrap().received(1);
    // Counted at the interface, before the loss: what was lost came twice, and headers.
    assert!(
        received < 30_000_000 * 125 / 100,
        "{received} bytes for 30 MB"
    );
}

#[test]
fn small_changes_through_twenty_percent_loss_each_way() {
    let Some(mut group) = lossy_group("lossy-small", 3, 0.2) else {
        return;
    };
    group.start();
    for round in 0..10 {
        group[round % 3].write("line.txt", format!("line {round}\n").as_bytes());
        group[round % 3].write(&format!("folder/{round}"), &vec![7; 1000 * round]);
        group.wait_equal_to(round % 3, seconds(20));
    }
}
