//! Bundles that are served: built as a job into `zip/`, kept for the others that want the same, bounded in number and
//! disk (docs/protocol.md, "Bundles").

use super::Peer;
use super::read_ahead::{PieceAt, ReadAhead};
use super::transfer::least_free;
use crate::disk::{At, Disk, DiskFile, FileKind, Place, RenameMode, Stat};
use crate::jobs::pack::{Member, PackJob};
use crate::jobs::{Progress, fill};
use crate::store::{Fingerprint, Row, StoreError};
use crate::watch::scan::fingerprint;
use proto_core::boundary::Read;
use proto_core::index::entry::{Kind, Sequence};
use proto_core::wire::{BundleId, ObjectId};
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

/// Bundles kept, and as many that wait to be built in their place.
pub const MAX_ZIPS: usize = 32;
/// Bytes of them.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Largest file that a bundle takes.
pub const MAX_MEMBER: u64 = 128 * 1024;
/// Most bytes of files in one bundle.
pub const MAX_FILES: u64 = 4 * 1024 * 1024;
/// A part of a bundle.
pub const PART: u64 = 256 * 1024;
/// Bytes packed in one slice: about a millisecond.
const SLICE: usize = 128 * 1024;

/// What is served of our own small files.
#[derive(Debug)]
pub struct Zips<F: DiskFile> {
    /// The oldest first.
    kept: VecDeque<Zip<F>>,
    /// How many are kept, at most [`MAX_ZIPS`].
    most: usize,
    building: Option<Building<F>>,
}

#[derive(Debug)]
struct Zip<F> {
    id: BundleId,
    state: State<F>,
}

#[derive(Debug)]
enum State<F> {
    /// Somebody asked for it.
    Wanted,
    /// It is in `zip/`.
    Built { name: Vec<u8>, file: F, size: u64 },
    /// None of its files is here any more, or they are too large.
    Nothing,
}

#[derive(Debug)]
struct Building<F: DiskFile> {
    id: BundleId,
    job: PackJob<F>,
}

impl<F: DiskFile> Default for Zips<F> {
    fn default() -> Self {
        Self {
            kept: VecDeque::new(),
            most: MAX_ZIPS,
            building: None,
        }
    }
}

impl<F: DiskFile> Zips<F> {
    /// Keeps no more than so many.
    pub fn set_most(&mut self, most: usize) {
        self.most = most.min(MAX_ZIPS);
    }

    /// Reads a part of a bundle into `bytes`; if it is not built yet it will be.
    pub fn read(
        &mut self,
        id: BundleId,
        start: u64,
        length: usize,
        read_ahead: &mut ReadAhead,
        bytes: &mut Vec<u8>,
    ) -> Read {
        if !start.is_multiple_of(PART) {
            return Read::Malformed;
        }
        match self
            .kept
            .iter()
            .find(|zip| zip.id == id)
            .map(|zip| &zip.state)
        {
            Some(State::Built { file, size, .. }) => {
                let rest = size.saturating_sub(start).min(PART);
                let length = length.min(usize::try_from(rest).unwrap_or(0));
                if length == 0 {
                    return Read::Gone;
                }
                let piece = PieceAt {
                    object: ObjectId::Bundle(id),
                    start,
                    length,
                };
                read_ahead.read_whole(piece, file, bytes)
            }
            Some(State::Nothing) => Read::Gone,
            Some(State::Wanted) => Read::NotYet,
            None => {
                // With more wanted than there is room for, the request waits in its queue.
                if self.kept.len() < self.most || self.wanted() < self.most && self.has_idle() {
                    self.kept.push_back(Zip {
                        id,
                        state: State::Wanted,
                    });
                }
                Read::NotYet
            }
        }
    }

    /// Whether a bundle is kept, or to be built.
    pub fn has(&self, id: BundleId) -> bool {
        self.kept.iter().any(|zip| zip.id == id)
    }

    /// How many are to be built.
    fn wanted(&self) -> usize {
        let kept = self.kept.iter();
        kept.filter(|zip| matches!(zip.state, State::Wanted))
            .count()
    }

    fn has_idle(&self) -> bool {
        let mut kept = self.kept.iter();
        kept.any(|zip| !matches!(zip.state, State::Wanted))
    }

    fn bytes(&self) -> u64 {
        let sizes = self.kept.iter().map(|zip| match zip.state {
            State::Built { size, .. } => size,
            _ => 0,
        });
        sizes.sum()
    }

