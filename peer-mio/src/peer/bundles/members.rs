//! The members of a bundle: unpacked in slices, compared with their entries and handed to landing.

use crate::clock::Now;
use crate::disk::{Disk, DiskFile};
use crate::jobs::hash::content_of;
use crate::jobs::unpack::{UnpackJob, Unpacked};
use crate::peer::Peer;
use crate::peer::land_group::{PRIVATE, leave_private};
use crate::peer::landing_name::in_download;
use crate::peer::ready::{KeptModes, Ready};
use crate::peer::transfer::part_name;
use crate::peer::zips::MAX_MEMBER;
use crate::store::StoreError;
use proto_core::content::{ContentId, cut};
use proto_core::index::entry::Kind;
use proto_core::path::Escaped;
use proto_core::time::Instant;
use std::io;

/// Files unpacked in one slice: a millisecond or two.
pub(super) const SLICE: usize = 16;
/// Bytes unpacked in one slice.
const SLICE_BYTES: u64 = 1024 * 1024;
/// Bits of a mode that let others write.
const WRITE_BY_OTHERS: u16 = 0o022;

impl<D: Disk> Peer<D> {
    /// Unpacks some files. True if nothing is left to unpack.
    pub(super) fn unpack_slice(
        &mut self,
        now: Now,
        place: usize,
        files: &mut usize,
    ) -> Result<bool, StoreError> {
        let mut budget = SLICE_BYTES;
        self.bundles.kept_modes = KeptModes::default();
        let mut bytes = std::mem::take(&mut self.bundles.bytes);
        let done = loop {
            if *files == 0 || budget == 0 || self.is_landing_full() {
                break Ok(false);
            }
            *files -= 1;
            match self.unpack_next(now, place, &mut bytes) {
                Ok(true) => budget = budget.saturating_sub(bytes.len() as u64),
                Ok(false) => break Ok(true),
                Err(error) => break Err(error),
            }
        };
        self.bundles.bytes = bytes;
        done
    }

    /// Unpacks one file. False if there is none left.
    pub(super) fn unpack_next(
        &mut self,
        now: Now,
        place: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let Some(coming) = self.bundles.coming.get_mut(place) else {
            return Ok(false);
        };
        if coming.unpack.is_none() {
            let file = match self.disk.open(in_download(&coming.name), false) {
                Ok(file) => file,
                Err(error) => {
                    log::warn!("a bundle cannot be unpacked: {error}");
                    coming.excused = true;
                    return Ok(false);
                }
            };
            match UnpackJob::new(file, coming.here) {
                Ok(job) => coming.unpack = Some(job),
                Err(error) => {
                    let peer = coming.peer;
                    log::warn!(
                        "{} sends a bundle that is none: {error}",
                        self.address(peer)
                    );
                    return Ok(false);
                }
            }
        }
        let (run, started) = (coming.run, coming.started);
        let (store, arrived) = (&self.store, &coming.arrived);
        let mut found = Ok(None);
        let wanted = |name: &[u8]| {
            // The index takes only what can be a path.
            proto_core::path::check(name).ok()?;
            found = store.pending(name);
            let pending = found.as_ref().ok()?.as_ref()?;
            let entry = &pending.entry;
            let ours = pending.told_by == run.id.index
                && entry.kind == Kind::File
                && (1..=MAX_MEMBER).contains(&entry.size)
                && run.id.contains(entry.sequence)
                && !arrived.contains(&entry.sequence);
            ours.then_some(entry.size)
        };
        let Some(job) = &mut coming.unpack else {
            return Ok(false);
        };
        let unpacked = job.next(wanted, bytes);
        let pending = found?;
        match (unpacked, pending) {
            (None, _) => Ok(false),
            (Some(Unpacked::File(path)), Some(pending)) => {
                let (content, recipe) = content_of(bytes);
                if content == pending.entry.content {
                    let sequence = pending.entry.sequence;
                    coming.arrived.push(sequence);
                    let mode = pending.entry.mode;
                    if !self.take_member(now, started, (path, mode), (content, recipe), bytes)? {
                        // The next bundle would not help it.
                        self.take_apart(now, run.id.index, std::iter::once(sequence));
                    }
                } else {
                    let peer = coming.peer;
                    self.bundles.shared.forget_peer(peer);
                    log::warn!(
                        "{} sends wrong bytes of {} in a bundle",
                        self.address(peer),
                        Escaped(&path)
                    );
                }
                Ok(true)
            }
            (Some(_), _) => Ok(true),
        }
    }

    /// A file of a bundle is as it must be. False if it cannot be written.
    pub(super) fn take_member(
        &mut self,
        now: Now,
        started: Instant,
        (path, mode): (Vec<u8>, u16),
        (content, recipe): (ContentId, Vec<u8>),
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let name = part_name(content, Some(&path));
        if self.landing.has_path(&path) {
            return Ok(true);
        }
        match self.write_member(&name, mode, bytes) {
            Ok((file, made_with)) => {
                if bytes.len() as u64 > u64::from(cut::SMALLEST_CHUNK)
                    && let Err(error) = self.store.put_recipe_block(content, 0, &recipe)
                {
                    leave_private(&file);
                    return Err(error);
                }
                let size = bytes.len() as u64;
                self.landing.add_ready(
                    now,
                    Ready {
                        path,
                        name,
                        content,
                        size,
                        fetched: size,
                        started,
                        file,
                        made_with,
                        readied: None,
                        flushed: false,
                        alone: false,
                    },
                );
                Ok(true)
            }
            Err(error) => {
                log::warn!("{} cannot be unpacked: {error}", Escaped(&path));
                Ok(false)
            }
        }
    }

    /// Writes it; if it was made with its mode and has kept it, says so.
    pub(super) fn write_member(
        &mut self,
        name: &[u8],
        mode: u16,
        bytes: &[u8],
    ) -> io::Result<(D::File, Option<u16>)> {
        let at = in_download(name);
        // What stays in download/ must let us open it again, and nobody else. If the folder is opened while we run, nobody is
        // to write to what was verified.
        let fits = mode & PRIVATE == PRIVATE && mode & WRITE_BY_OTHERS == 0;
        let made_with = (self.private_downloads && fits).then_some(mode);
        match self.disk.create_new(at, made_with.unwrap_or(PRIVATE)) {
            Ok(file) => {
                return match file.write_all_at(0, bytes) {
                    Ok(()) => {
                        let kept = &mut self.bundles.kept_modes;
                        let made_with = made_with.filter(|mode| kept.has(&file, *mode));
                        Ok((file, made_with))
                    }
                    Err(error) => {
                        leave_private(&file);
                        Err(error)
                    }
                };
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        // What a transfer or an earlier bundle left.
        let mut file = self.disk.create(at)?;
        let mut found = file.stat()?;
        if found.links > 1 {
            self.disk.remove_file(at)?;
            file = self.disk.create(at)?;
            found = file.stat()?;
        }
        if found.size > bytes.len() as u64 {
            file.set_len(bytes.len() as u64)?;
        }
        file.write_all_at(0, bytes)?;
        Ok((file, None))
    }
}
