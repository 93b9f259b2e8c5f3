//! What came encoded is passed on as it came (docs/protocol.md, "Encodings").

use crate::fetching::{cluster, holds, write};
use proto_core::time::Duration;
use sim::rng::Rng;
use std::cell::Cell;

const SIZE: usize = 4_000_000;

thread_local! {
    static SECONDS: Cell<u32> = const { Cell::new(0) };
}

/// An encoder that is measured with this takes a second for each piece.
fn slow() -> Duration {
    SECONDS.set(SECONDS.get() + 1);
    Duration::from_secs(SECONDS.get().into())
}

/// Words in any order.
fn text() -> Vec<u8> {
    let mut rng = Rng::new(1);
    let mut text = Vec::new();
    while text.len() < SIZE {
        text.extend_from_slice(format!("word {} ", rng.below(3_000)).as_bytes());
    }
    text
}

#[test]
fn who_is_too_slow_to_encode_passes_on_what_came_encoded() {
    let mut cluster = cluster(3, Duration::from_millis(5));
    cluster.network.uplink = 1_000_000;
    let peer = cluster.machines[1].peer.as_mut();
    peer.unwrap().set_encodings(true, Some(slow));
    let [first, second, third] = [0, 1, 2].map(|place| cluster.machines[place].address);
    cluster.network.cut(first, third);
    cluster.network.cut(third, first);
    let before = [first, second].map(|machine| cluster.network.sent_by(machine));
    let text = text();
    write(&cluster, 0, b"text", &text);
    assert!(
        cluster.drive_until(Duration::from_secs(60), |cluster| holds(
            cluster, 2, b"text", &text
        ))
    );
    let sent = [first, second].map(|machine| cluster.network.sent_by(machine));
    let [of_first, of_second] = [sent[0] - before[0], sent[1] - before[1]];
    assert!(of_first < SIZE as u64 * 6 / 10, "{of_first}");
    assert!(of_second < SIZE as u64 * 6 / 10, "{of_second}");
}
