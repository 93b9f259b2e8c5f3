//! sync_file_range(2): begin to write dirty pages without waiting for them.

use std::os::fd::{AsFd, AsRawFd};

/// Asks the kernel to begin writing `len` bytes from `offset` to the disk. Only a hint: it promises
/// nothing about durability, and every failure (a file system that cannot, a range out of bounds)
/// is silent. Zero bytes are no range (to the kernel they would mean "to the end").
pub fn start_writeback(file: impl AsFd, offset: u64, len: u64) {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return;
    };
    if len == 0 {
        return;
    }
    // SAFETY: the call takes no pointers, and the descriptor is open for as long as `file` is borrowed.
    let _hint = unsafe {
        libc::sync_file_range(
            file.as_fd().as_raw_fd(),
            offset,
            len,
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
}
