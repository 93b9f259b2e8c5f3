//! Bytes of the three sealed kinds of datagram and of the two handshake payloads; the layout is in
//! the module documentation of [`super`].

use super::cipher::CipherKind;
use crate::index::entry::IndexId;

/// Bytes of an INITIATION.
pub const INITIATION_LEN: usize = INITIATION_HEADER + EPHEMERAL + INITIATION_PAYLOAD + TAG;
/// Bytes of a RESPONSE; not more than those of the INITIATION that it answers.
pub const RESPONSE_LEN: usize = RESPONSE_HEADER + EPHEMERAL + RESPONSE_PAYLOAD + TAG;
/// Bytes before the text of a SEALED datagram.
pub const SEALED_HEADER: usize = 16;
/// Bytes behind the text.
pub const TAG: usize = 16;
/// Bytes by which a SEALED datagram is longer than its text.
pub const OVERHEAD: usize = SEALED_HEADER + TAG;

pub const INITIATION_HEADER: usize = 8;
pub const RESPONSE_HEADER: usize = 12;
pub const INITIATION_PAYLOAD: usize = 40;
pub const RESPONSE_PAYLOAD: usize = 20;
const EPHEMERAL: usize = 32;

const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const SEALED: u8 = 3;
const VERSION: u8 = 1;

const _: () = assert!(RESPONSE_LEN <= INITIATION_LEN);

/// Which of the three a datagram claims to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatagramKind {
    /// Message 1 of a handshake.
    Initiation,
    /// Message 2 of a handshake.
    Response,
    /// A message under a session.
    Sealed,
}

impl DatagramKind {
    /// By the first byte alone; `None` for anything else.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        match *datagram.first()? {
            INITIATION => Some(Self::Initiation),
            RESPONSE => Some(Self::Response),
            SEALED => Some(Self::Sealed),
            _ => None,
        }
    }
}

/// The prefix of the session that a RESPONSE or SEALED datagram is meant for: which
/// [`super::PeerSessions`] made it. `None` for any other datagram. Nothing is verified yet.
#[must_use]
pub fn receiver_prefix(datagram: &[u8]) -> Option<u8> {
    let at = match DatagramKind::of(datagram)? {
        DatagramKind::Initiation => return None,
        DatagramKind::Response => 8,
        DatagramKind::Sealed => 4,
    };
    datagram.get(at).copied()
}

/// Splits the next `N` bytes off; `None` if there are fewer.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// Writes the next `N` bytes; whole layouts are asserted by the tests, so nothing is ever left over.
fn put<const N: usize>(out: &mut &mut [u8], bytes: [u8; N]) {
    if let Some((head, rest)) = core::mem::take(out).split_first_chunk_mut::<N>() {
        *head = bytes;
        *out = rest;
    }
}

/// The first bytes of an INITIATION.
pub fn initiation_header(sender: u32) -> [u8; INITIATION_HEADER] {
    let mut header = [0; INITIATION_HEADER];
    let mut out = header.as_mut_slice();
    put(&mut out, [INITIATION, VERSION, 0, 0]);
    put(&mut out, sender.to_be_bytes());
    header
}

/// The first bytes of a RESPONSE.
pub fn response_header(sender: u32, receiver: u32) -> [u8; RESPONSE_HEADER] {
    let mut header = [0; RESPONSE_HEADER];
    let mut out = header.as_mut_slice();
    put(&mut out, [RESPONSE, VERSION, 0, 0]);
    put(&mut out, sender.to_be_bytes());
    put(&mut out, receiver.to_be_bytes());
    header
}

/// An INITIATION: its sender's session and Noise message 1. `None` if a fixed byte or the length is
/// another.
pub fn parse_initiation(datagram: &[u8]) -> Option<(u32, &[u8])> {
    if datagram.len() != INITIATION_LEN {
        return None;
    }
    let mut rest = datagram;
    if take(&mut rest)? != [INITIATION, VERSION, 0, 0] {
        return None;
    }
    Some((u32::from_be_bytes(take(&mut rest)?), rest))
}

