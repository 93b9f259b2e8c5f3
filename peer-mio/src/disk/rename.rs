//! rename in its three modes, also where the kernel or the file system lacks renameat2(2).

use super::real_file::kind;
use super::{FileKind, RenameMode};
use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;

/// A single name in an open directory.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    /// The directory.
    pub directory: BorrowedFd<'a>,
    /// The name, without `/`.
    pub name: &'a [u8],
}

/// Renames. `nested` says that one of the two lies below the other, which the kernel refuses with
/// the error that also means "flag unknown". `with_flags` is false where renameat2 must not be used.
pub(super) fn rename(
    from: Name<'_>,
    to: Name<'_>,
    mode: RenameMode,
    nested: bool,
    with_flags: bool,
) -> io::Result<()> {
    let flagged = |flags| {
        if with_flags {
            renameat_with(from.directory, from.name, to.directory, to.name, flags)
        } else {
            Err(Errno::NOSYS)
        }
    };
    match mode {
        RenameMode::Replace => Ok(renameat(from.directory, from.name, to.directory, to.name)?),
        RenameMode::NoReplace => match flagged(RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => no_replace(from, to),
            done => Ok(done?),
        },
        RenameMode::Exchange => match flagged(RenameFlags::EXCHANGE) {
            Err(Errno::INVAL) if nested => Err(Errno::INVAL.into()),
            Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            done => Ok(done?),
        },
    }
}

/// NOREPLACE without the flag. A second link fails atomically if the name is taken. What cannot be
/// linked is looked at first: a directory that comes in between is replaced only if it is empty,
/// and anything else in the way of a directory makes rename fail.
fn no_replace(from: Name<'_>, to: Name<'_>) -> io::Result<()> {
    let found = statat(from.directory, from.name, AtFlags::SYMLINK_NOFOLLOW)?;
    if matches!(kind(&found), FileKind::File | FileKind::Symlink) {
        match linkat(
            from.directory,
            from.name,
            to.directory,
            to.name,
            AtFlags::empty(),
        ) {
            Ok(()) => {
                // Replaced since it was looked at: that is not what has moved, and stays.
                let still = statat(from.directory, from.name, AtFlags::SYMLINK_NOFOLLOW)?;
                if still.st_ino != found.st_ino {
                    return Ok(());
                }
                return Ok(unlinkat(from.directory, from.name, AtFlags::empty())?);
            }
            // The file system has no hard links, or no more for this file.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    match statat(to.directory, to.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST.into()),
        Err(Errno::NOENT) => Ok(renameat(from.directory, from.name, to.directory, to.name)?),
        Err(errno) => Err(errno.into()),
    }
}
