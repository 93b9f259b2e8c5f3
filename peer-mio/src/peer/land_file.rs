//! Landing a complete content at its path (docs/architecture.md, "Landing").

use super::Peer;
use super::land::{NotLanded, Target};
use super::landed_as::is_untouched;
use super::landing_name::{in_download, land_name};
use super::ready::Ready;
use super::touched::Touched;
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place, RenameMode, Stat};
use crate::store::{Fingerprint, Row};
use proto_core::index::entry::Entry;
use std::io;

impl<D: Disk> Peer<D> {
    /// A complete content gets to a path where nothing is by our index. False: there is something, or was a moment ago;
    /// nothing was done.
    pub(super) fn land_new_file(
        &mut self,
        now: Now,
        path: &[u8],
        ready: &Ready<D::File>,
        entry: &Entry,
        touched: &mut Touched,
    ) -> Result<bool, NotLanded> {
        if self.hashings.is_at(path) {
            return Ok(false);
        }
        // If that is known already, no look is needed.
        let readied = match ready.is_readied(entry) {
            true => None,
            false => Some(make_ready(ready, entry)?),
        };
        let to = At {
            place: Place::Share,
            path,
        };
        match self.put_new(in_download(&ready.name), to, touched) {
            Ok(()) => {}
            Err(NotLanded::Changed) => return Ok(false),
            Err(error) => return Err(error),
        }
        // Asked of the file itself: no path to look up. Who replaces it meanwhile makes an event.
        let stat = ready.file.stat().ok();
        let local = self.known_as(now, path, false, stat, |stat| match &readied {
            Some(readied) => is_untouched(stat, readied),
            None => ready.is_untouched(stat),
        });
        self.adopt_landed(path, local, entry.clone())?;
        Ok(true)
    }

    /// A complete content gets to its path.
    pub(super) fn land_file(
        &mut self,
        now: Now,
        target: Target<'_>,
        ready: &Ready<D::File>,
        entry: Entry,
        touched: &mut Touched,
    ) -> Result<(), NotLanded> {
        let path = target.path;
        let part = &ready.name;
        let landing = land_name(part);
        let (part, from) = (in_download(part), in_download(&landing));
        let readied = make_ready(ready, &entry)?;
        self.take_landing_name(now, from, path, |disk| {
            disk.rename(part, from, RenameMode::NoReplace)
        })?;
        if let Err(error) = self.put_in_place(now, from, &readied, target, touched) {
            if self.is_ours_again(now, from, &readied, path) {
                // Back, so that the next try finds it.
                let _ = self.disk.rename(from, part, RenameMode::NoReplace);
            }
            return Err(error);
        }
        let local = self.landed_as(now, path, false, |stat| is_untouched(stat, &readied));
        self.adopt_landed(path, local, entry)
    }

    /// The index says that a file is at its path.
    pub(super) fn adopt_landed(
        &mut self,
        path: &[u8],
        local: Option<Fingerprint>,
        entry: Entry,
    ) -> Result<(), NotLanded> {
        self.adopt(
            path,
            Row {
                entry,
                target: Vec::new(),
                local,
                run: self.recheck.run(),
            },
        )
    }
}

/// What is about to land has the mode and time that it is to have there: what it is then, if nobody writes to it.
fn make_ready(ready: &Ready<impl DiskFile>, entry: &Entry) -> io::Result<Stat> {
    let file = &ready.file;
    let stat = file.stat()?;
    if ready.is_readied(entry) {
        // Who has written to it since is found out when it has landed: that is a user's change.
        return Ok(Stat {
            size: ready.size,
            mode: entry.mode,
            mtime: entry.mtime,
            ..stat
        });
    }
    if stat.mode == entry.mode && stat.mtime == entry.mtime {
        return Ok(stat);
    }
    // The version that is wanted changed after the flush, only in its mode or time.
    file.set_mode(entry.mode)?;
    file.set_mtime(entry.mtime)?;
    file.sync_data()?;
    file.stat()
}
