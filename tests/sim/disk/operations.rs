//! The peer's side of the simulated disk.

use super::tree::code::EINVAL;
use super::tree::{Body, Ino, errno};
use super::{READ, SimDisk, SimFile, WRITE};
use peer_mio::disk::{At, Birth, Disk, FileKind, FlushId, Place, RenameMode, Space, Stat};
use proto_core::index::entry::Timestamp;
use std::collections::BTreeMap;
use std::io;

impl Disk for SimDisk {
    type File = SimFile;

    fn check_share(&self) -> io::Result<()> {
        self.reading(|state| state.root(Place::Share).map(|_| ()))
    }

    fn powered(&self) -> Option<Vec<u8>> {
        Some(self.lock().power_cuts.to_be_bytes().to_vec())
    }

    fn made_share(&self) -> bool {
        false
    }

    fn birth(&self, at: At<'_>) -> io::Result<Birth> {
        self.reading(|state| {
            let ino = u128::from(state.find(at)?);
            Ok(Birth((u128::from(state.copied) << 64 | ino).to_be_bytes()))
        })
    }

    fn stat(&self, at: At<'_>) -> io::Result<Stat> {
        self.reading(|state| state.tree.stat(state.find(at)?))
    }

    fn open(&self, at: At<'_>, _follow: bool) -> io::Result<SimFile> {
        let mut state = self.lock();
        state.check(self.life)?;
        state.acting = true;
        let found = state.find(at).and_then(|ino| {
            state.tree.bytes(ino).map_err(|_| errno(EINVAL))?;
            state.allow(ino, READ)?;
            Ok(ino)
        });
        state.acting = false;
        Ok(self.opened(at.place, found?, &mut state))
    }

    /// A user may write to it just before, or before it is read.
    fn open_seen(&self, at: At<'_>) -> io::Result<SimFile> {
        let meddle = || {
            self.changing(|state| {
                state.meddle(at);
                Ok(())
            })
        };
        meddle()?;
        let file = self.open(at, false)?;
        meddle()?;
        Ok(file)
    }

