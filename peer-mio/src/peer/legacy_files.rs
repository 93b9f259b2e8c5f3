//! What the bridge to an ancestor sees of a peer, and how what comes from an ancestor gets into `share/`: as if
//! a user had put it there, so that it is picked up, versioned and told like any other change.

use super::Peer;
use super::landed_as::is_untouched;
use super::landing_name::{in_download, land_name};
use super::trash::move_to_trash;
use crate::clock::Now;
use crate::disk::{At, Disk, FileKind, Place, RenameMode, Stat};
use crate::store::Fingerprint;
use crate::watch::scan::{fingerprint, join};
use proto_core::content::ContentId;
use proto_core::index::entry::{Kind, Timestamp};
use proto_core::legacy::{MAX_LEGACY_FILES, Ours};
use proto_core::path;
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

/// Permission bits of what an ancestor's file becomes where there was none.
const MODE: u16 = 0o644;
/// And of the directories on the way.
const DIRECTORY_MODE: u16 = 0o755;

/// A file of ours that an ancestor can be told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnFile {
    /// What is in it.
    pub content: ContentId,
    /// Its bytes.
    pub size: u64,
    /// When it was modified.
    pub mtime: Timestamp,
}

impl<D: Disk> Peer<D> {
    /// Whether `share/` has been looked at as a whole since the start.
    #[must_use]
    pub fn has_scanned(&self) -> bool {
        self.is_scanned()
    }

    /// Counter of changes of the index; what is not committed yet counts.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.store.sequence()
    }

    /// All files whose names are UTF-8. `None` if they are more than an ancestor can be told of, or the index
    /// cannot be read.
    #[must_use]
    pub fn files_for_legacy(&self) -> Option<BTreeMap<String, OwnFile>> {
        let mut files = BTreeMap::new();
        let walked = self.store.walk(None, &mut |path, row| {
            if row.entry.kind == Kind::File
                && let Ok(path) = std::str::from_utf8(path)
            {
                let file = OwnFile {
                    content: row.entry.content,
                    size: row.entry.size,
                    mtime: row.entry.mtime,
                };
                files.insert(path.to_owned(), file);
            }
            if files.len() > MAX_LEGACY_FILES {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        (walked.is_ok() && files.len() <= MAX_LEGACY_FILES).then_some(files)
    }

    /// What we have at a path, and what shows that it is still that. `None` while something happens there.
    #[must_use]
    pub fn ours_at(&self, path: &[u8]) -> Option<(Ours, Option<Fingerprint>)> {
        let busy = self.dirty.contains(path)
            || self.hashings.is_at(path)
            || !self.is_scanned()
            || self.store.pending(path).ok()?.is_some();
        if busy {
            return None;
        }
        Some(match self.store.get(path).ok()? {
            None => (Ours::Never, None),
            Some(row) => match row.entry.kind {
                Kind::Tombstone => (Ours::Deleted, None),
                Kind::File => (Ours::File(row.entry.content), Some(row.local?)),
                Kind::Directory | Kind::Symlink => (Ours::Other, None),
            },
        })
    }

    /// Whether what is at a path is still what the index says of it: what is read then may be given away.
    #[must_use]
    pub fn is_unchanged(&self, path: &[u8], opened: &Stat) -> bool {
        let local = self
            .store
            .get(path)
            .ok()
            .flatten()
            .filter(|row| !self.recheck.doubts(row))
            .and_then(|row| row.local);
        local.is_some_and(|local| local == fingerprint(opened, local.link))
    }

    /// Moves a file of `download/` with this content to a path of `share/`: to one where nothing is, or over the file with
    /// this fingerprint, which goes to the trash. `false`: the path holds something else; the file stays where it is.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn put_from_legacy(
        &mut self,
        now: Now,
        (from, content): (&[u8], ContentId),
        path: &[u8],
        over: Option<Fingerprint>,
    ) -> io::Result<bool> {
        let from = in_download(from);
        let to = At {
            place: Place::Share,
            path,
        };
        self.disk.check_share()?;
        let mode = over.map_or(MODE, |over| over.mode);
        self.disk.set_mode(from, mode)?;
        let placed = match over {
            None => {
                self.make_way(path)?;
                match self.disk.rename(from, to, RenameMode::NoReplace) {
                    Ok(()) => true,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                    Err(error) => return Err(error),
                }
            }
            Some(over) => self.exchange(now, (from, content), to, over)?,
        };
        if placed {
            self.disk.sync_dir(At {
                place: Place::Share,
                path: path::parent(path).unwrap_or_default(),
            })?;
        }
        self.handle_change(now, path, true);
        Ok(placed)
    }

    fn exchange(
        &self,
        now: Now,
        (from, content): (At<'_>, ContentId),
        to: At<'_>,
        over: Fingerprint,
    ) -> io::Result<bool> {
        let before = self.disk.stat(to)?;
        let expected = match before.kind {
            FileKind::File => fingerprint(&before, false) == over,
            // The link is replaced, never what it leads to.
            FileKind::Symlink => over.link,
            FileKind::Directory | FileKind::Other => false,
        };
        if !expected {
            return Ok(false);
        }
        // What is under such a name after a crash is put back, or into the trash, by the next start.
        let name = land_name(format!("{content}-legacy.part").as_bytes());
        let land = in_download(&name);
        self.take_landing_name(now, land, to.path, |disk| {
            disk.rename(from, land, RenameMode::NoReplace)
        })?;
        let readied = self.disk.stat(land)?;
        let kept = self.swap(now, land, to, &before);
        if !matches!(kept, Ok(true)) && self.is_ours_again(now, land, &readied, to.path) {
            self.disk.rename(land, from, RenameMode::NoReplace)?;
        }
        kept
    }

    /// Swaps two files; what is swapped out goes to the trash. If it is not what was there `before`, or cannot go there, all is as it
    /// was.
    fn swap(&self, now: Now, land: At<'_>, to: At<'_>, before: &Stat) -> io::Result<bool> {
        self.disk.rename(land, to, RenameMode::Exchange)?;
        // What was swapped out lies where ours lay.
        let kept = match self.disk.stat(land) {
            Ok(stat) if is_untouched(&stat, before) => {
                move_to_trash(&self.disk, now, land, to.path).map(|_| true)
            }
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        };
        if !matches!(kept, Ok(true)) {
            self.disk.rename(land, to, RenameMode::Exchange)?;
        }
        kept
    }

    /// Makes the directories that a path needs.
    fn make_way(&self, path: &[u8]) -> io::Result<()> {
        let mut directory = Vec::new();
        for component in path::parent(path)
            .into_iter()
            .flat_map(|parent| parent.split(|byte| *byte == b'/'))
        {
            directory = join(&directory, component);
            let at = At {
                place: Place::Share,
                path: &directory,
            };
            match self.disk.make_dir(at, DIRECTORY_MODE) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
