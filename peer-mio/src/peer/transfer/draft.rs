//! Large files that their source still hashes are fetched as far as they are known (docs/protocol.md, "Drafts").

use super::begin::{download_stat, part_name};
use super::recipe::RecipeReader;
use super::verify::is_set;
use super::{ChunkPlaces, PullUse, State, StepError, Transfer, download};
use crate::clock::Now;
use crate::disk::{At, Disk, Place, RenameMode, is_absent};
use crate::peer::Peer;
use crate::peer::drafts::LARGE;
use crate::store::{Pending, StoreError};
use proto_core::boundary::PeerSlot;
use proto_core::content::ContentId;
use proto_core::limits::{MAX_DRAFTS, MAX_PEERS, RECIPE_BLOCK_CHUNKS};
use proto_core::path::Escaped;
use proto_core::pull::PeerSet;
use proto_core::time::{Duration, Instant};
use proto_core::wire::draft::{self, Stage};

/// A draft that gets no further for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// So is one of which nothing is told for so long although its entry is here: each DRAFT is told again every second.
const SILENCE: Duration = Duration::from_secs(2);
/// Between the begins of two drafts of one peer: a place is reserved for each.
const BEGIN_PAUSE: Duration = Duration::from_millis(250);

/// What a transfer knows of a content that had no name when it was begun.
#[derive(Debug)]
pub(super) enum Draft {
    /// It still has none here.
    Unnamed {
        /// Of its recipe what is here.
        recipe: RecipeReader,
        /// Recipe blocks that its source told of.
        told: u32,
        /// What its source says that it is.
        content: Option<ContentId>,
        /// When its source last told of it.
        heard_at: Instant,
    },
    /// It has its name, but no entry that is pending was seen to want it.
    Named,
}

/// The last draft of each peer that was looked at, and when.
#[derive(Debug, Default)]
pub struct Decided([Option<(u64, Instant)>; MAX_PEERS]);

impl Decided {
    /// Whether this one is to be looked at now, and no more from then on.
    fn is_next(&mut self, now: Now, peer: PeerSlot, number: u64) -> bool {
        let Some(last) = self.0.get_mut(peer.place()) else {
            return false;
        };
        let is_next = last.is_none_or(|(other, at)| {
            other != number && now.mono.saturating_since(at) >= BEGIN_PAUSE
        });
        if is_next {
            *last = Some((number, now.mono));
        }
        is_next
    }
}

/// Name of a draft in `download/`. Who fetches the content for the same path later finds it by this.
#[must_use]
pub fn draft_name(path: &[u8], size: u64) -> Vec<u8> {
    let path = blake3::hash(path).to_hex();
    format!("{}-{size}.draft.part", path.get(..32).unwrap_or_default()).into_bytes()
}

impl<F> Transfer<F> {
    /// Whether no entry is known yet that wants it.
    #[must_use]
    pub fn is_draft(&self) -> bool {
        self.draft.is_some()
    }

    /// Whether its content has no name yet.
    pub(super) fn is_unnamed(&self) -> bool {
        matches!(self.draft, Some(Draft::Unnamed { .. }))
    }

    /// Whether what is pending at its path is something else.
    fn is_draft_of_another(&self, pending: &Pending) -> bool {
        let content = match &self.draft {
            None => return false,
            Some(Draft::Unnamed { content, .. }) => *content,
            Some(Draft::Named) => Some(self.content),
        };
        pending.entry.size != self.size
            || content.is_some_and(|content| content != pending.entry.content)
    }
}

