//! Contents that came with the journal page that tells of them: nothing is asked for (docs/protocol.md, "Announce").

use super::StepError;
use super::begin::part_name;
use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::peer::Peer;
use crate::store::StoreError;
use proto_core::content::cut::SMALLEST_CHUNK;
use proto_core::content::{ContentId, recipe};
use proto_core::index::entry::Kind;
use proto_core::path::Escaped;
use proto_core::wire::announce;
use proto_core::wire::page::Page;

impl<D: Disk> Peer<D> {
    /// Takes those contents that the page, reconciled by now, made us want. What cannot be taken now is fetched
    /// like any other.
    pub(in crate::peer) fn take_contents(
        &mut self,
        now: Now,
        page: &Page<'_>,
        contents: &[u8],
    ) -> Result<(), StoreError> {
        if !self.is_scanned() || self.disk.check_share().is_err() {
            return Ok(());
        }
        // What is longer than the smallest chunk has a recipe, which would be missing.
        for bytes in
            announce::contents(contents).filter(|bytes| bytes.len() <= SMALLEST_CHUNK as usize)
        {
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let content = recipe::single_chunk(len, recipe::hash_chunk(bytes));
            let of_it = page
                .entries()
                .filter(|told| told.entry.kind == Kind::File && told.entry.content == content);
            for told in of_it {
                self.take_content(now, told.path, content, bytes)?;
            }
        }
        Ok(())
    }

    /// A content of one chunk goes to `download/` and waits to land, if its path wants it and could not have it
    /// from here.
    fn take_content(
        &mut self,
        now: Now,
        path: &[u8],
        content: ContentId,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let size = bytes.len() as u64;
        let Some(pending) = self.store.pending(path)? else {
            return Ok(());
        };
        let wanted = (
            pending.entry.kind,
            pending.entry.content,
            pending.entry.size,
        ) == (Kind::File, content, size);
        let is_here = self
            .store
            .get(path)?
            .is_some_and(|row| row.entry.content == content);
        if !wanted
            || is_here
            || self.is_coming(path)
            || self.is_under_way(content)
            || self.is_landing_full()
            || !self.may_fetch(path)?
            || self
                .fetching
                .retries
                .pause(now.mono, path, content)
                .is_some()
        {
            return Ok(());
        }
        let name = part_name(content, None);
        if !self.has_room(now, &name, size) {
            return Ok(());
        }
        let written = self.open_part(&name, size).and_then(|part| {
            part.file.write_all_at(0, bytes)?;
            Ok(part.file)
        });
        match written {
            Ok(file) => {
                log::trace!("{content} ({size} bytes) came for {}", Escaped(path));
                self.landing.add_told(now, path, name, content, size, file);
                Ok(())
            }
            // The disk is asked again when it is fetched, and then it is said what is wrong with it.
            Err(StepError::Disk(_)) => Ok(()),
            Err(StepError::Store(error)) => Err(error),
        }
    }
}