    /// The name of a bundle that is too much.
    fn surplus(&mut self) -> Option<State<F>> {
        if self.kept.len() <= self.most && self.bytes() <= MAX_BYTES {
            return None;
        }
        let oldest = |zip: &Zip<F>| !matches!(zip.state, State::Wanted);
        let place = self.kept.iter().position(oldest)?;
        self.kept.remove(place).map(|zip| zip.state)
    }

    fn set(&mut self, id: BundleId, state: State<F>) {
        if let Some(zip) = self.kept.iter_mut().find(|zip| zip.id == id) {
            zip.state = state;
        }
    }

    /// A name that no other one has: two bundles may begin with the same sequence.
    fn name(&self, id: BundleId) -> Vec<u8> {
        let used = |name: &[u8]| {
            let mut kept = self.kept.iter();
            kept.any(|zip| matches!(&zip.state, State::Built { name: used, .. } if used == name))
        };
        let mut name = format!("zip{}.zip", id.first).into_bytes();
        let mut number = 2;
        while used(&name) {
            name = format!("zip{}-{number}.zip", id.first).into_bytes();
            number += 1;
        }
        name
    }
}

/// What a bundle is written to before it is whole.
const UNFINISHED: At<'_> = At {
    place: Place::Zip,
    path: b"zip.part",
};

fn in_zip(name: &[u8]) -> At<'_> {
    At {
        place: Place::Zip,
        path: name,
    }
}

impl<D: Disk> Peer<D> {
    /// Builds a slice of a bundle that somebody waits for. True if there is more to do now.
    pub(super) fn step_zips(&mut self) -> bool {
        if self.zips.kept.is_empty() {
            return false;
        }
        if self.zips.building.is_none() {
            self.remove_zips(false);
            let mut kept = self.zips.kept.iter();
            let Some(id) = kept
                .find(|zip| matches!(zip.state, State::Wanted))
                .map(|zip| zip.id)
            else {
                return false;
            };
            if let Err(error) = self.begin_zip(id) {
                self.zip_failed(id, &error);
            }
            return true;
        }
        let Some(mut building) = self.zips.building.take() else {
            return false;
        };
        let (disk, changed) = (&self.disk, &mut self.served.changed);
        let packed = building.job.step(SLICE, &mut |member, bytes| {
            let good = read_member(disk, member, bytes).unwrap_or(false);
            if !good {
                changed.insert(member.path.as_bytes().to_vec());
            }
            good
        });
        match packed {
            Ok(Progress::More) => self.zips.building = Some(building),
            Ok(Progress::Done(_)) => {
                let id = building.id;
                if let Err(error) = self.end_zip(building) {
                    self.zip_failed(id, &error);
                }
            }
            Err(error) => self.zip_failed(building.id, &error),
        }
        true
    }

    fn begin_zip(&mut self, id: BundleId) -> io::Result<()> {
        let (members, bytes) = self.members_of(id).map_err(io::Error::other)?;
        let space = self.disk.space()?;
        if members.is_empty() || bytes > MAX_FILES || space.free < least_free(&space) + bytes {
            self.zips.set(id, State::Nothing);
            return Ok(());
        }
        let _ = self.disk.remove_file(UNFINISHED);
        let file = self.disk.create(UNFINISHED)?;
        self.zips.building = Some(Building {
            id,
            job: PackJob::new(file, members),
        });
        Ok(())
    }

    fn end_zip(&mut self, building: Building<D::File>) -> io::Result<()> {
        let Building { id, job } = building;
        // An earlier one of this id may have had other members.
        self.served.encodings.forget_object(ObjectId::Bundle(id));
        let packed = job.finish()?;
        let state = if packed.members == 0 {
            self.disk.remove_file(UNFINISHED)?;
            State::Nothing
        } else {
            let name = self.zips.name(id);
            self.disk
                .rename(UNFINISHED, in_zip(&name), RenameMode::Replace)?;
            let (file, size) = (packed.file, packed.size);
            State::Built { name, file, size }
        };
        self.zips.set(id, state);
        Ok(())
    }

    /// Its files are fetched one by one instead.
    fn zip_failed(&mut self, id: BundleId, error: &io::Error) {
        log::warn!("a bundle from {} on cannot be built: {error}", id.first);
        self.zips.set(id, State::Nothing);
        let _ = self.disk.remove_file(UNFINISHED);
    }

    /// The files that a bundle names, and their bytes together.
    fn members_of(&self, id: BundleId) -> Result<(Vec<Member>, u64), StoreError> {
        let (mut members, mut bytes) = (Vec::new(), 0u64);
        let (committed, changed) = (self.committed, &self.served.changed);
        let end = id.first.saturating_add(BundleId::SPAN);
        self.store
            .journal(id.first - 1, &mut |sequence, path, row| {
                if sequence >= end || sequence > committed {
                    return ControlFlow::Break(());
                }
                if id.contains(sequence)
                    && let Some(member) = member(path, row)
                    && !changed.contains(path)
                    && !self.may_be_torn(row)
                {
                    bytes = bytes.saturating_add(member.fingerprint.size);
                    members.push(member);
                }
                ControlFlow::Continue(())
            })?;
        Ok((members, bytes))
    }

