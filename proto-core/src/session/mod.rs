//! Sessions: the security between two peers that hold one 32-byte group key.
//!
//! A session starts with a handshake, `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s` (Noise Protocol
//! Framework, revision 34); every datagram after it is sealed. Without the group key a datagram
//! changes nothing and is not answered. A key that was seen once opens nothing older: the keys of a
//! session come from ephemeral keys, live for [`REJECT_AFTER`] at most and are erased.
//!
//! # The wire
//! All numbers are big-endian. Sessions are named by their receiver; the first byte of a name is the
//! prefix of the [`PeerSessions`] that chose it.
//!
//! | INITIATION, 96 bytes | | RESPONSE, 80 bytes | | SEALED | |
//! |---|---|---|---|---|---|
//! | type = 1 | u8 | type = 2 | u8 | type = 3 | u8 |
//! | version = 1 | u8 | version = 1 | u8 | zero | 3 bytes |
//! | zero | u16 | zero | u16 | receiver's session | u32 |
//! | sender's session | u32 | sender's session | u32 | counter | u64 |
//! | Noise message 1 | 88 bytes | receiver's session | u32 | ciphertext | any |
//! | | | Noise message 2 | 68 bytes | tag | 16 bytes |
//!
//! The prologue of the handshake is `tinypeer 1` and the first 8 bytes of the INITIATION. The first 16
//! bytes of a SEALED datagram are its associated data, its nonce is zero bytes and the counter. A
//! Noise message is an ephemeral public key (32 bytes), the sealed payload and a tag (16 bytes):
//!
//! | payload of message 1, 40 bytes | | payload of message 2, 20 bytes | |
//! |---|---|---|---|
//! | index id of the sender | u64 | index id of the sender | u64 |
//! | connection of the sender | u32 | connection of the sender | u32 |
//! | capabilities: bit 1 AEGIS-128L | u32 | sender's session, as in the header | u32 |
//! | counter | u64 | cipher: 2 ChaCha20-Poly1305, 3 AEGIS-128L | u8 |
//! | index id of the receiver, 0: not known | u64 | ignored | 3 bytes |
//! | greatest counter accepted from it | u64 | | |
//!
//! *Connection* is a number that is random at the start of a program and one greater each time that
//! it gave the peer up: so each side sees when the other began anew ([`PeerSessions::incarnation`]).
//!
//! # The life of a session
//! 1. Not connected: INITIATIONs, at once and then ever slower, every two seconds in the end.
//! 2. The responder accepts an INITIATION only if its counter is greater than any that it accepted
//!    from that index, so a replay has no answer. It answers and holds the new session *unconfirmed*.
//! 3. The initiator takes the RESPONSE and sends under the session at once.
//! 4. What arrives under an unconfirmed session confirms it: only now the responder sends under it,
//!    and only now it may displace another.
//! 5. After [`REKEY_AFTER`] its initiator begins again, after [`RESPONDER_WAITS`] more its responder;
//!    the old one is still good for receiving. After [`REJECT_AFTER`] it is good for nothing.
//! 6. After [`DEAD_AFTER`] without anything valid all of it is dropped, and 1 follows.
//!
//! # What is not hidden or prevented
//! That two peers talk, when and how much. Whoever is between them can delay and drop. A member of the
//! group can pass for any other, since all hold the same key.
//!
//! The state has a fixed size: `size_of::<PeerSessions>()` bytes for each peer, 5.3 KB on x86-64.

mod cipher;
mod dropped;
mod entropy;
mod established;
mod framing;
mod handshake;
mod initiation_memory;
mod liveness;
mod noise;
mod peer_sessions;
mod replay_window;
mod seal;
mod secret;
#[cfg(test)]
mod tests;

pub use cipher::{CipherKey, CipherKind, PureRust};
pub use dropped::Dropped;
pub use entropy::Entropy;
pub use framing::{
    DatagramKind, INITIATION_LEN, OVERHEAD, RESPONSE_LEN, SEALED_HEADER, TAG, receiver_prefix,
};
pub use initiation_memory::Seen;
pub use liveness::{
    DEAD_AFTER, REJECT_AFTER, REKEY_AFTER, REKEY_AFTER_DATAGRAMS, RESPONDER_WAITS,
    RETRY_AFTER_CLOSE, RETRY_ECHO,
};
pub use peer_sessions::{Config, Incoming, PeerSessions, SealError};
pub use replay_window::REPLAY_WINDOW;
