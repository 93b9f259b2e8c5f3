//! What peers tell each other of themselves.

use crate::netsim::{Content, Path, Serving, Sim, instant};
use proto_core::engine::{HEARTBEAT, Own};

/// Bytes of the largest content that comes along with its only entry.
const FITS: usize = 981;

fn pair(path: Path) -> Sim {
    let mut sim = Sim::group(1, path, 2);
    sim.connect();
    sim
}

#[test]
fn a_change_is_told_within_milliseconds_and_its_page_comes_along() {
    let mut sim = pair(Path::default());
    let before = sim.net.total();
    sim.change(1, "a");
    let took = sim.until(1, |sim| sim.learned(0, 1) == 1);
    assert!(took.is_some_and(|took| took < 3000), "{took:?}");
    sim.run_ms(10);
    assert!(sim.net.total() - before <= 4, "one announcement each way");
}

/// Adds a file to the journal of host 1, without telling it; its bytes.
fn add_file(sim: &mut Sim, path: &str, seed: u64, size: usize) -> Vec<u8> {
    sim.add_content(seed, size, &[1]);
    let content = Content::new(seed, size);
    sim.host(1).library.change_to(path, content.id, size);
    let mut bytes = vec![0; size];
    content.fill(0, &mut bytes);
    bytes
}

#[test]
fn contents_come_along_while_there_is_room() {
    let mut sim = pair(Path::default());
    let before = sim.net.total();
    let small = add_file(&mut sim, "small", 1, 100);
    // With its entry more than a datagram holds.
    add_file(&mut sim, "large", 2, 1100);
    add_file(&mut sim, "empty", 3, 0);
    let other = add_file(&mut sim, "other", 4, 300);
    sim.tell_change(1);
    let took = sim.until(1, |sim| sim.host(0).brought.len() == 2);
    assert!(took.is_some_and(|took| took < 3000), "{took:?}");
    assert_eq!(sim.host(0).brought, [small, other]);
    sim.run_ms(10);
    assert!(sim.net.total() - before <= 4, "one announcement each way");
}

#[test]
fn the_largest_content_that_fits() {
    // 1,168 bytes of message, 52 of head, 40 of the page's, the entry of a path of one letter, 2 of length.
    for (size, fits) in [(FITS, true), (FITS + 1, false)] {
        let mut sim = pair(Path::default());
        let bytes = add_file(&mut sim, "a", 1, size);
        sim.tell_change(1);
        sim.run_ms(50);
        assert_eq!(sim.learned(0, 1), 1);
        assert_eq!(sim.host(0).brought == [bytes], fits, "{size}");
    }
}

#[test]
fn what_cannot_be_read_does_not_come_along_but_its_entry_does() {
    for serving in [Serving::Gone, Serving::Changed, Serving::NotYet] {
        let mut sim = pair(Path::default());
        sim.host(1).library.serving = serving;
        add_file(&mut sim, "a", 1, 100);
        sim.tell_change(1);
        sim.run_ms(50);
        assert_eq!(sim.learned(0, 1), 1, "{serving:?}");
        assert!(sim.host(0).brought.is_empty(), "{serving:?}");
    }
}

#[test]
fn many_changes_at_once_are_told_in_few_datagrams() {
    let mut sim = pair(Path::default());
    let before = sim.net.total();
    sim.changes(1, 1000);
    let took = sim.until(1, |sim| sim.learned(0, 1) == 1000);
    assert!(took.is_some_and(|took| took < 50_000), "{took:?}");
    // 130 KB of entries in datagrams of 1,452 bytes.
    let datagrams = sim.net.total() - before;
    assert!(datagrams < 170, "{datagrams}");
}

#[test]
fn a_lost_announcement_is_repaired_by_the_next() {
    let mut sim = pair(Path::default());
    let cut = Path {
        cut: true,
        ..Path::default()
    };
    sim.net.set(1, 0, cut);
    sim.change(1, "a");
    sim.run_ms(100);
    sim.net.set(1, 0, Path::default());
    assert_eq!(sim.learned(0, 1), 0);
    let took = sim.until(5, |sim| sim.learned(0, 1) == 1).unwrap();
    assert!(took <= HEARTBEAT.as_micros() as u64 + 10_000, "{took}");
}

#[test]
fn in_sync_is_said_only_when_it_is_so() {
    let mut sim = pair(Path {
        delay: 5000,
        ..Path::default()
    });
    sim.run_ms(2000);
    assert!(sim.host(0).engine.in_sync() && sim.host(1).engine.in_sync());
    sim.change(1, "a");
    assert!(!sim.host(1).engine.in_sync(), "the other has not read it");
    assert!(!sim.host(1).engine.all_have_seen(1));
    sim.run_ms(8);
    assert!(!sim.host(1).engine.in_sync(), "it has not said so yet");
    sim.run_ms(20);
    assert!(sim.host(0).engine.in_sync() && sim.host(1).engine.in_sync());
    assert!(sim.host(1).engine.all_have_seen(1));
    // Who wants something is not in sync.
    let now = instant(sim.now);
    let own = Own {
        pending: 1,
        ..sim.host(0).own
    };
    sim.host(0).engine.set_own(now, own);
    sim.work(0);
    sim.run_ms(20);
    assert!(!sim.host(1).engine.in_sync());
    let own = Own {
        pending: 0,
        busy: true,
        ..own
    };
    let now = instant(sim.now);
    sim.host(0).engine.set_own(now, own);
    sim.work(0);
    sim.run_ms(20);
    assert!(!sim.host(1).engine.in_sync());
    let own = Own { busy: false, ..own };
    let now = instant(sim.now);
    sim.host(0).engine.set_own(now, own);
    sim.work(0);
    sim.run_ms(20);
    assert!(sim.host(1).engine.in_sync());
    sim.kill(0);
    sim.run_ms(10_000);
    assert!(!sim.host(1).engine.in_sync(), "nobody is there");
}

#[test]
fn of_two_bridges_that_are_the_same_one_leads() {
    let mut sim = Sim::group(3, Path::default(), 2);
    // Who is not there may be the one that leads.
    assert_eq!(sim.host(0).engine.is_led(5), None);
    sim.connect();
    sim.run_ms(2000);
    let led = |sim: &mut Sim, bridge| [0, 1].map(|host| sim.host(host).engine.is_led(bridge));
    let tell = |sim: &mut Sim, host: usize, bridge, leads| {
        let now = instant(sim.now);
        let own = Own {
            bridge,
            leads,
            ..sim.host(host).own
        };
        sim.host(host).engine.set_own(now, own);
        sim.work(host);
        sim.run_ms(20);
    };
    assert_eq!(led(&mut sim, 5), [Some(false); 2]);
    for host in [0, 1] {
        tell(&mut sim, host, 5, false);
    }
    // That with the lesser index, and it goes on leading.
    let told = led(&mut sim, 5);
    assert!(
        told.contains(&Some(true)) && told.contains(&Some(false)),
        "{told:?}"
    );
    let first = usize::from(told[0] == Some(true));
    tell(&mut sim, first, 5, true);
    assert_eq!(led(&mut sim, 5), told);
    // The other has led before.
    tell(&mut sim, first, 5, false);
    tell(&mut sim, 1 - first, 5, true);
    assert_ne!(led(&mut sim, 5), told);
    assert_eq!(led(&mut sim, 6), [Some(false); 2]);
    tell(&mut sim, 1 - first, 0, false);
    assert_eq!(led(&mut sim, 5)[first], Some(false));
}