    /// Removes bundles: those that are too many, or all.
    fn remove_zips(&mut self, all: bool) {
        while let Some(state) = if all {
            self.zips.kept.pop_front().map(|zip| zip.state)
        } else {
            self.zips.surplus()
        } {
            if let State::Built { name, .. } = state {
                // If it stays, the next start removes it.
                let _ = self.disk.remove_file(in_zip(&name));
            }
        }
    }

    /// Keeps a bundle that has come, and lies at `from`, for the others that lack what is in it.
    pub(super) fn keep_zip(&mut self, id: BundleId, from: At<'_>, file: D::File) -> io::Result<()> {
        let size = file.stat()?.size;
        let space = self.disk.space()?;
        if self.zips.has(id)
            || self.zips.wanted() >= self.zips.most
            || space.free < least_free(&space)
        {
            return self.disk.remove_file(from);
        }
        // An earlier one of this id may have been built anew since.
        self.served.encodings.forget_object(ObjectId::Bundle(id));
        let name = self.zips.name(id);
        self.disk.rename(from, in_zip(&name), RenameMode::Replace)?;
        self.zips.kept.push_back(Zip {
            id,
            state: State::Built { name, file, size },
        });
        self.remove_zips(false);
        Ok(())
    }

    /// Nobody lacks anything any more: neither do they need bundles. Those of others go when nobody who is there does.
    pub(super) fn sweep_zips(&mut self) {
        if self.zips.kept.is_empty() || self.zips.building.is_some() {
            return;
        }
        let told: Sequence = self.committed;
        if self.engine.nobody_lacks(told) {
            self.remove_zips(true);
        } else if !self.engine.is_pulled_by_somebody() {
            let own = self.store.index_id();
            self.remove_built_zips(|id| id.index != own);
        }
    }

    /// Removes those of which it is so and that are not yet to be built. True if there were any.
    pub(super) fn remove_built_zips(&mut self, is_so: impl Fn(BundleId) -> bool) -> bool {
        let before = self.zips.kept.len();
        let disk = &self.disk;
        self.zips.kept.retain(|zip| match &zip.state {
            State::Built { name, .. } if is_so(zip.id) => {
                // If it stays, the next start removes it.
                let _ = disk.remove_file(in_zip(name));
                false
            }
            _ => true,
        });
        self.zips.kept.len() < before
    }
}

/// What of a row goes into a bundle.
fn member(path: &[u8], row: &Row) -> Option<Member> {
    let fingerprint: Fingerprint = row.local?;
    let small = (1..=MAX_MEMBER).contains(&row.entry.size) && fingerprint.size == row.entry.size;
    let path = std::str::from_utf8(path).ok()?.to_owned();
    (row.entry.kind == Kind::File && small).then_some(Member { path, fingerprint })
}

/// Reads a file, if it is what the index says.
fn read_member<D: Disk>(disk: &D, member: &Member, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let indexed = &member.fingerprint;
    let at = At {
        place: Place::Share,
        path: member.path.as_bytes(),
    };
    let is_it = |stat: &Stat| {
        let now = fingerprint(stat, indexed.link);
        stat.kind == FileKind::File
            && (now.size, now.mtime, now.inode) == (indexed.size, indexed.mtime, indexed.inode)
    };
    let file = if indexed.link {
        disk.open(at, true)?
    } else if is_it(&disk.stat(at)?) {
        disk.open_seen(at)?
    } else {
        return Ok(false);
    };
    bytes.resize(usize::try_from(indexed.size).unwrap_or(0), 0);
    let read = fill(&file, 0, bytes)?;
    // Looked at after the read: what was read is what the index means.
    Ok(read == bytes.len() && is_it(&file.stat()?))
}

/// At the start nobody waits for what an earlier run had built.
pub fn clear_zips<D: Disk>(disk: &D) {
    for name in disk.list(in_zip(b"")).unwrap_or_default() {
        let bundle = name.starts_with(b"zip");
        let batch = name.starts_with(b"legacy");
        if (bundle || batch) && (name.ends_with(b".zip") || name.ends_with(b".part")) {
            // If it cannot be removed now, the next start tries again.
            let _ = disk.remove_file(in_zip(&name));
        }
    }
}

#[cfg(test)]
mod tests;
