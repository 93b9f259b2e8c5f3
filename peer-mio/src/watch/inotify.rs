//! Kernel events of inotify(7), turned into paths below `share/`.
//!
//! Every directory is watched, none of the files. Events may be missed (a full queue, the limit of
//! watches, a directory filled before it was watched, the targets of symlinks); the scan finds what
//! was missed. So a wrong or stale path costs a look, never correctness.

use super::watched::Watched;
use crate::disk::folders::RealDisk;
use crate::disk::{At, Place};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::{Errno, read, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// Bytes of events taken in one read: some 200 usual events, and always at least one of 16 bytes
/// and a name at its limit.
const BUFFER: usize = 8 * 1024;

/// Bytes of a `struct inotify_event` without its name.
const HEADER: usize = 16;

const INTEREST: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// What happened below `share/`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchEvent<'a> {
    /// Something is new, different or gone.
    Changed {
        /// Where, relative to `share/`.
        path: &'a [u8],
        /// Closed after writing, moved in or out, deleted, or a directory: nobody is about to go
        /// on. `false` if it was made, written or got other attributes, which a writer does in the
        /// midst of its work.
        settled: bool,
        /// A directory came or went: everything below may have changed, and one that came is to be
        /// walked and watched. Not set when only its attributes changed.
        directory: bool,
    },
    /// The kernel's queue was full: anything may have changed.
    Overflow,
    /// `share/` itself was moved, deleted or unmounted.
    ShareGone,
}

/// What came of a wish to watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchResult {
    /// The directory is watched.
    Watching,
    /// The kernel's limit is reached (`fs.inotify.max_user_watches`): only the scan sees it.
    LimitReached,
}

/// An inotify instance. For `mio::unix::SourceFd`; readable when there are events. With an
/// edge-triggered poll, [`Self::read`] until it says that nothing is left.
#[derive(Debug)]
pub struct Watcher {
    instance: OwnedFd,
    watched: Watched,
    /// The watch on the directory that holds `share/`, for its deletion alone: the kernel tells
    /// that of a folder itself only when no descriptor holds it any more, and the disk holds one.
    above: Option<i32>,
    /// Events as the kernel gave them; between `taken` and `filled` lie those still to be told.
    buffer: Box<[u8]>,
    taken: usize,
    filled: usize,
    /// The path of the event being told.
    path: Vec<u8>,
}

