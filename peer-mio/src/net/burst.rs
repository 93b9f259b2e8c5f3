//! Cutting a run of datagrams into bursts that the kernel takes in one call, and getting on when it
//! does not.

use std::io;

/// Largest UDP payload over IPv4 in bytes; a burst for segmentation offload has to fit too.
const MAX_BURST: usize = 65_507;

/// What takes bursts: the kernel, or a test.
pub(super) trait Sender {
    /// Most datagrams that one call may carry now; 1 without segmentation offload.
    fn max_segments(&self) -> usize;
    /// One call with datagrams of `segment_size` bytes, the last one shorter or not; with one
    /// datagram where `segment_size` is `None`.
    fn send(&mut self, burst: &[u8], segment_size: Option<usize>) -> io::Result<()>;
}

/// How far a run of datagrams came.
#[derive(Debug)]
pub(super) struct Progress {
    /// Bytes from the start that need not be sent again.
    pub taken: usize,
    /// The error of the last datagram that was lost on the way.
    pub lost: Option<io::Error>,
    /// Why it stopped before the end, if it did.
    pub stopped: Option<io::Error>,
}

/// Sends datagrams of `segment_size` bytes (the last one may be shorter). Stops at `WouldBlock` and
/// at errors that speak of the socket; those that speak of one datagram or of the way to the peer
/// count as loss.
pub(super) fn send_all(
    sender: &mut impl Sender,
    datagrams: &[u8],
    segment_size: usize,
) -> Progress {
    let segment_size = segment_size.clamp(1, MAX_BURST);
    let mut progress = Progress {
        taken: 0,
        lost: None,
        stopped: None,
    };
    // Bytes that are sent one by one, because the kernel refused them as a burst.
    let mut singly = 0_usize;
    while let Some(rest) = datagrams
        .get(progress.taken..)
        .filter(|rest| !rest.is_empty())
    {
        let most = sender.max_segments().min(MAX_BURST / segment_size).max(1);
        let segments = if singly > 0 { 1 } else { most };
        let burst = rest
            .get(..segments.saturating_mul(segment_size))
            .unwrap_or(rest);
        let several = burst.len() > segment_size;
        let lost = match sender.send(burst, several.then_some(segment_size)) {
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                progress.stopped = Some(error);
                return progress;
            }
            // Offload fails in mid-life on some adapters (EIO, EINVAL), or the path became narrower
            // than a segment (EMSGSIZE, EINVAL): nothing of the burst has left, so it goes again
            // without offload. No later burst suffers for it unless the sender says so.
            Err(error) if several && !is_unreachable(&error) => {
                singly = burst.len();
                continue;
            }
            Err(error) if is_loss(&error) => Some(error),
            Err(error) => {
                progress.stopped = Some(error);
                return progress;
            }
        };
        progress.lost = lost.or(progress.lost);
        progress.taken += burst.len();
        singly = singly.saturating_sub(burst.len());
    }
    progress
}

/// Whether an error speaks of one datagram, its destination or the network of the moment; a later
/// one may get through, and what is lost is asked for again.
pub(super) fn is_loss(error: &io::Error) -> bool {
    is_unreachable(error)
        || error.raw_os_error().is_some_and(|errno| {
            matches!(
                errno,
                libc::EMSGSIZE
                    | libc::ENOBUFS
                    | libc::ENOMEM
                    | libc::EINVAL
                    | libc::EIO
                    | libc::EOPNOTSUPP
            )
        })
}

/// Whether no datagram at all gets to the destination for now: it is away, there is no route, a
/// firewall forbids it, or an ICMP message about an earlier datagram came back.
fn is_unreachable(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|errno| {
        matches!(
            errno,
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENETUNREACH
                | libc::ENETDOWN
                | libc::ENONET
                | libc::EPERM
                | libc::EACCES
                | libc::EADDRNOTAVAIL
                | libc::EAFNOSUPPORT
                | libc::EPROTO
                | libc::ENOPROTOOPT
        )
    })
}