/// A RESPONSE: its sender's and its receiver's session and Noise message 2.
pub fn parse_response(datagram: &[u8]) -> Option<(u32, u32, &[u8])> {
    if datagram.len() != RESPONSE_LEN {
        return None;
    }
    let mut rest = datagram;
    if take(&mut rest)? != [RESPONSE, VERSION, 0, 0] {
        return None;
    }
    Some((
        u32::from_be_bytes(take(&mut rest)?),
        u32::from_be_bytes(take(&mut rest)?),
        rest,
    ))
}

/// Who speaks: an index, and which connection of its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// The sender's index.
    pub index: IndexId,
    /// Another number for each start of the sender and each time that it gave the connection up.
    pub connection: u32,
}

/// What Noise message 1 tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InitiationPayload {
    /// The initiator.
    pub life: Life,
    /// Whether it has AEGIS-128L, and a processor that is fast at it.
    pub aegis: bool,
    /// Grows with each of its initiations.
    pub counter: u64,
    /// Whom it means, as far as it knows; index 0 if it does not.
    pub receiver: IndexId,
    /// Greatest counter that it accepted from `receiver`; 0 if none.
    pub receiver_counter: u64,
}

/// Bit 1 of the capabilities; the others are ignored.
const CAPABILITY_AEGIS: u32 = 1 << 1;

impl InitiationPayload {
    pub fn emit(&self) -> [u8; INITIATION_PAYLOAD] {
        let mut payload = [0; INITIATION_PAYLOAD];
        let mut out = payload.as_mut_slice();
        put(&mut out, self.life.index.0.to_be_bytes());
        put(&mut out, self.life.connection.to_be_bytes());
        put(
            &mut out,
            if self.aegis { CAPABILITY_AEGIS } else { 0 }.to_be_bytes(),
        );
        put(&mut out, self.counter.to_be_bytes());
        put(&mut out, self.receiver.0.to_be_bytes());
        put(&mut out, self.receiver_counter.to_be_bytes());
        payload
    }

    pub fn parse(payload: &[u8; INITIATION_PAYLOAD]) -> Option<Self> {
        let mut rest = payload.as_slice();
        Some(Self {
            life: parse_life(&mut rest)?,
            aegis: u32::from_be_bytes(take(&mut rest)?) & CAPABILITY_AEGIS != 0,
            counter: u64::from_be_bytes(take(&mut rest)?),
            receiver: IndexId(u64::from_be_bytes(take(&mut rest)?)),
            receiver_counter: u64::from_be_bytes(take(&mut rest)?),
        })
    }
}

fn parse_life(rest: &mut &[u8]) -> Option<Life> {
    Some(Life {
        index: IndexId(u64::from_be_bytes(take(rest)?)),
        connection: u32::from_be_bytes(take(rest)?),
    })
}

/// What Noise message 2 tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponsePayload {
    /// The responder.
    pub life: Life,
    /// Its session, again, because nothing else protects the one in the header.
    pub session: u32,
    /// The cipher of the session.
    pub cipher: CipherKind,
}

impl ResponsePayload {
    pub fn emit(&self) -> [u8; RESPONSE_PAYLOAD] {
        let mut payload = [0; RESPONSE_PAYLOAD];
        let mut out = payload.as_mut_slice();
        put(&mut out, self.life.index.0.to_be_bytes());
        put(&mut out, self.life.connection.to_be_bytes());
        put(&mut out, self.session.to_be_bytes());
        let cipher = match self.cipher {
            CipherKind::ChaCha20Poly1305 => 2,
            CipherKind::Aegis128L => 3,
        };
        put(&mut out, [cipher, 0, 0, 0]);
        payload
    }

    /// `None` for a cipher that this version does not know.
    pub fn parse(payload: &[u8; RESPONSE_PAYLOAD]) -> Option<Self> {
        let mut rest = payload.as_slice();
        let life = parse_life(&mut rest)?;
        let session = u32::from_be_bytes(take(&mut rest)?);
        let cipher = match take::<4>(&mut rest)? {
            [2, ..] => CipherKind::ChaCha20Poly1305,
            [3, ..] => CipherKind::Aegis128L,
            _ => return None,
        };
        Some(Self {
            life,
            session,
            cipher,
        })
    }
}

