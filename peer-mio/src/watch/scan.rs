//! The scan: tree and store side by side in tree order, in slices. It decides nothing; it marks
//! paths as dirty where the two differ. Memory: the names of the directories on the way down.

use crate::disk::{At, Disk, FileKind, Place, Stat, is_absent};
use crate::store::{Fingerprint, Row, Store, StoreError};
use proto_core::index::entry::{Kind, MODE_MASK};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

/// Rows read from the store at a time.
const ROWS: usize = 128;

/// How symlinks in `share/` are treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Symlinks {
    /// A link to a file counts as that file; other links are skipped.
    #[default]
    Follow,
    /// The link itself is shared.
    Keep,
    /// Links are ignored.
    Skip,
}

/// What a scan reports.
pub trait ScanSink {
    /// A directory is about to be listed: watch it first, so that nothing new in it is missed.
    fn directory(&mut self, path: &[u8]);
    /// Tree and store differ here. `listed`: a directory is there, and this scan goes on to all that is in it.
    fn differs(&mut self, path: &[u8], listed: bool);
    /// Something could not be read; what the index says of it and below it stays as it is.
    fn unreadable(&mut self, path: &[u8], error: &io::Error);
    /// The index has this file or directory, and the tree something at its path.
    fn indexed(&mut self, row: &Row);
    /// Whether what a row says must be looked at even if the file looks unchanged.
    fn doubts(&self, row: &Row) -> bool;
    /// Whether it has room for more.
    fn has_room(&self) -> bool;
}

/// A scan under way.
#[derive(Debug)]
pub struct Scan {
    /// Where it began; empty for all of `share/`.
    root: Vec<u8>,
    /// Paths still to visit, the next one last, and what was there by the list of their directory.
    stack: Vec<(Vec<u8>, Option<FileKind>)>,
    /// Live rows of the store ahead of the walk.
    rows: VecDeque<(Vec<u8>, Row)>,
    /// The row that was read last.
    row_cursor: Option<Vec<u8>>,
    rows_ended: bool,
    /// Below these nothing was seen because it could not be read: no row there counts as missing.
    unreadable: Vec<Vec<u8>>,
}

impl Scan {
    /// A scan of `root` and all below it; empty: of all of `share/`.
    #[must_use]
    pub fn new(root: &[u8]) -> Self {
        Self {
            root: root.to_vec(),
            stack: vec![(root.to_vec(), None)],
            rows: VecDeque::new(),
            row_cursor: None,
            rows_ended: false,
            unreadable: Vec::new(),
        }
    }

