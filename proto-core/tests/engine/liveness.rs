//! Heartbeats, and peers that come and go.

use crate::netsim::{KEY, MB, Member, Path, Random, SECOND, Sim, index_of};
use proto_core::engine::Event;
use proto_core::session::{DEAD_AFTER, RETRY_AFTER_CLOSE};

fn pair(path: Path) -> Sim {
    let mut sim = Sim::group(1, path, 2);
    sim.connect();
    sim
}

#[test]
fn idle_engines_exchange_heartbeats_and_little_else() {
    let mut sim = pair(Path::default());
    let before = sim.net.total();
    sim.run_ms(300_000);
    let datagrams = sim.net.total() - before;
    // 300 each way, and what a new session takes every two minutes.
    assert!((600..620).contains(&datagrams), "{datagrams}");
    let events = &sim.host(0).events;
    assert!(
        !events
            .iter()
            .any(|(_, event)| matches!(event, Event::Disconnected { .. }))
    );
}

#[test]
fn a_restarted_peer_is_back_within_milliseconds_and_pulls_go_on() {
    let mut sim = Sim::group(1, Path::of_rate(100, 1000, 0), 2);
    let wants = sim.add_content(1, 10 * MB, &[1]);
    sim.connect();
    sim.host(0).persistent = true;
    sim.want(0, &wants);
    sim.run_ms(300);
    let before = sim.host(0).done.len();
    assert!(before > 0 && before < wants.len());
    sim.kill(1);
    sim.run_ms(100);
    let again = sim.now;
    sim.restart(1, &[0]);
    let all = wants.len();
    let took = sim.until(10, |sim| sim.host(0).done.len() == all);
    assert!(took.is_some_and(|took| took < SECOND), "{took:?}");
    let connected = (sim.host(0).events.iter())
        .find(|(at, event)| *at >= again && matches!(event, Event::Connected { .. }))
        .unwrap();
    assert!(connected.0 - again < 5000, "{}", connected.0 - again);
}

#[test]
fn who_says_goodbye_is_gone_at_once_and_welcome_again() {
    let mut sim = pair(Path::default());
    sim.leave(1);
    sim.run_ms(2);
    assert!(!sim.is_connected(0, 1));
    sim.run_ms(5000);
    sim.restart(1, &[0]);
    let took = sim.until(5, |sim| sim.is_connected(0, 1) && sim.is_connected(1, 0));
    assert!(took.is_some_and(|took| took < 10_000), "{took:?}");
    assert_eq!(RETRY_AFTER_CLOSE.as_micros() as u64, SECOND);
}

#[test]
fn who_is_silent_is_gone_after_some_heartbeats() {
    let mut sim = pair(Path::default());
    sim.kill(1);
    let took = sim.until(10, |sim| !sim.is_connected(0, 1)).unwrap();
    let dead = DEAD_AFTER.as_micros() as u64;
    assert!((dead - SECOND..=dead).contains(&took), "{took}");
}

#[test]
fn nothing_is_sent_to_strangers() {
    let mut sim = Sim::new(1, Path::default());
    let host = sim.add_host([1]);
    // Configured, but without the group key; and not configured, with it.
    for key in [[9; 32], KEY] {
        let quiet =
            Box::new(|_: proto_core::time::Instant, _: &proto_core::wire::Message<'_>| Vec::new());
        sim.add_member(Member::new(host, index_of(1), key, quiet));
    }
    sim.connect();
    sim.run_ms(10_000);
    assert_eq!(sim.net.count(host, 2).datagrams, 0);
    assert_eq!(sim.member(1).sealed, 0);
    // Our own initiations: after 0.25, 0.5, 1 and then every 2 seconds.
    assert!(sim.member(1).received < 12, "{}", sim.member(1).received);
    assert!(!sim.is_connected(host, 1));
    // Noise has no answer either.
    let before = sim.net.count(host, 1).datagrams;
    let mut random = Random(1);
    for len in 0..1500 {
        let mut noise: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        sim.deliver(1, host, &mut noise);
    }
    assert_eq!(sim.net.count(host, 1).datagrams, before);
}
