//! A fuzz body: whatever a stranger sends, a session between two honest peers goes on.

use proto_core::index::entry::IndexId;
use proto_core::session::{
    Config, Dropped, Entropy, INITIATION_LEN, Incoming, OVERHEAD, PeerSessions, SEALED_HEADER,
};
use proto_core::time::{Duration, Instant};

/// Most datagrams taken from one input, so that a run stays short.
const MOST_DATAGRAMS: usize = 256;

struct Side {
    sessions: PeerSessions,
    config: Config,
    entropy: Entropy,
}

impl Side {
    fn new(number: u8) -> Self {
        Self {
            sessions: PeerSessions::new(number, 1, None),
            config: Config {
                key: [0x42; 32],
                index_id: IndexId(u64::from(number) + 1),
                boot_id: 1,
                aegis: false,
            },
            entropy: Entropy::new(&[number; 32]),
        }
    }

    fn receive<'d>(
        &mut self,
        now: Instant,
        datagram: &'d mut [u8],
    ) -> Result<Incoming<'d>, Dropped> {
        self.sessions
            .handle_datagram(now, &self.config, &mut self.entropy, datagram)
    }

    /// Hands all that this side wants to send to the other.
    fn transmit_to(&mut self, now: Instant, other: &mut Self) -> usize {
        let mut out = [0; INITIATION_LEN];
        let mut sent = 0;
        while let Some(len) =
            self.sessions
                .poll_transmit(now, &self.config, &mut self.entropy, &mut out)
        {
            sent += 1;
            if let Some(datagram) = out.get_mut(..len) {
                let _ = other.receive(now, datagram);
            }
        }
        sent
    }
}

/// Splits `data` into datagrams, gives them to one side of an established pair, and asserts that none
/// is accepted or answered and that the pair still talks. Each begins with two bytes: its length (at
/// most what is left), and how many of its first bytes are those of a true datagram (modulo 17), so that
/// the input gets behind the names of the sessions.
///
/// # Panics
/// If a stranger's bytes had any effect.
pub fn hostile_session(data: &[u8]) {
    let now = Instant::from_micros(1_000_000);
    let (mut honest, mut target) = (Side::new(0), Side::new(1));
    for _ in 0..3 {
        honest.transmit_to(now, &mut target);
        target.transmit_to(now, &mut honest);
    }
    assert!(honest.sessions.is_connected() && target.sessions.is_connected());
    let mut genuine = seal(&mut honest, now, b"genuine");
    let before = (
        target.sessions.poll_timeout(),
        target.sessions.incarnation(),
    );

    let mut rest = data;
    for _ in 0..MOST_DATAGRAMS {
        let Some((&[len, copied], behind)) = rest.split_first_chunk::<2>() else {
            break;
        };
        let (bytes, behind) = behind
            .split_at_checked(usize::from(len))
            .unwrap_or((behind, &[]));
        rest = behind;
        let mut datagram = bytes.to_vec();
        let start = genuine
            .iter()
            .take(usize::from(copied) % (SEALED_HEADER + 1));
        datagram
            .iter_mut()
            .zip(start)
            .for_each(|(byte, copied)| *byte = *copied);
        // Only the genuine one itself is sealed with the key.
        if datagram != genuine {
            assert!(target.receive(now, &mut datagram).is_err());
        }
        assert_eq!(target.transmit_to(now, &mut honest), 0);
    }

    assert_eq!(
        before,
        (
            target.sessions.poll_timeout(),
            target.sessions.incarnation()
        )
    );
    assert!(
        matches!(target.receive(now, &mut genuine), Ok(Incoming::Message(text)) if text == b"genuine")
    );
    let later = now + Duration::from_secs(1);
    let mut answer = seal(&mut target, later, b"answer");
    assert!(
        matches!(honest.receive(later, &mut answer), Ok(Incoming::Message(text)) if text == b"answer")
    );
}

/// A sealed message of `side`.
fn seal(side: &mut Side, now: Instant, text: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; SEALED_HEADER];
    datagram.extend_from_slice(text);
    datagram.resize(text.len() + OVERHEAD, 0);
    let len = side.sessions.seal(now, &mut datagram, text.len());
    assert_eq!(len, Ok(datagram.len()));
    datagram
}

#[cfg(test)]
mod tests {
    use super::hostile_session;

    #[test]
    fn empty_short_and_plain_inputs() {
        hostile_session(&[]);
        hostile_session(&[1]);
        for byte in 0..=255 {
            hostile_session(&[byte; 700]);
        }
    }

    #[test]
    fn pseudorandom_inputs() {
        let mut state = 0x1234_5678_9abc_def1_u64;
        for len in 0..500 {
            let mut data = Vec::with_capacity(len * 8);
            for _ in 0..len {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                data.extend_from_slice(&state.to_be_bytes());
            }
            hostile_session(&data);
        }
    }
}
