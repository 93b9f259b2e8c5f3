//! When a file came to be, as far as the file system keeps it.

use super::Birth;
use super::real_file::unsigned;
use rustix::fs::{AtFlags, StatxFlags, statat, statx};
use std::io;
use std::os::fd::AsFd;

/// The birth of a name in a directory: its time of birth, which no copy has. Where the file system keeps
/// none (tmpfs on old kernels, NFS), its inode number and this start of the machine: such a file may be
/// one that was put back at the start.
///
/// # Errors
/// Those of statx(2).
pub fn birth(directory: impl AsFd, name: &[u8]) -> io::Result<Birth> {
    let wanted = StatxFlags::BTIME | StatxFlags::INO;
    if let Ok(found) = statx(&directory, name, AtFlags::SYMLINK_NOFOLLOW, wanted)
        && found.stx_mask & StatxFlags::BTIME.bits() != 0
    {
        let seconds = found.stx_btime.tv_sec.to_be_bytes();
        let nanoseconds = u64::from(found.stx_btime.tv_nsec).to_be_bytes();
        return Ok(joined(seconds, nanoseconds));
    }
    let inode = unsigned(statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino);
    Ok(joined(inode.to_be_bytes(), machine_start()))
}

fn joined(first: [u8; 8], second: [u8; 8]) -> Birth {
    let mut both = [0; 16];
    let (low, high) = both.split_at_mut(8);
    low.copy_from_slice(&first);
    high.copy_from_slice(&second);
    Birth(both)
}

/// The beginning of the random name that Linux gives to each start of the machine; zeros without /proc.
fn machine_start() -> [u8; 8] {
    let name = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    name.first_chunk().copied().unwrap_or_default()
}
