//! Why a datagram was dropped. None of these is answered; they are for counters and logs.

/// Why a datagram had no effect. Where it had one after all, the variant says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Dropped {
    /// A length, a fixed byte or a code point is not of this protocol.
    Malformed,
    /// It names a session that is not here, or no longer.
    UnknownSession,
    /// Its session is older than [`super::REJECT_AFTER`].
    Expired,
    /// Its counter was received before, or is too far behind to know.
    Replayed,
    /// It was not sealed with our key, or was changed on its way: a stranger, or another group.
    BadTag,
    /// An INITIATION whose counter is not greater than one that was accepted: a replay, or a peer
    /// whose clock went back. (What it tells of our own counter is still believed.)
    OldInitiation,
    /// An INITIATION of the connected peer that was meant for another.
    NotForUs,
    /// An INITIATION with our own index: our own one, from a peer that is ourselves (then
    /// [`super::PeerSessions::is_self`]) or thrown back by a stranger.
    Ourselves,
    /// A handshake message of another program that has the same index id: a copied folder of ours.
    SameIndex,
    /// A RESPONSE that chose a cipher that we did not offer.
    Cipher,
}
