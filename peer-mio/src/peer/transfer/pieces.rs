//! The pieces: chunks are asked for, verified and written.

use super::retries::Cause;
use super::verify::{is_set, set_bit};
use super::{ChunkPlaces, PullUse, State, StepError};
use crate::disk::{Disk, DiskFile};
use crate::peer::Peer;
use crate::peer::encodings::PieceName;
use proto_core::boundary::{PeerSlot, PullId};
use proto_core::content::cut::Params;
use proto_core::content::{ChunkRef, ContentId, cut, recipe};
use proto_core::pull::Want;
use proto_core::wire::ObjectId;
use std::io;

/// Pulls that a content of many chunks leaves free for others.
const PULLS_FOR_OTHERS: usize = 8;
/// Bytes written before the kernel is asked to begin writing them to the disk.
const WRITEBACK: u64 = 8 * 1024 * 1024;

/// A chunk to ask for.
struct Wanted {
    number: u32,
    start: u64,
    len: u32,
    /// `None`: the content is this one chunk.
    chunk: Option<ChunkRef>,
    from: Option<PeerSlot>,
}

impl<D: Disk> Peer<D> {
    /// Asks for chunks as long as there is room for them. True if all are here.
    pub(super) fn ask_chunks(&mut self, place: usize) -> Result<bool, StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(false);
        };
        if transfer.here == transfer.size && !transfer.is_draft() {
            transfer.state = State::Done;
            return Ok(true);
        }
        if transfer.size <= u64::from(cut::SMALLEST_CHUNK) {
            if transfer.in_flight == 0 {
                self.ask_only_chunk(place);
            }
            return Ok(false);
        }
        self.begin_swarm(place)?;
        while let Some(wanted) = self.next_chunk(place)? {
            self.ask_chunk(place, &wanted);
        }
        Ok(false)
    }

    /// From now on the engine chooses the chunks.
    fn begin_swarm(&mut self, place: usize) -> Result<(), StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(());
        };
        if transfer.chunks.is_some() {
            return Ok(());
        }
        let chunks = ChunkPlaces::read(&self.store, transfer.content, transfer.size)?;
        let Some(chunks) = chunks else {
            self.store.remove_recipe(transfer.content)?;
            return Err(StepError::Disk(io::Error::other(
                "the recipe is incomplete",
            )));
        };
        let begun = self.engine.begin_fetch(
            self.now.mono,
            transfer.content,
            chunks.count(),
            transfer.told_by,
            &|chunk| is_set(&transfer.verified, chunk),
        );
        if !begun {
            return Err(StepError::Disk(io::Error::other("it is fetched already")));
        }
        for peer in transfer.wrong.iter() {
            self.engine.distrust(peer, transfer.content);
        }
        transfer.chunks = Some(chunks);
        Ok(())
    }

    /// The next chunk to ask for, if there is room for any.
    fn next_chunk(&mut self, place: usize) -> Result<Option<Wanted>, StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(None);
        };
        let kept = if transfer.in_flight > 0 {
            PULLS_FOR_OTHERS
        } else {
            0
        };
        let longest = Params::for_size(transfer.size).max();
        if self.engine.free_pulls() <= kept || !self.assembly.has_room(longest) {
            return Ok(None);
        }
        let Some(choice) = self.engine.next_chunk(self.now.mono, transfer.content) else {
            return Ok(None);
        };
        let found = transfer.chunk_from_start(&self.store, choice.chunk)?;
        let (start, chunk) =
            found.ok_or_else(|| StepError::Disk(io::Error::other("the recipe is incomplete")))?;
        Ok(Some(Wanted {
            number: choice.chunk,
            start,
            len: chunk.len,
            chunk: Some(chunk),
            from: choice.from,
        }))
    }

    /// The chunk of a content that has just one.
    fn ask_only_chunk(&mut self, place: usize) {
        let Some(transfer) = self.transfers.get(place) else {
            return;
        };
        let len = transfer.size as u32;
        let from = transfer.told_by;
        if self.engine.free_pulls() == 0
            || from.is_some_and(|peer| !self.engine.has_place_for(peer))
            || !self.assembly.has_room(len as usize)
        {
            return;
        }
        let wanted = Wanted {
            number: 0,
            start: 0,
            len,
            chunk: None,
            from,
        };
        self.ask_chunk(place, &wanted);
    }

    fn ask_chunk(&mut self, place: usize, wanted: &Wanted) {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return;
        };
        let want = Want {
            object: ObjectId::Content(transfer.content),
            start: wanted.start,
            length: wanted.len,
            only: None,
            prefer: wanted.from,
        };
        let Some(pull) = self.engine.pull_without(want, transfer.wrong) else {
            return;
        };
        self.assembly.reserve(pull, wanted.len as usize);
        self.uses.set(
            pull,
            PullUse::Chunk {
                content: transfer.content,
                chunk: wanted.chunk,
                place: wanted.number,
                start: wanted.start,
            },
        );
        transfer.in_flight += 1;
    }

    /// A recipe or chunk is complete.
    pub(in crate::peer) fn pull_complete(&mut self, pull: PullId) {
        let Some(used) = self.uses.get(pull) else {
            self.end_pull(pull);
            return;
        };
        if let PullUse::Bundle(bundle) = used {
            return self.part_came(pull, bundle);
        }
        let Some(place) = self
            .transfers
            .iter()
            .position(|transfer| used.is_for(transfer))
        else {
            self.end_pull(pull);
            return;
        };
        let taken = match used {
            PullUse::Recipe(_) => self.take_recipe(place, pull),
            PullUse::Bundle(_) => Ok(()),
            PullUse::Chunk {
                chunk,
                place: number,
                start,
                ..
            } => self.take_chunk(place, pull, chunk, number, start),
        };
        match taken {
            Ok(()) => {}
            Err(StepError::Disk(error)) => {
                self.fail_transfer(place, Cause::Fault, &error.to_string());
            }
            Err(StepError::Store(error)) => {
                self.end_transfer(place);
                self.store_failed(&error);
            }
        }
    }

    fn take_chunk(
        &mut self,
        place: usize,
        pull: PullId,
        chunk: Option<ChunkRef>,
        number: u32,
        start: u64,
    ) -> Result<(), StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(());
        };
        let came = self.assembly.bytes(pull);
        let bytes = match self.engine.encoded(pull) {
            Some((encoding, len)) if encoding.is_shorter() => {
                let encoded = came.get(..len).unwrap_or_default();
                // What is no encoding of the piece is as wrong as other bytes.
                let decoded = self.decoder.decode(encoded, came.len());
                decoded.unwrap_or_default()
            }
            _ => came,
        };
        let hash = recipe::hash_chunk(bytes);
        let len = bytes.len() as u32;
        let good = match chunk {
            Some(chunk) => chunk.len == len && chunk.hash == hash,
            None => recipe::single_chunk(len, hash) == transfer.content,
        };
        if !good {
            let senders = self.engine.senders(pull);
            self.engine.corrupt(pull);
            self.sent_wrong_bytes(place, senders);
            return Ok(());
        }
        transfer.file.write_all_at(start, bytes)?;
        let content = transfer.content;
        set_bit(&mut transfer.verified, number);
        transfer.here += u64::from(len);
        transfer.came_at = self.now.mono;
        let goes_on = std::mem::take(&mut transfer.is_stuck) || transfer.fetched == 0;
        transfer.fetched += u64::from(len);
        transfer.in_flight = transfer.in_flight.saturating_sub(1);
        if transfer.here - transfer.written >= WRITEBACK {
            transfer.written = transfer.here;
            transfer.file.start_writeback(
                (start + u64::from(len)).saturating_sub(WRITEBACK),
                WRITEBACK,
            );
        }
        let verified = &transfer.verified;
        self.engine
            .chunk_has_come(self.now.mono, content, number, &|chunk| {
                is_set(verified, chunk)
            });
        self.pass_on(pull, content, start, len);
        self.end_pull(pull);
        if goes_on
            && let Some(path) = self
                .transfers
                .get(place)
                .map(|transfer| transfer.path.clone())
        {
            self.fetch_goes_on(&path);
        }
        Ok(())
    }

    /// A chunk that came encoded goes to others as it came (docs/protocol.md, "Encodings").
    fn pass_on(&mut self, pull: PullId, content: ContentId, start: u64, len: u32) {
        let Some((encoding, encoded)) = self.engine.encoded(pull) else {
            return;
        };
        if !encoding.is_shorter() || self.config.peers.len() < 2 {
            return;
        }
        let name = PieceName {
            object: ObjectId::Content(content),
            start,
            length: len as usize,
        };
        let came = self.assembly.bytes(pull);
        let encoded = came.get(..encoded).unwrap_or_default();
        self.served.encodings.pass_on(name, encoding, encoded);
    }
}