/// A SEALED datagram in its parts.
#[derive(Debug)]
pub struct Sealed<'d> {
    /// The session of its receiver.
    pub receiver: u32,
    /// Its place among the datagrams of its sender in this session.
    pub counter: u64,
    /// The first bytes as they came: the associated data.
    pub header: [u8; SEALED_HEADER],
    /// Ciphertext; plaintext once opened.
    pub text: &'d mut [u8],
    /// The authentication tag.
    pub tag: [u8; TAG],
}

impl<'d> Sealed<'d> {
    /// `None` if it is too short or a fixed byte is another.
    pub fn parse(datagram: &'d mut [u8]) -> Option<Self> {
        let (header, rest) = datagram.split_first_chunk_mut::<SEALED_HEADER>()?;
        let (text, tag) = rest.split_last_chunk_mut::<TAG>()?;
        let mut fields = header.as_slice();
        if take(&mut fields)? != [SEALED, 0, 0, 0] {
            return None;
        }
        let receiver = u32::from_be_bytes(take(&mut fields)?);
        let counter = u64::from_be_bytes(take(&mut fields)?);
        Some(Self {
            receiver,
            counter,
            header: *header,
            text,
            tag: *tag,
        })
    }
}

/// The first bytes of a SEALED datagram.
pub fn sealed_header(receiver: u32, counter: u64) -> [u8; SEALED_HEADER] {
    let mut header = [0; SEALED_HEADER];
    let mut out = header.as_mut_slice();
    put(&mut out, [SEALED, 0, 0, 0]);
    put(&mut out, receiver.to_be_bytes());
    put(&mut out, counter.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initiation_payload_is_laid_out_as_documented() {
        let payload = InitiationPayload {
            life: Life {
                index: IndexId(0x0102_0304_0506_0708),
                connection: 0x090a_0b0c,
            },
            aegis: true,
            counter: 0x1112_1314_1516_1718,
            receiver: IndexId(0x2122_2324_2526_2728),
            receiver_counter: 0x3132_3334_3536_3738,
        };
        let bytes = payload.emit();
        assert_eq!(
            bytes[..16],
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 2]
        );
        assert_eq!((bytes[16], bytes[24], bytes[39]), (0x11, 0x21, 0x38));
        assert_eq!(InitiationPayload::parse(&bytes), Some(payload));
    }

    #[test]
    fn a_response_payload_is_laid_out_as_documented() {
        let payload = ResponsePayload {
            life: Life {
                index: IndexId(0x0102_0304_0506_0708),
                connection: 0x090a_0b0c,
            },
            session: 0x0d0e_0f10,
            cipher: CipherKind::ChaCha20Poly1305,
        };
        let mut bytes = payload.emit();
        assert_eq!(
            bytes,
            [
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 2, 0, 0, 0
            ]
        );
        assert_eq!(ResponsePayload::parse(&bytes), Some(payload));
        bytes[16] = 3;
        let aegis = ResponsePayload {
            cipher: CipherKind::Aegis128L,
            ..payload
        };
        assert_eq!(aegis.emit(), bytes);
        assert_eq!(ResponsePayload::parse(&bytes), Some(aegis));
        for unknown in [0, 1, 4, 255] {
            bytes[16] = unknown;
            assert_eq!(ResponsePayload::parse(&bytes), None);
        }
    }

    #[test]
    fn headers_carry_their_sessions() {
        assert_eq!(initiation_header(0x0506_0708), [1, 1, 0, 0, 5, 6, 7, 8]);
        assert_eq!(
            response_header(0x0506_0708, 0x090a_0b0c),
            [2, 1, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12]
        );
        let header = sealed_header(0x0506_0708, 0x0901);
        assert_eq!(header, [3, 0, 0, 0, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 9, 1]);
        assert_eq!(receiver_prefix(&header), Some(5));
        assert_eq!(receiver_prefix(&response_header(1, 0x0700_0000)), Some(7));
        assert_eq!(receiver_prefix(&initiation_header(0x0700_0000)), None);
        assert_eq!(receiver_prefix(&[]), None);
    }
}