impl<D: Disk> Peer<D> {
    /// A peer told of a file that it hashes.
    pub(in crate::peer) fn take_draft(
        &mut self,
        now: Now,
        peer: PeerSlot,
        id: ContentId,
        told: &draft::Draft<'_>,
    ) -> Result<(), StoreError> {
        let place = self
            .transfers
            .iter()
            .position(|transfer| transfer.content == id);
        if let Some(place) = place {
            self.hear_of_draft(now, place, told);
            return Ok(());
        }
        if told.stage == Stage::Dropped {
            self.remove_left_draft(told);
        }
        if matches!(told.stage, Stage::Growing(_))
            && self.fetching.decided.is_next(now, peer, told.number)
            && self.may_fetch_draft(peer, told)?
        {
            self.begin_draft_transfer(now, peer, id, told);
        }
        Ok(())
    }

    fn hear_of_draft(&mut self, now: Now, place: usize, heard: &draft::Draft<'_>) {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return;
        };
        let Some(Draft::Unnamed {
            told,
            content,
            heard_at,
            ..
        }) = &mut transfer.draft
        else {
            return;
        };
        *heard_at = now.mono;
        let before = (*told, *content);
        match heard.stage {
            Stage::Growing(chunks) => *told = (*told).max(blocks(chunks)),
            Stage::Named {
                chunks,
                content: id,
            } => (*told, *content) = (blocks(chunks), Some(id)),
            Stage::Dropped => return self.drop_draft_transfer(place),
        }
        if before != (*told, *content) {
            transfer.came_at = now.mono;
        }
    }

    /// Whether much of it is likely not to be here, and nothing speaks against it.
    fn may_fetch_draft(&self, peer: PeerSlot, told: &draft::Draft<'_>) -> Result<bool, StoreError> {
        let (path, size) = (told.path, told.size);
        let at = At {
            place: Place::Share,
            path,
        };
        Ok(size > LARGE
            && self.is_scanned()
            && self.renewal.is_none()
            && !self.drafts.may_have(size)
            && !self.hashings.any_of(size)
            && !self.is_coming(path)
            && !self.is_landing_full()
            && self.transfers.len() < self.open_files.transfers / 2
            && self.drafts_of(peer) < MAX_DRAFTS
            && self.has_room_for_transfer(Some(peer))
            && !self.has_file_at(path)?
            && self.disk.stat(at).is_err_and(|error| is_absent(&error))
            // What is left of an earlier try could not be verified before all of the recipe is known.
            && download_stat(&self.disk, &draft_name(path, size)).is_none()
            && self.has_plenty_of_room(size))
    }

    /// Drafts that are fetched from a peer.
    fn drafts_of(&self, peer: PeerSlot) -> usize {
        let drafts = self.transfers.iter().filter(|it| it.is_draft());
        drafts.filter(|it| it.told_by == Some(peer)).count()
    }

    fn begin_draft_transfer(
        &mut self,
        now: Now,
        peer: PeerSlot,
        id: ContentId,
        told: &draft::Draft<'_>,
    ) {
        let (path, size) = (told.path, told.size);
        let name = draft_name(path, size);
        if !self
            .engine
            .begin_fetch(now.mono, id, 0, Some(peer), &|_| false)
        {
            return;
        }
        let Ok(part) = self.open_part(&name, size) else {
            // Whatever it is, it is said when the content is fetched by its name.
            self.engine.end_fetch(id, false);
            return;
        };
        log::debug!("fetching {} while it is hashed", Escaped(path));
        let mut transfer = Transfer::new(now, id, size, path, name, part, State::Fetch);
        transfer.told_by = Some(peer);
        transfer.chunks = Some(ChunkPlaces::default());
        transfer.draft = Some(Draft::Unnamed {
            recipe: RecipeReader::default(),
            told: 0,
            content: None,
            heard_at: now.mono,
        });
        self.transfers.push(transfer);
        let place = self.transfers.len() - 1;
        self.hear_of_draft(now, place, told);
    }

    /// Asks for what is new of its recipe, gives it its name, or looks whether it is wanted. True if it may be asked for
    /// chunks; else it may be gone.
    pub(super) fn step_draft(&mut self, place: usize) -> Result<bool, StepError> {
        let Some(transfer) = self.transfers.get(place) else {
            return Ok(false);
        };
        let since = |at| self.now.mono.saturating_since(at);
        let waits = since(transfer.came_at) >= PATIENCE;
        let is_connected = |peer| self.engine.connected_index(peer).is_some();
        match &transfer.draft {
            None => return Ok(true),
            _ if waits || !transfer.told_by.is_some_and(is_connected) => {
                self.end_transfer(place);
                return Ok(false);
            }
            Some(Draft::Named) => return Ok(self.look_whether_wanted(place)?),
            Some(Draft::Unnamed { heard_at, .. })
                if since(*heard_at) >= SILENCE && self.store.pending(&transfer.path)?.is_some() =>
            {
                self.end_transfer(place);
                return Ok(false);
            }
            Some(Draft::Unnamed {
                recipe,
                told,
                content,
                ..
            }) => {
                if recipe.block() < *told {
                    self.ask_draft_recipe(place);
                } else if let Some(content) = *content {
                    let whole = recipe.covered() == transfer.size && recipe.content() == content;
                    if !whole || !self.name_draft(place, content)? {
                        self.drop_draft_transfer(place);
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn ask_draft_recipe(&mut self, place: usize) {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return;
        };
        let (id, source, wrong) = (transfer.content, transfer.told_by, transfer.wrong);
        let Some(Draft::Unnamed { recipe, told, .. }) = &mut transfer.draft else {
            return;
        };
        // Not more than there is: its length must not grow while it comes.
        let Some(want) = recipe.want(id, Some(*told), source, source) else {
            return;
        };
        if let Some(pull) = self.engine.pull_without(want, wrong) {
            recipe.asked();
            self.uses.set(pull, PullUse::Recipe(id));
        }
    }

    /// Recipe blocks of a draft came.
    pub(super) fn take_draft_recipe(
        &mut self,
        place: usize,
        bytes: &[u8],
        senders: PeerSet,
    ) -> Result<(), StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(());
        };
        let (Some(Draft::Unnamed { recipe, .. }), Some(chunks)) =
            (&mut transfer.draft, &mut transfer.chunks)
        else {
            return Ok(());
        };
        transfer.came_at = self.now.mono;
        let (id, store) = (transfer.content, &mut self.store);
        let read = recipe.read(transfer.size, bytes, senders, &mut |number, block| {
            chunks.add(block);
            store.put_recipe_block(id, number, block)
        })?;
        // Only what was told of was asked for.
        if read && !bytes.is_empty() && recipe.covered() <= transfer.size {
            let verified = &transfer.verified;
            self.engine
                .extend_fetch(id, chunks.count(), &|chunk| is_set(verified, chunk));
        } else {
            self.drop_draft_transfer(place);
        }
        Ok(())
    }

    /// All of its recipe is here, and it is this content. False if that is fetched already.
    fn name_draft(&mut self, place: usize, content: ContentId) -> Result<bool, StepError> {
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(false);
        };
        let (id, name) = (transfer.content, part_name(content, None));
        let others = self.transfers.iter().any(|other| other.content == content);
        if others || self.landing.has(content) {
            return Ok(false);
        }
        let Some(transfer) = self.transfers.get_mut(place) else {
            return Ok(false);
        };
        // What may fail comes first: after it all of it has the name.
        let (from, to) = (download(&transfer.name), download(&name));
        self.disk.rename(from, to, RenameMode::Replace)?;
        for number in 0.. {
            let Some(block) = self.store.recipe_block(id, number)? else {
                break;
            };
            self.store.put_recipe_block(content, number, &block)?;
        }
        self.store.remove_recipe(id)?;
        self.engine.name_fetch(id, content);
        self.uses.name(id, content);
        log::debug!("{} is {content}", Escaped(&transfer.path));
        transfer.content = content;
        transfer.name = name;
        transfer.draft = Some(Draft::Named);
        Ok(true)
    }

    /// If an entry is pending that wants it, and could land, it is a transfer like any other.
    fn look_whether_wanted(&mut self, place: usize) -> Result<bool, StoreError> {
        let Some(transfer) = self.transfers.get(place) else {
            return Ok(false);
        };
        let content = transfer.content;
        let wants = |pending: Pending| pending.entry.content == content;
        let wanted = self.store.pending(&transfer.path)?.is_some_and(wants)
            && self.may_fetch(&transfer.path)?;
        if wanted && let Some(transfer) = self.transfers.get_mut(place) {
            transfer.draft = None;
        }
        Ok(true)
    }

    /// What is pending at a path is not what is fetched for it as a draft: that ends. It also ends if somebody else than its source
    /// told of what is pending, before it had its name: nobody can keep out what others have.
    pub(in crate::peer) fn end_other_draft(&mut self, path: &[u8], pending: &Pending) {
        let mut transfers = self.transfers.iter();
        let Some(place) = transfers.position(|it| it.is_draft() && it.path == path) else {
            return;
        };
        let teller = self.slot_of(pending.told_by);
        let Some(transfer) = self.transfers.get(place) else {
            return;
        };
        if transfer.is_draft_of_another(pending) {
            self.drop_draft_transfer(place);
        } else if transfer.is_unnamed() && transfer.told_by != teller {
            self.end_transfer(place);
        }
    }

    /// What is fetched as a draft for one path is wanted at another: it was moved, or its own path has something else by now. False if
    /// it is not.
    pub(super) fn claim_draft(
        &mut self,
        path: &[u8],
        content: ContentId,
    ) -> Result<bool, StoreError> {
        let of_it = |it: &Transfer<_>| it.content == content && it.is_draft();
        let Some(place) = self.transfers.iter().position(of_it) else {
            return Ok(false);
        };
        self.look_whether_wanted(place)?;
        let Some(transfer) = self.transfers.get_mut(place).filter(|it| it.is_draft()) else {
            return Ok(false);
        };
        transfer.path = path.to_vec();
        transfer.draft = None;
        Ok(true)
    }

    /// Ends all that have no name yet, to make room for what is pending. True if there were any.
    pub(super) fn end_unnamed_drafts(&mut self) -> bool {
        let before = self.transfers.len();
        while let Some(place) = self.transfers.iter().position(Transfer::is_unnamed) {
            self.drop_draft_transfer(place);
        }
        self.transfers.len() < before
    }

    /// Ends one that nothing becomes of: what came of it is of no use.
    fn drop_draft_transfer(&mut self, place: usize) {
        let Some(transfer) = self.transfers.get(place) else {
            return;
        };
        log::debug!("{} is not fetched any more", Escaped(&transfer.path));
        let name = transfer.name.clone();
        self.end_transfer(place);
        // If it cannot be removed now, it goes when nothing is pending.
        let _ = self.disk.remove_file(download(&name));
    }

    /// What is left of a draft that ended before it was told to be dropped, as its chunks were refused, is of no use.
    fn remove_left_draft(&self, told: &draft::Draft<'_>) {
        let name = draft_name(told.path, told.size);
        if !self.transfers.iter().any(|transfer| transfer.name == name) {
            // Mostly there is nothing.
            let _ = self.disk.remove_file(download(&name));
        }
    }

    /// What an earlier try to fetch a file as a draft left becomes its partial file: which chunks of it are right, the
    /// recipe says.
    pub(super) fn adopt_draft(&self, path: &[u8], size: u64, name: &[u8]) {
        let left = draft_name(path, size);
        if size > LARGE
            && download_stat(&self.disk, &left).is_some()
            && download_stat(&self.disk, name).is_none()
        {
            // If it fails, all of it is fetched.
            let _ = self
                .disk
                .rename(download(&left), download(name), RenameMode::NoReplace);
        }
    }
}

fn blocks(chunks: u32) -> u32 {
    chunks.div_ceil(RECIPE_BLOCK_CHUNKS as u32)
}