impl Watcher {
    /// An instance that watches nothing yet.
    ///
    /// # Errors
    /// Those of inotify_init1: EMFILE if the user has too many instances
    /// (`fs.inotify.max_user_instances`), ENOSYS in a kernel without inotify.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            instance: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?,
            watched: Watched::default(),
            above: None,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            taken: 0,
            filled: 0,
            path: Vec::new(),
        })
    }

    /// How many directories are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watched.len()
    }

    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Watches the directory at `path` below `share/` (empty: `share/` itself), not what is below
    /// it. To do it again is harmless and tells a watch its new path if the directory was moved.
    ///
    /// To miss nothing, watch a directory first and list it then.
    ///
    /// # Errors
    /// Those of open and inotify_add_watch; no directory there, or one that must not be read.
    pub fn watch_dir(&mut self, disk: &RealDisk, path: &[u8]) -> io::Result<WatchResult> {
        let directory = disk.directory_at(At {
            place: Place::Share,
            path,
        })?;
        let below = |prefix: &[u8]| {
            let base = disk.directory().as_os_str().as_bytes();
            [base, prefix, path].concat()
        };
        let added = self.add(directory, INTEREST, || below(b"/share/"));
        if path.is_empty() && added.is_ok() {
            let deletion = WatchFlags::DELETE | WatchFlags::ONLYDIR;
            // Without it the check before every deletion and every scan still sees the loss.
            self.above = self.add(disk.base(), deletion, || below(b"")).ok();
        }
        match added {
            Ok(descriptor) => {
                if let Some(displaced) = self.watched.insert(descriptor, path) {
                    self.unwatch(displaced);
                }
                Ok(WatchResult::Watching)
            }
            Err(Errno::NOSPC) => Ok(WatchResult::LimitReached),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Adds a kernel watch on what a descriptor names, wherever that is now. Without /proc a path has
    /// to do. If a symlink gets into it in between, a directory elsewhere is watched: its events make
    /// us look at paths beneath `share/`, no more.
    fn add(
        &self,
        directory: impl AsFd,
        mask: WatchFlags,
        path: impl FnOnce() -> Vec<u8>,
    ) -> rustix::io::Result<i32> {
        let link = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
        match inotify::add_watch(&self.instance, link, mask) {
            Err(Errno::NOENT) => {
                inotify::add_watch(&self.instance, path(), mask | WatchFlags::DONT_FOLLOW)
            }
            done => done,
        }
    }

    /// Tells `sink` of at most `max_events` events in their order; `true` if none are left.
    ///
    /// # Errors
    /// Those of read.
    pub fn read(
        &mut self,
        max_events: usize,
        sink: &mut dyn FnMut(WatchEvent<'_>),
    ) -> io::Result<bool> {
        for _ in 0..max_events {
            if self.taken >= self.filled {
                self.taken = 0;
                self.filled = match retry_on_intr(|| read(&self.instance, &mut *self.buffer)) {
                    Ok(filled) => filled,
                    Err(Errno::AGAIN) => {
                        self.filled = 0;
                        return Ok(true);
                    }
                    Err(errno) => {
                        self.filled = 0;
                        return Err(errno.into());
                    }
                };
            }
            self.tell_next(sink);
        }
        Ok(false)
    }

    fn tell_next(&mut self, sink: &mut dyn FnMut(WatchEvent<'_>)) {
        let unread = self.buffer.get(self.taken..self.filled).unwrap_or_default();
        let Some(event) = Event::parse(unread) else {
            self.taken = self.filled; // the kernel gives whole events only
            return;
        };
        self.taken += event.length;
        let following = unread.get(event.length..).and_then(Event::parse);
        if following.is_some_and(|following| following.says_all_of(&event)) {
            return;
        }
        let Event {
            descriptor, mask, ..
        } = event;
        if mask.contains(ReadFlags::QUEUE_OVERFLOW) {
            sink(WatchEvent::Overflow);
            return;
        }
        if self.above == Some(descriptor) {
            if event.name == b"share" {
                sink(WatchEvent::ShareGone);
            }
            return;
        }
        let Some(directory) = self.watched.path(descriptor) else {
            return; // of a watch that was given up meanwhile
        };
        if event.name.is_empty() {
            // Of the directory itself. Its parent tells all but of share/, which has none.
            let gone = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
            if directory.is_empty() && mask.intersects(gone) {
                sink(WatchEvent::ShareGone);
            }
            if mask.contains(ReadFlags::IGNORED) {
                self.watched.remove(descriptor);
            }
            return;
        }
        self.path.clear();
        self.path.extend_from_slice(directory);
        if !directory.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(event.name);

        let is_directory = mask.contains(ReadFlags::ISDIR);
        let came_or_went =
            ReadFlags::CREATE | ReadFlags::MOVED_TO | ReadFlags::MOVED_FROM | ReadFlags::DELETE;
        if is_directory && mask.intersects(ReadFlags::MOVED_FROM | ReadFlags::DELETE) {
            // What is watched below has another path now, or none. If it is still beneath share/,
            // its new place is told and walked.
            while let Some(moved) = self.watched.take_below(&self.path) {
                self.unwatch(moved);
            }
        }
        sink(WatchEvent::Changed {
            path: &self.path,
            settled: is_directory || mask.intersects(FINISHED),
            directory: is_directory && mask.intersects(came_or_went),
        });
    }

    /// Gives a kernel watch up; it may be gone already.
    fn unwatch(&self, descriptor: i32) {
        let _gone = inotify::remove_watch(&self.instance, descriptor);
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.instance.as_fd()
    }
}

impl AsRawFd for Watcher {
    fn as_raw_fd(&self) -> RawFd {
        self.instance.as_raw_fd()
    }
}

/// What ends a change of a file.
const FINISHED: ReadFlags = ReadFlags::CLOSE_WRITE
    .union(ReadFlags::MOVED_TO)
    .union(ReadFlags::MOVED_FROM)
    .union(ReadFlags::DELETE);

/// One `struct inotify_event`: descriptor, mask, cookie and the length of the name that follows,
/// which is padded with zeros.
struct Event<'a> {
    descriptor: i32,
    mask: ReadFlags,
    name: &'a [u8],
    length: usize,
}

impl<'a> Event<'a> {
    /// Whether this one, which has happened too, says of a file what another one said: what we land ourselves is moved to its
    /// path and closed there.
    fn says_all_of(&self, other: &Self) -> bool {
        let of_file = |event: &Self| {
            event.mask.intersects(FINISHED) && !event.mask.contains(ReadFlags::ISDIR)
        };
        self.descriptor == other.descriptor
            && self.name == other.name
            && !self.name.is_empty()
            && of_file(self)
            && of_file(other)
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let (descriptor, header) = header.split_first_chunk()?;
        let (mask, header) = header.split_first_chunk()?;
        let (_cookie, header) = header.split_first_chunk::<4>()?;
        let padded = usize::try_from(u32::from_ne_bytes(header.try_into().ok()?)).ok()?;
        let name = rest.get(..padded)?;
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(padded);
        Some(Self {
            descriptor: i32::from_ne_bytes(*descriptor),
            mask: ReadFlags::from_bits_retain(u32::from_ne_bytes(*mask)),
            name: name.get(..end)?,
            length: HEADER.checked_add(padded)?,
        })
    }
}
