//! sync_file_range(2): write dirty pages before a flush has to.

use std::os::fd::{AsFd, AsRawFd};

/// Asks the kernel to begin writing `len` bytes from `offset` to the disk. Only a hint: it promises
/// nothing about durability, and every failure (a file system that cannot, a range out of bounds)
/// is silent. Zero bytes are no range (to the kernel they would mean "to the end").
pub fn start_writeback(file: impl AsFd, offset: u64, len: u64) {
    sync_range(file, offset, len, libc::SYNC_FILE_RANGE_WRITE);
}

/// The same, and waits until they are written, those too that were being written before.
pub fn write_out(file: impl AsFd, offset: u64, len: u64) {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, offset, len, flags);
}

fn sync_range(file: impl AsFd, offset: u64, len: u64, flags: libc::c_uint) {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return;
    };
    if len == 0 {
        return;
    }
    // SAFETY: the call takes no pointers, and the descriptor is open for as long as `file` is borrowed.
    let _hint = unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), offset, len, flags) };
}
