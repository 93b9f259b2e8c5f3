//! Send errors that stay: a firewall of this machine, a network that is down. A datagram that is lost
//! now and then is repaired and not worth a word.

use proto_core::limits::MAX_PEERS;
use proto_core::time::{Duration, Instant};
use std::io;
use std::net::SocketAddr;

/// Nothing got out to a peer for so long: it is told.
const STAYS: Duration = Duration::from_secs(3);

/// What is to be told of the way to a peer.
#[derive(PartialEq, Eq, Debug)]
pub enum News {
    /// Nothing gets out to it, and why: a sentence.
    Begins(String),
    /// Something has got out again.
    Ends,
}

#[derive(Debug)]
struct Failing {
    to: SocketAddr,
    since: Instant,
    told: bool,
}

/// The peers to which sending fails.
#[derive(Debug, Default)]
pub struct SendErrors {
    failing: [Option<Failing>; MAX_PEERS],
}

impl SendErrors {
    /// Takes note of how sending to a peer ended.
    pub fn note(
        &mut self,
        now: Instant,
        to: SocketAddr,
        error: Option<&io::Error>,
    ) -> Option<News> {
        let place = self
            .failing
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|failing| failing.to == to));
        let Some(error) = error else {
            let ended = self.failing.get_mut(place?)?.take()?;
            return ended.told.then_some(News::Ends);
        };
        // A datagram that was too long for the way tells nothing of the others.
        if error.raw_os_error() == Some(libc::EMSGSIZE) {
            return None;
        }
        let Some(place) = place else {
            let free = self.failing.iter_mut().find(|slot| slot.is_none())?;
            *free = Some(Failing {
                to,
                since: now,
                told: false,
            });
            return None;
        };
        let failing = self.failing.get_mut(place)?.as_mut()?;
        if failing.told || now.saturating_since(failing.since) < STAYS {
            return None;
        }
        failing.told = true;
        let what_to_do = what_to_do(error);
        Some(News::Begins(format!(
            "nothing can be sent to {to}: {error}; {what_to_do}"
        )))
    }
}

fn what_to_do(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "a firewall of this machine forbids it",
        Some(libc::EINVAL | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT) => {
            "it cannot be reached from the address of --listen"
        }
        Some(libc::ENOBUFS | libc::ENOMEM) => "this machine is short of memory",
        _ => "this machine has no way to it: look at its network",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn peer(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 22001))
    }

    fn error(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    #[test]
    fn an_error_that_stays_is_told_once_and_its_end_too() {
        let mut errors = SendErrors::default();
        let forbidden = error(libc::EPERM);
        assert_eq!(errors.note(at(0), peer(1), Some(&forbidden)), None);
        assert_eq!(errors.note(at(2), peer(1), Some(&forbidden)), None);
        let Some(News::Begins(sentence)) = errors.note(at(4), peer(1), Some(&forbidden)) else {
            panic!("not told");
        };
        assert!(
            sentence.contains("10.0.0.1:22001") && sentence.contains("firewall"),
            "{sentence}"
        );
        assert_eq!(errors.note(at(9), peer(1), Some(&forbidden)), None);
        assert_eq!(errors.note(at(9), peer(2), None), None);
        assert_eq!(errors.note(at(10), peer(1), None), Some(News::Ends));
        assert_eq!(errors.note(at(11), peer(1), None), None);
    }

    #[test]
    fn what_is_lost_now_and_then_is_not_told() {
        let mut errors = SendErrors::default();
        for second in 0..20 {
            let lost = error(libc::ENOBUFS);
            assert_eq!(errors.note(at(second), peer(1), Some(&lost)), None);
            assert_eq!(errors.note(at(second), peer(1), None), None);
            // Too long, again and again: how the size of datagrams is found.
            let long = error(libc::EMSGSIZE);
            assert_eq!(errors.note(at(second), peer(2), Some(&long)), None);
        }
    }

    #[test]
    fn each_peer_has_a_place_and_more_are_not_noted() {
        let mut errors = SendErrors::default();
        let down = error(libc::ENETUNREACH);
        for host in 0..20 {
            assert_eq!(errors.note(at(0), peer(host), Some(&down)), None);
        }
        let told = (0..20)
            .filter(|host| errors.note(at(5), peer(*host), Some(&down)).is_some())
            .count();
        assert_eq!(told, MAX_PEERS);
    }
}
