//! The status as text: for people, and as JSON.

use crate::peer::report::{BridgeStatus, Status};
use crate::stalls::{BOUNDS_MS, Counts};
use std::fmt::Write as _;

/// The status as one JSON object.
#[must_use]
pub fn to_json(status: &Status) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        r#"{{"files":{},"bytes":{},"sequence":{},"pending":{},"conflicts":{},"errors":["#,
        status.files, status.bytes, status.sequence, status.pending, status.conflicts
    );
    for (place, error) in status.errors.iter().enumerate() {
        out.push_str(if place > 0 { "," } else { "" });
        write_string(&mut out, error);
    }
    out.push_str(r#"],"peers":["#);
    for (place, peer) in status.peers.iter().enumerate() {
        out.push_str(if place > 0 { "," } else { "" });
        let _ = write!(
            out,
            r#"{{"address":"{}","connected":{},"rtt_us":{},"sequence":{},"bytes_sent":{},"bytes_received":{},"transfers":{},"datagram":{},"spurious":{},"marked":{}}}"#,
            peer.address,
            peer.connected,
            peer.rtt_us.map_or("null".to_owned(), |rtt| rtt.to_string()),
            peer.sequence,
            peer.bytes_sent,
            peer.bytes_received,
            peer.transfers,
            peer.datagram,
            peer.spurious,
            peer.marked
        );
    }
    out.push(']');
    write_counts(&mut out, "turns", &status.turns);
    write_counts(&mut out, "flushes", &status.flushes);
    if let Some(bridge) = &status.bridge {
        write_bridge(&mut out, bridge);
    }
    out.push_str("}\n");
    out
}

fn write_counts(out: &mut String, name: &str, counts: &Counts) {
    let _ = write!(
        out,
        r#","{name}":{{"below_ms":{BOUNDS_MS:?},"counts":{:?},"longest_us":{}}}"#,
        counts.counts, counts.longest_us
    );
}

fn write_bridge(out: &mut String, bridge: &BridgeStatus) {
    let _ = write!(
        out,
        r#","legacy":{{"leads":{},"dropped":{},"peers":["#,
        bridge.leads, bridge.dropped
    );
    for (place, line) in bridge.ancestors.iter().enumerate() {
        out.push_str(if place > 0 { "," } else { "" });
        let _ = write!(
            out,
            r#"{{"address":"{}","connected":{},"add_times":{},"bytes_sent":{},"bytes_received":{},"rejected":{}}}"#,
            line.address,
            line.online,
            line.add_times
                .map_or("null".to_owned(), |add_times| add_times.to_string()),
            line.bytes_sent,
            line.bytes_received,
            line.rejected
        );
    }
    out.push_str("]}");
}

/// The status for people.
#[must_use]
pub fn to_text(status: &Status) -> String {
    let mut out = String::new();
    let state = if status.in_sync {
        "in sync"
    } else {
        "not in sync"
    };
    let _ = writeln!(
        out,
        "{state}: {} files, {} bytes, sequence {}",
        status.files, status.bytes, status.sequence
    );
    if status.pending > 0 {
        let _ = writeln!(out, "{} still to come from other peers", status.pending);
    }
    if status.conflicts > 0 {
        let _ = writeln!(
            out,
            "{} conflict copies in share/ (names with '.conflict-'): keep what you want, delete the rest",
            status.conflicts
        );
    }
    for peer in &status.peers {
        let state = match (peer.connected, peer.rtt_us) {
            (false, _) => "not connected".to_owned(),
            (true, None) => "connected".to_owned(),
            (true, Some(rtt)) => format!("connected, {:.1} ms away", rtt as f64 / 1000.0),
        };
        let _ = writeln!(
            out,
            "peer {}: {state}; sequence {}, {} bytes sent, {} received",
            peer.address, peer.sequence, peer.bytes_sent, peer.bytes_received
        );
    }
    if let Some(bridge) = &status.bridge {
        print_bridge(&mut out, bridge);
    }
    for error in &status.errors {
        let _ = writeln!(out, "error: {error}");
    }
    out
}

