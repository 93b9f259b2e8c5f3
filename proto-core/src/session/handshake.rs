//! One handshake, `Noise_NNpsk0`, from both sides:
//!
//! ```text
//! -> psk, e         + payload: the group key alone opens it, before any public-key work
//! <- e, ee          + payload
//! ```
//!
//! The INITIATION's header is part of the prologue; of the RESPONSE's header the receiver's session
//! selects the handshake, and the sender's session is repeated in the payload.

use super::cipher::CipherKind;
use super::dropped::Dropped;
use super::entropy::Entropy;
use super::framing::{
    INITIATION_HEADER, INITIATION_LEN, INITIATION_PAYLOAD, InitiationPayload, Life, RESPONSE_LEN,
    RESPONSE_PAYLOAD, ResponsePayload, initiation_header, parse_initiation, parse_response,
    response_header,
};
use super::noise::Handshake;
use super::secret::Secret;
use noise_protocol::patterns::noise_nn_psk0;

/// What both prologues begin with: protocol and version.
const PROTOCOL: &[u8; 10] = b"tinypeer 1";

/// Keys of a session as seen from one side.
#[derive(Debug)]
pub struct SessionKeys {
    /// What both seal with.
    pub cipher: CipherKind,
    /// Seals what this side sends.
    pub send: Secret,
    /// Opens what this side receives.
    pub receive: Secret,
}

/// A fresh Noise state that has the prologue and the group key.
fn begin(
    key: &[u8; 32],
    initiator: bool,
    header: [u8; INITIATION_HEADER],
    ephemeral: Option<Secret>,
) -> Handshake {
    let mut prologue = [0; PROTOCOL.len() + INITIATION_HEADER];
    if let Some((protocol, rest)) = prologue.split_first_chunk_mut() {
        *protocol = *PROTOCOL;
        rest.copy_from_slice(&header);
    }
    let mut noise = Handshake::new(
        noise_nn_psk0(),
        initiator,
        prologue,
        None,
        ephemeral,
        None,
        None,
    );
    noise.push_psk(key);
    noise
}

/// An INITIATION that was sent and waits for its RESPONSE.
pub struct ExpectResponse {
    /// Our session, should it come to be.
    pub local: u32,
    noise: Handshake,
}

impl ExpectResponse {
    /// Writes an INITIATION for our session `local` to `out`. `ephemeral` must be fresh.
    pub fn initiate(
        key: &[u8; 32],
        local: u32,
        ephemeral: Secret,
        payload: &InitiationPayload,
        out: &mut [u8; INITIATION_LEN],
    ) -> Option<Self> {
        let header = initiation_header(local);
        let mut noise = begin(key, true, header, Some(ephemeral));
        let (head, message) = out.split_first_chunk_mut()?;
        *head = header;
        noise.write_message(&payload.emit(), message).ok()?;
        Some(Self { local, noise })
    }

    /// Takes the RESPONSE: its sender's session and life, and the keys. A wrong one changes nothing,
    /// so the right one may still come.
    pub fn complete(&self, datagram: &[u8]) -> Result<(ResponsePayload, SessionKeys), Dropped> {
        let (sender, receiver, message) = parse_response(datagram).ok_or(Dropped::Malformed)?;
        if receiver != self.local {
            return Err(Dropped::UnknownSession);
        }
        let mut noise = self.noise.clone();
        let mut payload = [0; RESPONSE_PAYLOAD];
        noise
            .read_message(message, &mut payload)
            .map_err(|_| Dropped::BadTag)?;
        let payload = ResponsePayload::parse(&payload).ok_or(Dropped::Malformed)?;
        if payload.session != sender {
            return Err(Dropped::BadTag);
        }
        let (ours, theirs) = noise.get_ciphers();
        let keys = SessionKeys {
            cipher: payload.cipher,
            send: ours.extract().0,
            receive: theirs.extract().0,
        };
        Ok((payload, keys))
    }
}

/// An INITIATION that was received and verified and is owed a RESPONSE.
pub struct OweResponse {
    /// What the initiator told.
    pub payload: InitiationPayload,
    /// The initiator's session.
    pub remote: u32,
    noise: Handshake,
}

impl OweResponse {
    /// Verifies an INITIATION with the group key alone: hashing and one tag, no curve. The ephemeral
    /// key of the answer is drawn here because Noise takes it at the start; its public half is
    /// computed by [`Self::respond`].
    pub fn accept(key: &[u8; 32], entropy: &mut Entropy, datagram: &[u8]) -> Result<Self, Dropped> {
        let (remote, message) = parse_initiation(datagram).ok_or(Dropped::Malformed)?;
        let mut noise = begin(
            key,
            false,
            initiation_header(remote),
            Some(entropy.secret()),
        );
        let mut payload = [0; INITIATION_PAYLOAD];
        noise
            .read_message(message, &mut payload)
            .map_err(|_| Dropped::BadTag)?;
        let payload = InitiationPayload::parse(&payload).ok_or(Dropped::Malformed)?;
        Ok(Self {
            payload,
            remote,
            noise,
        })
    }

