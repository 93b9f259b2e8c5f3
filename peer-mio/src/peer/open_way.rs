//! Landing in directories whose mode keeps their owner out (0555, say): opened for the time of one
//! group, and noted in `download/` meanwhile, so that a crash does not leave them open.

use super::Peer;
use super::land::NotLanded;
use super::touched::Touched;
use crate::disk::{At, Disk, FileKind, Place, is_absent};
use crate::store::Store;
use proto_core::index::entry::{Kind, MODE_MASK};
use proto_core::path;
use std::io;

/// What its owner needs to change and list a directory.
const OPEN: u16 = 0o700;
/// How the notes' names end.
pub(super) const NOTE: &[u8] = b".opened";

/// A directory that was opened, and the mode that it had.
#[derive(Debug)]
pub(super) struct Opened {
    path: Vec<u8>,
    mode: u16,
}

/// Name of the note about a directory, in `download/`.
fn note_name(directory: &[u8]) -> Vec<u8> {
    let hash = blake3::hash(directory).to_hex();
    [hash.as_bytes(), NOTE].concat()
}

/// Gives a directory its mode back, unless somebody else has changed it since.
fn close<D: Disk>(disk: &D, directory: &[u8], mode: u16) -> io::Result<()> {
    let at = At {
        place: Place::Share,
        path: directory,
    };
    match disk.stat(at) {
        Ok(stat) if stat.kind == FileKind::Directory && stat.mode & MODE_MASK == mode | OPEN => {
            disk.set_mode(at, mode)
        }
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Closes what a crash left open: a note is a symlink with mode and path as its text.
pub(super) fn close_noted<D: Disk>(disk: &D, note: At<'_>) -> io::Result<()> {
    let text = disk.read_link(note)?;
    let (mode, directory) = text.split_at_checked(4).unwrap_or_default();
    let mode = std::str::from_utf8(mode).unwrap_or_default();
    if let Ok(mode) = u16::from_str_radix(mode, 8)
        && path::check(directory).is_ok()
    {
        close(disk, directory, mode)?;
    }
    disk.remove_file(note)
}

/// Opens the directories on the way to a path that their mode closes, as far as we know them.
pub(super) fn open_way<D: Disk>(
    disk: &D,
    store: &Store,
    to: &[u8],
    touched: &mut Touched,
) -> Result<(), NotLanded> {
    let Some(parent) = path::parent(to) else {
        return Ok(());
    };
    if touched.way.as_deref() == Some(parent) {
        return Ok(());
    }
    let ends = parent.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    for end in ends.map(|(end, _)| end).chain([parent.len()]) {
        let directory = parent.get(..end).unwrap_or_default();
        let closed = store
            .get(directory)?
            .is_some_and(|row| row.entry.kind == Kind::Directory && row.entry.mode & OPEN != OPEN);
        if closed && !touched.opened.iter().any(|opened| opened.path == directory) {
            open_directory(disk, directory, touched)?;
        }
    }
    touched.way = Some(parent.to_vec());
    Ok(())
}

fn open_directory<D: Disk>(
    disk: &D,
    directory: &[u8],
    touched: &mut Touched,
) -> Result<(), NotLanded> {
    let at = At {
        place: Place::Share,
        path: directory,
    };
    let stat = match disk.stat(at) {
        Ok(stat) => stat,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mode = stat.mode & MODE_MASK;
    if stat.kind != FileKind::Directory || mode & OPEN == OPEN {
        return Ok(());
    }
    let name = note_name(directory);
    let note = At {
        place: Place::Download,
        path: &name,
    };
    let text = [format!("{mode:04o}").as_bytes(), directory].concat();
    match disk.make_symlink(&text, note) {
        Ok(()) => {}
        Err(error) => match error.kind() {
            // It could not be closed before; or the path is too long for a note.
            io::ErrorKind::AlreadyExists | io::ErrorKind::InvalidFilename => {}
            _ => return Err(error.into()),
        },
    }
    if let Err(error) = disk.set_mode(at, mode | OPEN) {
        let _ = disk.remove_file(note);
        return Err(error.into());
    }
    touched.opened.push(Opened {
        path: directory.to_vec(),
        mode,
    });
    Ok(())
}

/// Closes what was opened.
pub(super) fn close_way<D: Disk>(disk: &D, touched: &Touched) {
    for opened in touched.opened.iter().rev() {
        let done = close(disk, &opened.path, opened.mode);
        closed(disk, opened, done);
    }
}

fn closed<D: Disk>(disk: &D, opened: &Opened, done: io::Result<()>) {
    let name = note_name(&opened.path);
    let note = At {
        place: Place::Download,
        path: &name,
    };
    if let Err(error) = done.and_then(|()| disk.remove_file(note))
        && !is_absent(&error)
    {
        // The note stays: the next start closes it.
        let path = path::Escaped(&opened.path);
        log::warn!("{path} cannot be given its mode back: {error}");
    }
}

impl<D: Disk> Peer<D> {
    /// [`open_way`].
    pub(super) fn open_way(&mut self, to: &[u8], touched: &mut Touched) -> Result<(), NotLanded> {
        open_way(&self.disk, &self.store, to, touched)
    }

    /// [`close_way`].
    pub(super) fn close_way(&mut self, touched: &Touched) {
        close_way(&self.disk, touched);
    }

    /// A directory gets another mode, so it is not closed again.
    pub(super) fn keep_open(&mut self, directory: &[u8], touched: &mut Touched) {
        touched.way = None;
        if let Some(place) = touched
            .opened
            .iter()
            .position(|opened| opened.path == directory)
        {
            let opened = touched.opened.remove(place);
            closed(&self.disk, &opened, Ok(()));
        }
    }
}
