//! A directory is gone, and with it all that was in it: the tombstones of its children, in slices.

use super::Peer;
use crate::clock::Now;
use crate::disk::Disk;
use crate::store::StoreError;
use proto_core::index::entry::Kind;
use proto_core::path;
use proto_core::time::Duration;
use std::ops::ControlFlow;

/// Children that get their tombstones in one slice.
const SLICE: usize = 256;

/// How far the children of a vanished directory have got their tombstones.
#[derive(Debug)]
pub(super) struct Burying {
    directory: Vec<u8>,
    after: Vec<u8>,
}

impl<D: Disk> Peer<D> {
    /// Gives the children their tombstones before the directory changes itself, so that the journal never tells of
    /// a live path in something that is no directory. False if there are more than one slice can do.
    ///
    /// A directory goes after all that is in it. So those in which a slice ends are passed over, and buried when
    /// the walk, which goes on where it was, begins anew.
    pub(super) fn bury_below(&mut self, now: Now, directory: &[u8]) -> Result<bool, StoreError> {
        let begun = self.burying.take();
        let after = begun
            .filter(|begun| begun.directory == directory)
            .map(|begun| begun.after);
        let begin = after.as_deref().unwrap_or(directory);
        let mut slice = SLICE;
        let (gone, reached) = loop {
            let mut gone = Vec::new();
            self.store.walk(Some(begin), &mut |path, row| {
                if gone.len() > slice || !path::is_below(path, directory) {
                    return ControlFlow::Break(());
                }
                if row.entry.kind != Kind::Tombstone {
                    gone.push((path.to_vec(), row.clone()));
                }
                ControlFlow::Continue(())
            })?;
            if gone.len() <= slice {
                break (gone, None);
            }
            let next = gone.pop();
            let reached = gone.last().map(|(path, _)| path.clone());
            if let Some((next, _)) = next {
                gone.retain(|(path, _)| !path::is_below(&next, path));
            }
            if !gone.is_empty() {
                break (gone, reached);
            }
            // Nothing but directories, each in the one before.
            slice *= 2;
        };
        for (path, row) in gone.into_iter().rev() {
            self.record_deletion(now, &path, &row)?;
        }
        self.burying = reached.map(|after| Burying {
            directory: directory.to_vec(),
            after,
        });
        let all = self.burying.is_none() && after.is_none();
        if !all {
            self.dirty.mark(now.mono, directory, Duration::ZERO);
        }
        Ok(all)
    }
}
