//! IP_MTU_DISCOVER: whether the kernel may send a datagram in fragments. Our own are probed for their length
//! and never are; a block for an ancestor is 14 fragments on Ethernet.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Lets datagrams over IPv4 go in fragments, or (as quinn-udp sets it) never.
///
/// # Errors
/// Those of setsockopt.
pub fn allow_fragments(socket: impl AsFd, allow: bool) -> io::Result<()> {
    let value: libc::c_int = if allow {
        libc::IP_PMTUDISC_DONT
    } else {
        libc::IP_PMTUDISC_PROBE
    };
    let len = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the pointer and length are those
    // of `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            std::ptr::from_ref(&value).cast(),
            len,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