fn print_bridge(out: &mut String, bridge: &BridgeStatus) {
    for line in &bridge.ancestors {
        let state = match line.add_times.filter(|_| line.online) {
            None => "not connected".to_owned(),
            Some(add_times) => format!("connected, add_times {add_times}"),
        };
        let _ = writeln!(
            out,
            "peer of --legacy {}: {state}; {} bytes sent, {} received, {} datagrams rejected",
            line.address, line.bytes_sent, line.bytes_received, line.rejected
        );
    }
    if bridge.dropped > 0 {
        let _ = writeln!(
            out,
            "{} datagrams for the peers of --legacy dropped: from addresses that it does not name",
            bridge.dropped
        );
    }
}

/// A JSON string (RFC 8259 section 7).
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if (control as u32) < 0x20 || control == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::report::{AncestorLine, PeerLine};

    fn status(rtt_us: Option<u64>) -> Status {
        Status {
            errors: vec!["a \"b\" \\ \u{1}\n".to_owned()],
            peers: vec![PeerLine {
                address: "10.0.0.2:22001".parse().unwrap(),
                connected: true,
                rtt_us,
                sequence: 3,
                bytes_sent: 4,
                bytes_received: 5,
                transfers: 6,
                datagram: 1452,
                spurious: 7,
                marked: 8,
            }],
            ..Status::default()
        }
    }

    #[test]
    fn a_round_trip_that_was_not_measured_is_null() {
        assert!(to_json(&status(None)).contains(r#""rtt_us":null,"#));
        assert!(to_json(&status(Some(1500))).contains(r#""rtt_us":1500,"#));
        assert!(to_text(&status(None)).contains("connected; sequence 3"));
        assert!(to_text(&status(Some(1500))).contains("connected, 1.5 ms away; "));
    }

    #[test]
    fn how_long_turns_took_is_a_count_for_each_bound_and_one_beyond() {
        let mut status = status(None);
        status.turns.counts[5] = 3;
        status.turns.longest_us = 120_000;
        let json = to_json(&status);
        let turns = r#""turns":{"below_ms":[1, 5, 10, 50, 100],"counts":[0, 0, 0, 0, 0, 3],"longest_us":120000}"#;
        assert!(json.contains(turns), "{json}");
        assert!(json.contains(r#""spurious":7,"marked":8}"#), "{json}");
    }

    #[test]
    fn what_is_known_of_ancestors_is_there_with_a_bridge_alone() {
        let mut status = status(None);
        assert!(!to_json(&status).contains("legacy") && !to_text(&status).contains("legacy"));
        status.bridge = Some(BridgeStatus {
            leads: true,
            dropped: 2,
            ancestors: vec![AncestorLine {
                address: "10.0.0.3".parse().unwrap(),
                online: true,
                add_times: Some(4),
                bytes_sent: 5,
                bytes_received: 6,
                rejected: 7,
            }],
        });
        let json = to_json(&status);
        let legacy = r#","legacy":{"leads":true,"dropped":2,"peers":[{"address":"10.0.0.3","connected":true,"add_times":4,"bytes_sent":5,"bytes_received":6,"rejected":7}]}}"#;
        assert!(json.trim_end().ends_with(legacy), "{json}");
        let text = to_text(&status);
        assert!(
            text.contains(
                "10.0.0.3: connected, add_times 4; 5 bytes sent, 6 received, 7 datagrams rejected\n"
            ),
            "{text}"
        );
        assert!(text.contains("2 datagrams for the peers of --legacy dropped"));
    }

    #[test]
    fn what_json_would_misread_is_escaped() {
        let json = to_json(&status(None));
        assert!(
            json.contains(r#""errors":["a \"b\" \\ \u0001\u000a"]"#),
            "{json}"
        );
    }
}