    /// Writes the RESPONSE for our session `local` to `out` and gives the keys. `None` if the
    /// initiator's public key is one of the few that give no secret.
    pub fn respond(
        mut self,
        local: u32,
        life: Life,
        cipher: CipherKind,
        out: &mut [u8; RESPONSE_LEN],
    ) -> Option<SessionKeys> {
        let (head, message) = out.split_first_chunk_mut()?;
        *head = response_header(local, self.remote);
        let payload = ResponsePayload {
            life,
            session: local,
            cipher,
        };
        self.noise.write_message(&payload.emit(), message).ok()?;
        let (theirs, ours) = self.noise.get_ciphers();
        Some(SessionKeys {
            cipher,
            send: ours.extract().0,
            receive: theirs.extract().0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise::{Blake2s, ChaChaPoly, X25519};
    use super::*;
    use crate::index::entry::IndexId;
    use core::sync::atomic::{AtomicU32, Ordering};
    use noise_protocol::{DH, HandshakeState};

    const PAYLOAD: InitiationPayload = InitiationPayload {
        life: Life {
            index: IndexId(1),
            connection: 2,
        },
        aegis: true,
        counter: 3,
        receiver: IndexId(0),
        receiver_counter: 0,
    };

    /// The real curve, counted.
    enum Counted {}

    static CURVE_OPERATIONS: AtomicU32 = AtomicU32::new(0);

    impl DH for Counted {
        type Key = Secret;
        type Pubkey = [u8; 32];
        type Output = Secret;
        fn name() -> &'static str {
            X25519::name()
        }
        fn genkey() -> Secret {
            X25519::genkey()
        }
        fn pubkey(key: &Secret) -> [u8; 32] {
            CURVE_OPERATIONS.fetch_add(1, Ordering::Relaxed);
            X25519::pubkey(key)
        }
        fn dh(key: &Secret, theirs: &[u8; 32]) -> Result<Secret, ()> {
            CURVE_OPERATIONS.fetch_add(1, Ordering::Relaxed);
            X25519::dh(key, theirs)
        }
    }

    #[test]
    fn message_1_is_judged_before_any_public_key_work() {
        let mut datagram = [0; INITIATION_LEN];
        ExpectResponse::initiate(&[1; 32], 7, Secret([9; 32]), &PAYLOAD, &mut datagram).unwrap();
        for (key, opens) in [([1; 32], true), ([2; 32], false)] {
            let mut prologue = [0; 18];
            prologue[..10].copy_from_slice(PROTOCOL);
            prologue[10..].copy_from_slice(&datagram[..8]);
            let ephemeral = Some(Secret([5; 32]));
            let mut noise = HandshakeState::<Counted, ChaChaPoly, Blake2s>::new(
                noise_nn_psk0(),
                false,
                prologue,
                None,
                ephemeral,
                None,
                None,
            );
            noise.push_psk(&key);
            let mut payload = [0; INITIATION_PAYLOAD];
            assert_eq!(
                noise.read_message(&datagram[8..], &mut payload).is_ok(),
                opens
            );
        }
        assert_eq!(CURVE_OPERATIONS.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn both_sides_get_the_same_keys_and_a_forgotten_ephemeral_fails_closed() {
        let mut entropy = Entropy::new(&[0; 32]);
        let (mut first, mut second) = ([0; INITIATION_LEN], [0; RESPONSE_LEN]);
        let expect =
            ExpectResponse::initiate(&[1; 32], 7, entropy.secret(), &PAYLOAD, &mut first).unwrap();
        let owed = OweResponse::accept(&[1; 32], &mut entropy, &first).unwrap();
        assert_eq!((owed.remote, owed.payload), (7, PAYLOAD));
        let life = Life {
            index: IndexId(4),
            connection: 5,
        };
        let theirs = owed
            .respond(8, life, CipherKind::Aegis128L, &mut second)
            .unwrap();
        let (payload, ours) = expect.complete(&second).unwrap();
        assert_eq!(
            payload,
            ResponsePayload {
                life,
                session: 8,
                cipher: CipherKind::Aegis128L
            }
        );
        assert_eq!(
            (ours.send.0, ours.receive.0),
            (theirs.receive.0, theirs.send.0)
        );
        assert_ne!(ours.send.0, ours.receive.0);
        assert!(X25519::dh(&X25519::genkey(), &[9; 32]).is_err());
        assert!(
            X25519::dh(&Secret([1; 32]), &[0; 32]).is_err(),
            "a point of small order"
        );
    }
}
