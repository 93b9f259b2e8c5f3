//! What shrinks travels encoded where the network is slow, unless it is switched off.

use crate::harness::{Group, seconds};

/// Bytes of the file: many times what is under way at once, since nothing travels encoded before the start-up of the flow has
/// found out what the path carries (docs/protocol.md, "Encodings").
const SIZE: usize = 24_000_000;

/// Words that come again and again, in an order that does not.
fn text() -> Vec<u8> {
    let words = [
        "some", "words", "that", "come", "again", "and", "again", "in", "another", "order",
    ];
    let (mut text, mut state) = (Vec::new(), 1_u64);
    while text.len() < SIZE {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.extend(words[(state >> 33) as usize % words.len()].as_bytes());
        text.push(b' ');
    }
    text.truncate(SIZE);
    text
}

/// Bytes that the second peer received for the file; `plain` has encodings switched off.
fn received(test: &str, plain: Option<usize>) -> u64 {
    let mut group = Group::on_loopback(test, 2);
    group[0].options = vec!["--limit-up".to_owned(), "2M".to_owned()];
    if let Some(plain) = plain {
        group[plain].options.push("--no-compress".to_owned());
    }
    group.start();
    let text = text();
    group[0].write("text", &text);
    group.wait_until("the file arrives", seconds(60), |group| {
        group[1].has("text", &text)
    });
    group.wait_in_sync(seconds(20));
    let status = group[1].status().expect("a status");
    status.peers[0].bytes_received
}

#[test]
fn a_text_travels_encoded_over_a_slow_link() {
    let bytes = received("encoded", None);
    assert!(bytes < SIZE as u64 * 2 / 3, "{bytes}");
}

#[test]
fn no_text_travels_encoded_if_either_side_does_not_want_it() {
    for plain in 0..2 {
        let bytes = received("encoded-not", Some(plain));
        assert!(bytes >= SIZE as u64, "{plain}: {bytes}");
    }
}
