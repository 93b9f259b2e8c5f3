//! The begin: what has to be done for a content, and the partial file that it gathers in.

use super::recipe::has_recipe;
use super::{State, StepError, Transfer, download};
use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place};
use crate::jobs::copy::CopyJob;
use crate::peer::Peer;
use crate::peer::objects::read_full;
use crate::store::{Pending, StoreError};
use proto_core::content::recipe::{self, ContentIdHasher};
use proto_core::content::{ContentId, cut};
use proto_core::path::Escaped;
use std::io;
use std::ops::ControlFlow;

/// Contents fetched at the same time.
pub const MAX_TRANSFERS: usize = 48;
/// Contents copied from here at the same time; each takes 1.25 MB.
const MAX_COPIES: usize = 1;

/// What became of a try to begin a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// It is under way.
    Yes,
    /// There is no room for one more now.
    Full,
    /// The same content is on its way for another path; it is copied from there.
    Waits,
    /// The disk refused; the error is noted.
    Failed,
}

/// Name of a content that is not complete, in `download/`; a copy for one path has a name of its own.
#[must_use]
pub fn part_name(content: ContentId, copy_for: Option<&[u8]>) -> Vec<u8> {
    match copy_for {
        None => format!("{content}.part").into_bytes(),
        Some(path) => format!(
            "{content}-{}.part",
            blake3::hash(path).to_hex().get(..16).unwrap_or_default()
        )
        .into_bytes(),
    }
}

impl<D: Disk> Peer<D> {
    /// Begins to fetch a pending content.
    pub(in crate::peer) fn begin_transfer(
        &mut self,
        now: Now,
        path: &[u8],
        pending: &Pending,
    ) -> Result<Begun, StoreError> {
        if self.transfers.len() >= MAX_TRANSFERS {
            return Ok(Begun::Full);
        }
        let (content, size) = (pending.entry.content, pending.entry.size);
        let source = if size == 0 || self.distrusted.contains(&content) {
            None
        } else {
            self.find_here(content, size)?
        };
        // What needs no network can be made for many paths at once; what is fetched, only once.
        let from_here = size == 0 || source.is_some();
        if !from_here && self.is_under_way(content) {
            return Ok(Begun::Waits);
        }
        let small = size <= u64::from(cut::SMALLEST_CHUNK);
        if source.is_some()
            && !small
            && self
                .transfers
                .iter()
                .filter(|transfer| matches!(transfer.state, State::Copy(_)))
                .count()
                >= MAX_COPIES
        {
            return Ok(Begun::Full);
        }
        let name = part_name(content, from_here.then_some(path));
        let opened = self.open_part(&name, size).and_then(|(file, fresh)| {
            Ok((
                self.first_state(&name, &file, content, size, source, fresh)?,
                file,
                fresh,
            ))
        });
        let (state, file, fresh) = match opened {
            Ok(opened) => opened,
            Err(StepError::Disk(error)) => {
                self.errors.set_path(
                    path,
                    format!("{} cannot be fetched: {error}", Escaped(path)),
                );
                return Ok(Begun::Failed);
            }
            Err(StepError::Store(error)) => return Err(error),
        };
        log::trace!("fetching {content} ({size} bytes) for {}", Escaped(path));
        self.transfers.push(Transfer {
            content,
            size,
            path: path.to_vec(),
            name,
            here: 0,
            fetched: 0,
            started: now.mono,
            told_by: self.slot_of(pending.told_by),
            file,
            fresh,
            state,
            verified: Vec::new(),
            next: 0,
            next_start: 0,
            in_flight: 0,
            block: None,
            written: 0,
        });
        Ok(Begun::Yes)
    }

    /// What is to be done first for a content.
    fn first_state(
        &mut self,
        name: &[u8],
        file: &D::File,
        content: ContentId,
        size: u64,
        source: Option<D::File>,
        fresh: bool,
    ) -> Result<State<D::File>, StepError> {
        let small = size <= u64::from(cut::SMALLEST_CHUNK);
        match source {
            _ if size == 0 => Ok(State::Done),
            Some(source) if small => {
                if let Err(error) = copy_small(&source, file, content, size) {
                    self.distrusted.insert(content);
                    return Err(error.into());
                }
                Ok(State::Done)
            }
            Some(source) => Ok(State::Copy(CopyJob::new(
                source,
                self.disk.create(download(name))?,
            ))),
            None if small => Ok(State::Fetch),
            None if has_recipe(&self.store, content, size)? => self.verify_or_fetch(name, fresh),
            None => {
                self.store.remove_recipe(content)?;
                Ok(State::Recipe {
                    block: 0,
                    covered: 0,
                    hasher: Box::new(ContentIdHasher::new()),
                    asked: false,
                })
            }
        }
    }

    /// Opens the partial file and whether it is new. One that is linked elsewhere (a crash while it
    /// was swapped with a user's file) is left alone.
    fn open_part(&self, name: &[u8], size: u64) -> Result<(D::File, bool), StepError> {
        let at = download(name);
        let mut file = self.disk.create(at)?;
        if file.stat()?.links > 1 {
            self.disk.remove_file(at)?;
            file = self.disk.create(at)?;
        }
        let before = file.stat()?.size;
        if before > size {
            file.set_len(size)?;
        }
        if size > 0 {
            file.reserve(size)?;
        }
        Ok((file, before == 0))
    }

    /// Another file of ours that holds the content, with its recipe, if there is one.
    fn find_here(&self, content: ContentId, size: u64) -> Result<Option<D::File>, StoreError> {
        let mut source = None;
        let (store, disk) = (&self.store, &self.disk);
        store.paths_of(content, &mut |path| {
            let Ok(Some(local)) = store.get(path).map(|row| row.and_then(|row| row.local)) else {
                return ControlFlow::Continue(());
            };
            let Ok(file) = disk.open(
                At {
                    place: Place::Share,
                    path,
                },
                local.link,
            ) else {
                return ControlFlow::Continue(());
            };
            if file
                .stat()
                .is_ok_and(|stat| stat.size == size && stat.mtime == local.mtime)
            {
                source = Some(file);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        let small = size <= u64::from(cut::SMALLEST_CHUNK);
        Ok(
            if source.is_some() && (small || has_recipe(&self.store, content, size)?) {
                source
            } else {
                None
            },
        )
    }
}

/// Copies a content of one small chunk, if the source still holds it.
fn copy_small<F: DiskFile>(source: &F, file: &F, content: ContentId, size: u64) -> io::Result<()> {
    let mut bytes = vec![
        0;
        usize::try_from(size)
            .unwrap_or(0)
            .min(cut::SMALLEST_CHUNK as usize)
    ];
    let read = read_full(source, 0, &mut bytes)?;
    if read as u64 != size
        || recipe::single_chunk(read as u32, recipe::hash_chunk(&bytes)) != content
    {
        return Err(io::Error::other("it changed here while it was copied"));
    }
    file.write_all_at(0, &bytes)
}
