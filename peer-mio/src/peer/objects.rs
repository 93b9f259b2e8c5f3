//! What is served: an object's name becomes a file, a range of it, or a page of the journal.

use super::drafts::Drafts;
use super::encodings::PieceName;
use super::journal;
use super::landing::Landing;
use super::read_ahead::PieceAt;
use super::served::{OPEN_FILES, OpenContent, Served};
use super::torn::{Unflushed, may_be_torn};
use super::transfer::Transfer;
use super::zips::Zips;
use crate::disk::{At, Disk, DiskFile, Place};
use crate::store::Store;
use proto_core::boundary::{Asked, Objects, Read};
use proto_core::content::ContentId;
use proto_core::limits::MAX_PIECE;
use proto_core::wire::ObjectId;
use proto_core::wire::encoding::Encoding;
use std::ops::ControlFlow;

/// [`Objects`] over a peer's store and disk.
pub struct Serving<'a, D: Disk> {
    /// The file system.
    pub disk: &'a D,
    /// The index.
    pub store: &'a Store,
    /// Contents in transit.
    pub transfers: &'a mut [Transfer<D::File>],
    /// Contents that are complete, but not at their paths yet.
    pub landing: &'a Landing<D::File>,
    /// Files that are still hashed.
    pub drafts: &'a Drafts,
    /// Runs whose files may be torn ...
    pub unflushed: &'a Unflushed,
    /// ... if a power cut came since.
    pub recheck: &'a super::Recheck,
    /// What is kept between two calls.
    pub served: &'a mut Served<D::File>,
    /// Bundles of our small files.
    pub zips: &'a mut Zips<D::File>,
    /// Nothing newer is told: it is not durable yet, or not that it may be read.
    pub readable: u64,
}

impl<D: Disk> Objects for Serving<'_, D> {
    fn piece(&mut self, object: ObjectId, start: u64, length: usize) -> Read {
        if length > MAX_PIECE {
            return Read::Gone;
        }
        // A journal page is built anew each time: it must not be older than what was announced.
        if self.served.piece.name == Some((object, start, length))
            && !matches!(object, ObjectId::Journal(_))
        {
            return Read::Ready(self.served.piece.bytes.len());
        }
        self.load(object, start, length)
    }

    fn read(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        at: usize,
        buffer: &mut [u8],
    ) -> Read {
        // A recipe or page is named by the length that was asked for, a chunk by its own.
        let loaded = self.served.piece.name.is_some_and(|(named, from, most)| {
            named == object
                && from == start
                && (most == length || self.served.piece.bytes.len() == length)
        });
        if !loaded {
            match self.load(object, start, length) {
                Read::Ready(_) => {}
                other => return other,
            }
        }
        let bytes = self.served.piece.bytes.get(at..).unwrap_or_default();
        let len = bytes.len().min(buffer.len());
        if let (Some(target), Some(source)) = (buffer.get_mut(..len), bytes.get(..len)) {
            target.copy_from_slice(source);
        }
        Read::Ready(len)
    }

    fn encode(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        asked: Asked,
    ) -> Option<(Encoding, usize)> {
        let name = piece_name(object, start, length)?;
        let Served {
            piece, encodings, ..
        } = &mut *self.served;
        let loaded = piece
            .name
            .is_some_and(|(named, from, _)| (named, from) == (object, start));
        (loaded && piece.bytes.len() == length)
            .then(|| encodings.choose(name, asked, &piece.bytes))
            .flatten()
    }

    fn read_encoded(
        &mut self,
        object: ObjectId,
        start: u64,
        length: usize,
        encoding: Encoding,
        at: usize,
        buffer: &mut [u8],
    ) -> Read {
        let Some(name) = piece_name(object, start, length) else {
            return Read::Gone;
        };
        if self.served.encodings.kept(name, encoding).is_none() {
            if matches!(object, ObjectId::Journal(_)) {
                // Built anew it would be another one: it is asked for from its beginning.
                return Read::Gone;
            }
            match self.piece(object, start, length) {
                Read::Ready(_) => {}
                other => return other,
            }
            let Served {
                piece, encodings, ..
            } = &mut *self.served;
            encodings.encode(name, encoding, &piece.bytes);
        }
        let encoded = self.served.encodings.kept(name, encoding);
        let Some(bytes) = encoded.and_then(|encoded| encoded.get(at..at + buffer.len())) else {
            return Read::Gone;
        };
        buffer.copy_from_slice(bytes);
        Read::Ready(bytes.len())
    }
}

/// The name of a piece that may be encoded.
fn piece_name(object: ObjectId, start: u64, length: usize) -> Option<PieceName> {
    let length = match object {
        ObjectId::Journal(_) => 0,
        _ => length,
    };
    object.may_be_encoded().then_some(PieceName {
        object,
        start,
        length,
    })
}

