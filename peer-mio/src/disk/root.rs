//! Paths below a held folder: resolved beneath its descriptor, never through a symlink.
//!
//! The directory part of a path is opened by one openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), or
//! component by component where the kernel lacks that; what is done then is done to a single name
//! in the directory that was opened. So no moment is left in which a directory that becomes a
//! symlink could lead an operation elsewhere.

use super::kept::Kept;
use proto_core::limits::MAX_PATH;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A descriptor that only names a directory: enough for every *at call, needs no read permission.
pub(super) const NAME_DIRECTORY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// How often openat2 is asked again when a rename elsewhere disturbed it (EAGAIN, see openat2(2)).
const DISTURBED_TRIES: usize = 16;

/// How the directory part of a path is resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Resolver {
    /// One openat2(2): Linux 5.6 and later, where no seccomp filter forbids it.
    Openat2,
    /// One openat(2) for each component.
    Walk,
}

impl Resolver {
    /// What this kernel offers, tried on a folder that is open.
    pub(super) fn detect(folder: BorrowedFd<'_>) -> Self {
        match Self::Openat2.open_beneath(folder, b".") {
            Ok(_) => Self::Openat2,
            Err(_) => Self::Walk,
        }
    }

    /// Opens the directory at `path` below `folder`; `path` is checked and not empty.
    fn open_beneath(self, folder: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
        match self {
            Self::Openat2 => {
                let resolve =
                    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                let mut last = Errno::AGAIN;
                for _ in 0..DISTURBED_TRIES {
                    match openat2(folder, path, NAME_DIRECTORY, Mode::empty(), resolve) {
                        Ok(fd) => return Ok(fd),
                        Err(errno @ (Errno::AGAIN | Errno::INTR)) => last = errno,
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Err(last.into())
            }
            Self::Walk => {
                let mut reached: Option<OwnedFd> = None;
                for name in path.split(|&byte| byte == b'/') {
                    let from = reached.as_ref().map_or(folder, AsFd::as_fd);
                    let next = retry_on_intr(|| openat(from, name, NAME_DIRECTORY, Mode::empty()))?;
                    reached = Some(next);
                }
                reached.ok_or_else(|| Errno::INVAL.into())
            }
        }
    }
}

/// A directory to which a *at call is made.
#[derive(Debug)]
pub(super) enum Directory<'a> {
    /// The folder itself.
    Held(BorrowedFd<'a>),
    /// One below it, opened for this operation or in this turn (`kept.rs`).
    Opened(Arc<OwnedFd>),
}

impl AsFd for Directory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Held(fd) => *fd,
            Self::Opened(fd) => fd.as_ref().as_fd(),
        }
    }
}

/// Opens the directory at `path` below `folder`; the folder itself if `path` is empty.
pub(super) fn directory<'a>(
    resolver: Resolver,
    folder: BorrowedFd<'a>,
    path: &[u8],
) -> io::Result<Directory<'a>> {
    if path.is_empty() {
        return Ok(Directory::Held(folder));
    }
    check(path)?;
    let fd = resolver.open_beneath(folder, path)?;
    Ok(Directory::Opened(Arc::new(fd)))
}

/// Opens the parent of what is at `path` below `folder` and gives the last component beside it;
/// for an empty path the folder and ".". `kept`: where it is looked for and stays for the turn.
pub(super) fn parent<'a, 'p>(
    resolver: Resolver,
    folder: BorrowedFd<'a>,
    path: &'p [u8],
    kept: Option<&Kept>,
) -> io::Result<(Directory<'a>, &'p [u8])> {
    if path.is_empty() {
        return Ok((Directory::Held(folder), b"."));
    }
    check(path)?;
    match path
        .iter()
        .rposition(|&byte| byte == b'/')
        .and_then(|slash| path.split_at_checked(slash))
    {
        None => Ok((Directory::Held(folder), path)),
        Some((parent, name)) => {
            let name = name.strip_prefix(b"/").unwrap_or(name);
            let opened = match kept.and_then(|kept| kept.find(parent)) {
                Some(opened) => opened,
                None => {
                    let fd = resolver.open_beneath(folder, parent)?;
                    match kept {
                        Some(kept) => kept.keep(parent, fd),
                        None => Arc::new(fd),
                    }
                }
            };
            Ok((Directory::Opened(opened), name))
        }
    }
}

/// Refuses what could lead elsewhere or means something else than it says: empty components, `.`,
/// `..` and NUL are `InvalidInput`; more than [`MAX_PATH`] bytes are ENAMETOOLONG, also where a walk
/// could go deeper. Paths are checked when they come in; this is the second lock on the same door.
fn check(path: &[u8]) -> io::Result<()> {
    if path.len() > MAX_PATH {
        return Err(Errno::NAMETOOLONG.into());
    }
    let unfit = |name: &[u8]| matches!(name, b"" | b"." | b"..") || name.contains(&0);
    if path.split(|&byte| byte == b'/').any(unfit) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a plain relative path",
        ));
    }
    Ok(())
}
