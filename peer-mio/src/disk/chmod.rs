//! chmod of a name, never through a symlink.

use super::FileKind;
use super::folders::identity;
use super::real::{OPEN, open_fd};
use super::real_file::{kind, permissions, unsigned};
use super::root::Directory;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsRawFd;

/// chmod of a file or directory by name. The name is pinned by a descriptor first, so that what is
/// looked at is what is changed; that descriptor needs no permission on the file, but fchmod does
/// not take it, hence the way by /proc.
pub(super) fn change_mode(directory: &Directory<'_>, name: &[u8], mode: u16) -> io::Result<()> {
    let pin = openat(
        directory,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let found = rustix::fs::fstat(&pin)?;
    let kept = match kind(&found) {
        FileKind::File => 0,
        // Setgid and sticky on a directory are how its owner shares it out; they stay as they are.
        FileKind::Directory => found.st_mode & 0o7000,
        FileKind::Symlink | FileKind::Other => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "neither file nor directory",
            ));
        }
    };
    let mode = permissions(mode) | Mode::from_raw_mode(kept);
    if found.st_mode & 0o7777 == mode.as_raw_mode() {
        return Ok(()); // so that ctime tells of real changes only
    }
    let path = format!("/proc/self/fd/{}", pin.as_raw_fd());
    match rustix::fs::chmodat(CWD, path, mode, AtFlags::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => {
            // No /proc: it must be readable then.
            let fd = open_fd(directory, name, OPEN | OFlags::NOFOLLOW)?;
            if identity(&fd)? != (unsigned(found.st_dev), unsigned(found.st_ino)) {
                return Err(Errno::AGAIN.into());
            }
            Ok(rustix::fs::fchmod(&fd, mode)?)
        }
        done => Ok(done?),
    }
}