    fn create(&self, at: At<'_>) -> io::Result<SimFile> {
        self.changing(|state| {
            let ino = match state.find(at) {
                Ok(ino) => ino,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    state.add(at, |tree| tree.make(Body::File(Vec::new()), 0o600))?
                }
                Err(error) => return Err(error),
            };
            state.tree.bytes(ino)?;
            state.allow(ino, READ | WRITE)?;
            Ok(self.opened(at.place, ino, state))
        })
    }

    /// In each other life with a umask.
    fn create_new(&self, at: At<'_>, mode: u16) -> io::Result<SimFile> {
        let umask = if self.life.is_multiple_of(2) {
            0
        } else {
            0o027
        };
        self.changing(|state| {
            state.made_with.insert(mode);
            let now = state.tree.now;
            let acl = match &mut state.narrows_after {
                Some((0, last)) if *last != now => 0o077,
                Some((files, last)) => {
                    (*files, *last) = (files.saturating_sub(1), now);
                    0
                }
                None => 0,
            };
            let ino = state.add(at, |tree| {
                tree.make(Body::File(Vec::new()), mode & 0o777 & !umask & !acl)
            })?;
            Ok(self.opened(at.place, ino, state))
        })
    }

    /// The kinds of each other thing are not told: who relies on them is wrong.
    fn list_kinds(&self, at: At<'_>) -> io::Result<Vec<(Vec<u8>, Option<FileKind>)>> {
        self.lock().listed += u64::from(at.place == Place::Share);
        self.reading(|state| {
            let ino = state.find(at)?;
            let kind = |ino: Ino| {
                let found = state.tree.stat(ino).map(|stat| stat.kind);
                found.ok().filter(|_| ino.is_multiple_of(2))
            };
            let names = state.tree.names(ino)?.iter();
            let names = names
                .map(|(name, ino)| (name.clone(), kind(*ino)))
                .collect();
            state.allow(ino, READ)?;
            Ok(names)
        })
    }

    fn read_link(&self, at: At<'_>) -> io::Result<Vec<u8>> {
        self.reading(|state| match &state.tree.get(state.find(at)?)?.body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(errno(EINVAL)),
        })
    }

    fn make_dir(&self, at: At<'_>, mode: u16) -> io::Result<()> {
        self.changing(|state| {
            state
                .add(at, |tree| tree.make(Body::Directory(BTreeMap::new()), mode))
                .map(|_| ())
        })
    }

    fn remove_dir(&self, at: At<'_>) -> io::Result<()> {
        self.changing(|state| state.remove(at, true))
    }

    fn remove_file(&self, at: At<'_>) -> io::Result<()> {
        self.changing(|state| {
            state.note_made_room(at);
            state.remove(at, false)
        })
    }

    fn make_symlink(&self, target: &[u8], at: At<'_>) -> io::Result<()> {
        self.changing(|state| {
            state
                .add(at, |tree| tree.make(Body::Symlink(target.to_vec()), 0o777))
                .map(|_| ())
        })
    }

    fn hard_link(&self, from: At<'_>, to: At<'_>) -> io::Result<()> {
        self.changing(|state| {
            let ino = state.find(from)?;
            state.add(to, |_| ino).map(|_| ())
        })
    }

    fn rename(&self, from: At<'_>, to: At<'_>, mode: RenameMode) -> io::Result<()> {
        self.changing(|state| {
            state.meddle(from);
            state.meddle(to);
            if state.refuses_names && (from.place, to.place) == (Place::Download, Place::Download) {
                return Err(io::Error::from_raw_os_error(5));
            }
            state.rename(from, to, mode)?;
            state.meddle(to);
            Ok(())
        })
    }

    fn set_mode(&self, at: At<'_>, mode: u16) -> io::Result<()> {
        self.changing(|state| {
            let ino = state.find(at)?;
            state.tell(at, false);
            state.tree.set_mode(ino, mode & 0o777)?;
            state.meddle(at);
            Ok(())
        })
    }

    fn set_mtime(&self, at: At<'_>, mtime: Timestamp) -> io::Result<()> {
        self.changing(|state| {
            let ino = state.find(at)?;
            state.tell(at, false);
            state.tree.set_mtime(ino, mtime)?;
            state.meddle(at);
            Ok(())
        })
    }

    fn sync_dir(&self, at: At<'_>) -> io::Result<()> {
        self.changing(|state| {
            let ino = state.find(at)?;
            state.allow(ino, READ)?;
            state.tree.sync_names();
            Ok(())
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.changing(|state| {
            state.tree.sync_all();
            Ok(())
        })
    }

    /// Each fourth is not begun. Of the others one half has done it all when they begin, one half when they end: who relies on
    /// the one or the other is wrong.
    fn begin_sync_all(&self) -> bool {
        let mut state = self.lock();
        state.flushes_begun += 1;
        let number = state.flushes_begun;
        if number.is_multiple_of(4) {
            return false;
        }
        let at_end = number.is_multiple_of(2);
        if !at_end {
            state.tree.sync_all();
        }
        state.syncing = Some((at_end, number % 5));
        true
    }

    fn poll_sync_all(&self) -> Option<io::Result<()>> {
        let mut state = self.lock();
        let (at_end, looks) = state.syncing.as_mut()?;
        if *looks > 0 {
            *looks -= 1;
            return None;
        }
        let at_end = *at_end;
        state.syncing = None;
        drop(state);
        Some(self.changing(|state| {
            if at_end {
                state.tree.sync_all();
            }
            Ok(())
        }))
    }

    /// Each fourth is not begun. The others end after some looks, each time another number of them; what was written
    /// meanwhile is flushed too.
    fn begin_flush(&self, file: &SimFile) -> Option<FlushId> {
        let mut state = self.lock();
        state.flushes_begun += 1;
        let (number, ino) = (state.flushes_begun, file.ino);
        if number.is_multiple_of(4) {
            return None;
        }
        state.flushing.push((number, ino, number % 4));
        Some(FlushId(number))
    }

    fn poll_flush(&self, flush: FlushId) -> Option<io::Result<()>> {
        let mut state = self.lock();
        let mut flushing = state.flushing.iter_mut();
        let place = flushing.position(|(number, ..)| *number == flush.0)?;
        let (_, ino, looks) = state.flushing.get_mut(place)?;
        let ino = *ino;
        if *looks > 0 {
            *looks -= 1;
            return None;
        }
        state.flushing.remove(place);
        drop(state);
        Some(self.changing(|state| state.tree.sync_bytes(ino)))
    }

    fn space(&self) -> io::Result<Space> {
        self.reading(|state| Ok(state.tree.space()))
    }
}