impl<D: Disk> Serving<'_, D> {
    fn load(&mut self, object: ObjectId, start: u64, length: usize) -> Read {
        let piece = PieceAt {
            object,
            start,
            length,
        };
        if self.served.read_ahead.holds_back(piece) {
            return Read::NotYet;
        }
        self.served.piece.name = None;
        let read = match object {
            ObjectId::Content(content) => self.load_chunk(self.drafts.resolve(content), piece),
            ObjectId::Recipe(content) => {
                self.load_recipe(self.drafts.resolve(content), start, length)
            }
            ObjectId::Journal(index) if index == self.store.index_id() => {
                let bytes = &mut self.served.piece.bytes;
                match journal::build_page(self.store, start, self.readable, length, bytes) {
                    Ok(()) => Read::Ready(bytes.len()),
                    Err(error) => {
                        log::warn!("journal page after {start}: {error}");
                        Read::Gone
                    }
                }
            }
            // Of another one's files, if it is still here as it came.
            ObjectId::Bundle(bundle)
                if bundle.index == self.store.index_id() || self.zips.has(bundle) =>
            {
                let Served {
                    piece, read_ahead, ..
                } = &mut *self.served;
                self.zips
                    .read(bundle, start, length, read_ahead, &mut piece.bytes)
            }
            ObjectId::Journal(_) | ObjectId::Bundle(_) => Read::Gone,
        };
        if matches!(read, Read::Ready(_)) {
            self.served.piece.name = Some((object, start, length));
        }
        read
    }

    /// Whole recipe blocks from number `start` on, as many as `length` bytes hold.
    fn load_recipe(&mut self, content: ContentId, start: u64, length: usize) -> Read {
        let bytes = &mut self.served.piece.bytes;
        bytes.clear();
        let mut transfers = self.transfers.iter();
        if transfers.any(|transfer| transfer.reads_recipe(content)) {
            // What is here of it has not been verified.
            return Read::Gone;
        }
        let Ok(first) = u32::try_from(start) else {
            return Read::Malformed;
        };
        for number in first.. {
            match self.store.recipe_block(content, number) {
                Ok(Some(block)) if bytes.len() + block.len() <= length => {
                    bytes.extend_from_slice(&block);
                }
                Ok(_) => break,
                Err(error) => {
                    log::warn!("recipe {content}: {error}");
                    break;
                }
            }
        }
        if bytes.is_empty() {
            Read::Gone
        } else {
            Read::Ready(bytes.len())
        }
    }

    fn load_chunk(&mut self, content: ContentId, piece: PieceAt) -> Read {
        let Served {
            piece: buffer,
            read_ahead,
            ..
        } = &mut *self.served;
        let bytes = &mut buffer.bytes;
        let mut transfers = self.transfers.iter_mut();
        if let Some(transfer) = transfers.find(|transfer| transfer.content == content) {
            let read = transfer.serve(self.store, piece, read_ahead, bytes);
            if matches!(read, Read::Ready(_) | Read::NotYet) {
                return read;
            }
        }
        if let Some(file) = self.landing.file_of(content) {
            let read = read_ahead.read_whole(piece, file, bytes);
            if matches!(read, Read::Ready(_) | Read::NotYet) {
                return read;
            }
        }
        // Several paths may hold the content; one of them may have changed since.
        let mut outcome = Read::Gone;
        for _ in 0..OPEN_FILES {
            let Some(place) = self.open(content) else {
                return outcome;
            };
            match self.read_chunk(place, piece) {
                Read::Changed => outcome = Read::Changed,
                other => return other,
            }
        }
        outcome
    }

    /// Place in `served.open` of a file that should hold the content.
    fn open(&mut self, content: ContentId) -> Option<usize> {
        if let Some(place) = self
            .served
            .open
            .iter()
            .position(|open| open.content == content)
        {
            return Some(place);
        }
        let (disk, served, store) = (self.disk, &mut *self.served, self.store);
        let mut found = self
            .drafts
            .file_of(content)
            .and_then(|(path, fingerprint)| {
                let place = Place::Share;
                Some(OpenContent {
                    content,
                    path: path.to_vec(),
                    fingerprint,
                    file: disk.open(At { place, path }, false).ok()?,
                })
            });
        let (unflushed, recheck) = (self.unflushed, self.recheck);
        let looked = store.paths_of(content, &mut |path| {
            if served.changed.contains(path) {
                return ControlFlow::Continue(());
            }
            let Ok(Some(row)) = store.get(path) else {
                return ControlFlow::Continue(());
            };
            let Some(fingerprint) = row.local else {
                return ControlFlow::Continue(());
            };
            if may_be_torn(unflushed, recheck, store, &row) {
                return ControlFlow::Continue(());
            }
            match disk.open(
                At {
                    place: Place::Share,
                    path,
                },
                fingerprint.link,
            ) {
                Ok(file) => {
                    found = Some(OpenContent {
                        content,
                        path: path.to_vec(),
                        fingerprint,
                        file,
                    });
                    ControlFlow::Break(())
                }
                Err(_) => {
                    served.changed.insert(path.to_vec());
                    ControlFlow::Continue(())
                }
            }
        });
        if let Err(error) = looked {
            log::warn!("content {content}: {error}");
        }
        let found = found?;
        if self.served.open.len() >= OPEN_FILES {
            self.served.open.remove(0);
        }
        self.served.open.push(found);
        Some(self.served.open.len() - 1)
    }

    fn read_chunk(&mut self, place: usize, piece: PieceAt) -> Read {
        let served = &mut *self.served;
        let Some(open) = served.open.get(place) else {
            return Read::Gone;
        };
        if piece
            .start
            .checked_add(piece.length as u64)
            .is_none_or(|end| end > open.fingerprint.size)
        {
            return Read::Malformed;
        }
        let read = (served.read_ahead).read_whole(piece, &open.file, &mut served.piece.bytes);
        if read == Read::NotYet {
            return read;
        }
        // Looked at after the read: what was read is what the index means (failures of this kind: a file
        // changed between hashing and sending).
        let same = open.file.stat().is_ok_and(|stat| {
            stat.size == open.fingerprint.size
                && stat.mtime == open.fingerprint.mtime
                && stat.inode == open.fingerprint.inode
        });
        if same && matches!(read, Read::Ready(_)) {
            return read;
        }
        let stale = served.open.remove(place);
        served.changed.insert(stale.path);
        Read::Changed
    }
}
