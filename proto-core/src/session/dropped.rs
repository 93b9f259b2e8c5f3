//! Why a datagram was dropped. None of these is answered.

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
    /// An INITIATION of the connected peer that was meant for another, or for whoever is here: that one is
    /// remembered, so it is never answered.
    NotForUs,
    /// An INITIATION of this program: from an address that sends back what it gets (then
    /// [`super::PeerSessions::is_echo`]) or thrown at us by a stranger who kept it.
    Ourselves,
    /// A handshake message with our index id that is not of this program: of an earlier start of ours,
    /// or of a copy of our index; which of them, a RESPONSE tells ([`super::PeerSessions::met_copy`]).
    SameIndex,
    /// A RESPONSE that chose a cipher that we did not offer, or the first datagram under one that is not here.
    Cipher,
}