    /// Where it began; empty for all of `share/`.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// Whether it covers all of `share/`.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.root.is_empty()
    }

    /// Visits at most `budget` paths. True when it has ended.
    pub fn step<D: Disk>(
        &mut self,
        disk: &D,
        store: &Store,
        symlinks: Symlinks,
        budget: usize,
        sink: &mut dyn ScanSink,
    ) -> Result<bool, StoreError> {
        for _ in 0..budget {
            if !sink.has_room() {
                return Ok(false);
            }
            let Some((path, told)) = self.stack.pop() else {
                return self.missing_before(store, None, budget, sink);
            };
            if !path.is_empty() && !self.missing_before(store, Some(&path), budget, sink)? {
                self.stack.push((path, told));
                return Ok(false);
            }
            self.visit(disk, store, symlinks, (path, told), sink)?;
        }
        Ok(false)
    }

    fn visit<D: Disk>(
        &mut self,
        disk: &D,
        store: &Store,
        symlinks: Symlinks,
        (path, told): (Vec<u8>, Option<FileKind>),
        sink: &mut dyn ScanSink,
    ) -> Result<(), StoreError> {
        let at = At {
            place: Place::Share,
            path: &path,
        };
        if told == Some(FileKind::File) && !self.has_row(store, &path)? {
            // It is looked at anyhow.
            sink.differs(&path, false);
            return Ok(());
        }
        let mut is_other = false;
        let stat = if path.is_empty() {
            None
        } else {
            match disk.stat(at) {
                Ok(stat) => Some(stat),
                Err(error) if is_absent(&error) => return Ok(()),
                Err(error) => {
                    sink.unreadable(&path, &error);
                    self.unreadable.push(path);
                    return Ok(());
                }
            }
        };
        if let Some(stat) = stat {
            let row = self.take_row(store, &path)?;
            if let Some(row) = &row {
                sink.indexed(row);
            }
            is_other = row.as_ref().is_some_and(|row| sink.doubts(row))
                || differs(disk, at, &stat, row.as_ref(), symlinks);
            if stat.kind != FileKind::Directory {
                if is_other {
                    sink.differs(&path, false);
                }
                return Ok(());
            }
        }
        sink.directory(&path);
        let listed = disk.list_kinds(at);
        if is_other {
            sink.differs(&path, listed.is_ok());
        }
        match listed {
            Ok(mut names) => {
                // Reversed: the stack is popped from its end.
                names.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
                let names = names.into_iter();
                self.stack
                    .extend(names.map(|(name, told)| (join(&path, &name), told)));
            }
            Err(error) if is_absent(&error) && !path.is_empty() => {}
            Err(error) => {
                sink.unreadable(&path, &error);
                self.unreadable.push(path);
            }
        }
        Ok(())
    }

    /// Reports live rows before `path` (all that are left if `None`): the tree has nothing there.
    fn missing_before(
        &mut self,
        store: &Store,
        path: Option<&[u8]>,
        budget: usize,
        sink: &mut dyn ScanSink,
    ) -> Result<bool, StoreError> {
        for _ in 0..budget {
            let Some((row_path, _)) = self.peek_row(store)? else {
                return Ok(true);
            };
            if path.is_some_and(|path| proto_core::path::tree_cmp(row_path, path) != Ordering::Less)
            {
                return Ok(true);
            }
            if !sink.has_room() {
                return Ok(false);
            }
            if let Some((row_path, _)) = self.rows.pop_front() {
                let hidden = self.unreadable.iter().any(|dir| {
                    dir.is_empty() || row_path == *dir || proto_core::path::is_below(&row_path, dir)
                });
                if !hidden {
                    sink.differs(&row_path, false);
                }
            }
        }
        Ok(false)
    }

    /// Whether the next row is that of just this path.
    fn has_row(&mut self, store: &Store, path: &[u8]) -> Result<bool, StoreError> {
        let row = self.peek_row(store)?;
        Ok(row.is_some_and(|(row_path, _)| row_path == path))
    }

    /// Takes the row of just this path, if there is one.
    fn take_row(&mut self, store: &Store, path: &[u8]) -> Result<Option<Row>, StoreError> {
        if !self.has_row(store, path)? {
            return Ok(None);
        }
        Ok(self.rows.pop_front().map(|(_, row)| row))
    }

    /// The next live row within the root.
    fn peek_row(&mut self, store: &Store) -> Result<Option<&(Vec<u8>, Row)>, StoreError> {
        while self.rows.is_empty() && !self.rows_ended {
            self.read_rows(store)?;
        }
        Ok(self.rows.front())
    }

    fn read_rows(&mut self, store: &Store) -> Result<(), StoreError> {
        if self.row_cursor.is_none() && !self.root.is_empty() {
            // The walk begins after a path: the root's own row comes first.
            self.row_cursor = Some(self.root.clone());
            if let Some(row) = store
                .get(&self.root)?
                .filter(|row| row.entry.kind != Kind::Tombstone)
            {
                self.rows.push_back((self.root.clone(), row));
                return Ok(());
            }
        }
        let (root, rows, cursor) = (&self.root, &mut self.rows, &mut self.row_cursor);
        let mut ended = true;
        let mut last = None;
        let mut seen = 0;
        store.walk(cursor.as_deref(), &mut |path, row| {
            if !root.is_empty() && !proto_core::path::is_below(path, root) {
                return ControlFlow::Break(());
            }
            if seen == ROWS {
                ended = false;
                return ControlFlow::Break(());
            }
            seen += 1;
            last = Some(path.to_vec());
            if row.entry.kind != Kind::Tombstone {
                rows.push_back((path.to_vec(), row.clone()));
            }
            ControlFlow::Continue(())
        })?;
        if let Some(last) = last {
            *cursor = Some(last);
        }
        self.rows_ended = ended;
        Ok(())
    }
}

/// Whether a path must be looked at: what is there is not what the row says.
fn differs<D: Disk>(
    disk: &D,
    at: At<'_>,
    stat: &Stat,
    row: Option<&Row>,
    symlinks: Symlinks,
) -> bool {
    let Some(row) = row else {
        return match stat.kind {
            // To be named in the log.
            FileKind::Other => true,
            FileKind::Symlink => symlinks != Symlinks::Skip,
            FileKind::File | FileKind::Directory => true,
        };
    };
    match stat.kind {
        FileKind::Directory => {
            row.entry.kind != Kind::Directory || row.entry.mode != stat.mode & MODE_MASK
        }
        FileKind::File => row.local != Some(fingerprint(stat, false)),
        // A link that was kept as such stays one, whatever is done with links here.
        FileKind::Symlink
            if row.entry.kind == Kind::Symlink && row.local == Some(fingerprint(stat, true)) =>
        {
            false
        }
        FileKind::Symlink => match symlinks {
            Symlinks::Follow => match disk
                .open(at, true)
                .and_then(|file| crate::disk::DiskFile::stat(&file))
            {
                Ok(target) => row.local != Some(fingerprint(&target, true)),
                Err(_) => true,
            },
            // Skipped too: it is in the place of something that was shared.
            Symlinks::Keep | Symlinks::Skip => true,
        },
        FileKind::Other => true,
    }
}

/// What the index remembers of a file, to know it again.
#[must_use]
pub fn fingerprint(stat: &Stat, link: bool) -> Fingerprint {
    Fingerprint {
        inode: stat.inode,
        size: stat.size,
        mtime: stat.mtime,
        ctime: stat.ctime,
        mode: stat.mode & MODE_MASK,
        link,
    }
}

/// A name in a directory as a path.
#[must_use]
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    path.push(b'/');
    path.extend_from_slice(name);
    path
}
