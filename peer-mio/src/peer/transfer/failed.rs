//! The end of a content that cannot be had now, and of a single pull.

use super::retries::Cause;
use super::{Fetched, PullUse, Transfer};
use crate::disk::Disk;
use crate::peer::Peer;
use crate::store::{Pending, StoreError};
use proto_core::boundary::{PeerSlot, PullId};
use proto_core::content::ContentId;
use proto_core::path::Escaped;
use proto_core::pull::{Failure, PeerSet};

const NOBODY: &str = "no connected peer has it now";

/// The sentence for `status`.
pub(super) fn cannot_be_fetched(path: &[u8], why: &str) -> String {
    format!("{} cannot be fetched: {why}", Escaped(path))
}

impl<D: Disk> Peer<D> {
    /// A piece cannot be had now: its transfer is stuck, or ends; what is here stays in `download/`.
    pub(in crate::peer) fn pull_failed(&mut self, pull: PullId, failure: Failure) {
        log::trace!("pull {pull:?} failed: {failure:?}");
        let used = self.uses.take(pull);
        self.assembly.release(pull);
        let Some(used) = used else { return };
        if let PullUse::Bundle(bundle) = used {
            return self.part_failed(pull, bundle, failure);
        }
        if let Some(place) = self
            .transfers
            .iter()
            .position(|transfer| used.is_for(transfer))
        {
            match failure {
                Failure::Gone => self.nobody_has(place, used, NOBODY),
                Failure::Silent => {
                    self.nobody_has(place, used, "who should have it sends nothing of it");
                }
                Failure::Disconnected => self.end_transfer(place),
            }
        }
    }

    fn nobody_has(&mut self, place: usize, used: PullUse, why: &str) {
        let Some(transfer) = self.transfers.get(place) else {
            return;
        };
        if !transfer.wrong.is_empty() {
            let sentence = format!(
                "{} sends wrong bytes of {}",
                self.addresses(transfer.wrong),
                Escaped(&transfer.path)
            );
            self.fail_saying(place, Cause::Wrong, sentence);
        } else if self.is_now_stuck(place, used) {
            self.wait_stuck(place, why);
        } else {
            self.fail_transfer(place, Cause::Gone, why);
        }
    }

    /// Whether a transfer stays though nobody has this piece: others fetch its content too.
    fn is_now_stuck(&mut self, place: usize, used: PullUse) -> bool {
        let (Some(transfer), PullUse::Chunk { place: chunk, .. }) =
            (self.transfers.get_mut(place), used)
        else {
            return false;
        };
        let stays = !transfer.is_draft()
            && self
                .engine
                .chunk_is_refused(self.now.mono, transfer.content, chunk);
        if stays {
            transfer.in_flight = transfer.in_flight.saturating_sub(1);
            transfer.is_stuck = true;
        }
        stays
    }

    /// Says that a transfer is stuck, unless a user brought its content while it still came.
    fn wait_stuck(&mut self, place: usize, why: &str) {
        let Some(transfer) = self.transfers.get(place) else {
            return;
        };
        let (path, content) = (transfer.path.clone(), transfer.content);
        match self.is_here(content, transfer.size) {
            Ok(true) => self.is_here_otherwise(content),
            Ok(false) => {
                let which = Fetched {
                    path: &path,
                    content,
                };
                self.fetch_is_stuck(&which, cannot_be_fetched(&path, why));
            }
            Err(error) => {
                self.end_transfer(place);
                self.store_failed(&error);
            }
        }
    }

    /// Notes who sent bytes that do not verify, if it is known; from now on another one is preferred.
    pub(super) fn sent_wrong_bytes(&mut self, place: usize, senders: PeerSet) {
        let (Some(sender), Some(transfer)) = (senders.single(), self.transfers.get(place)) else {
            return;
        };
        let mut wrong = transfer.wrong;
        wrong.insert(sender);
        if wrong != transfer.wrong {
            log::warn!(
                "{} sends wrong bytes of {}",
                self.addresses(senders),
                Escaped(&transfer.path)
            );
        }
        let prefer = self.better_source(wrong);
        if let Some(transfer) = self.transfers.get_mut(place) {
            self.engine.distrust(sender, transfer.content);
            transfer.wrong = wrong;
            // A draft has only one source.
            if !transfer.is_draft() {
                transfer.told_by = prefer;
            }
        }
    }

    fn addresses(&self, peers: PeerSet) -> String {
        let addresses = self.config.peers.iter().enumerate();
        let among = addresses
            .filter(|(place, _)| PeerSlot::new(*place).is_some_and(|peer| peers.contains(peer)))
            .map(|(_, address)| address.to_string());
        among.collect::<Vec<_>>().join(", ")
    }

    /// Ends a transfer because of something that is said in `status`.
    pub(super) fn fail_transfer(&mut self, place: usize, cause: Cause, why: &str) {
        let Some(transfer) = self.transfers.get(place) else {
            return;
        };
        let sentence = cannot_be_fetched(&transfer.path, why);
        self.fail_saying(place, cause, sentence);
    }

    fn fail_saying(&mut self, place: usize, cause: Cause, sentence: String) {
        let Some(transfer) = self.transfers.get(place) else {
            return;
        };
        if transfer.is_draft() {
            // Nobody waits for it: it is fetched by its name.
            log::debug!("{sentence}");
            return self.end_transfer(place);
        }
        let (path, content, wrong) = (transfer.path.clone(), transfer.content, transfer.wrong);
        if transfer.reads_recipe(content) {
            self.fetching.mixed.next(content);
        }
        let which = Fetched {
            path: &path,
            content,
        };
        self.fetch_failed(&which, cause, sentence);
        self.fetching.retries.note_wrong(&path, wrong);
        self.end_transfer(place);
    }

    /// All of a content is here, by another way than over the network. What still comes of it goes on coming if there is no room
    /// for a second copy.
    pub(in crate::peer) fn is_here_otherwise(&mut self, content: ContentId) {
        let mut transfers = self.transfers.iter();
        let Some(place) = transfers.position(|it| it.fetches(content)) else {
            return;
        };
        let ends = |it: &Transfer<D::File>| it.is_stuck || self.has_plenty_of_room(it.size);
        if self.transfers.get(place).is_some_and(ends) {
            self.engine.end_fetch(content, true);
            self.end_transfer(place);
            self.plan.restart();
        }
    }

    /// Ends what is stuck on its way to a path where it is not pending any more.
    pub(super) fn end_unwanted(&mut self) -> Result<(), StoreError> {
        for place in (0..self.transfers.len()).rev() {
            let Some(stuck) = self.transfers.get(place).filter(|it| it.is_stuck) else {
                continue;
            };
            let pending = self.store.pending(&stuck.path)?;
            if pending.is_none_or(|pending| pending.entry.content != stuck.content) {
                self.end_transfer(place);
            }
        }
        Ok(())
    }

    /// Something else is pending at a path than what is stuck on its way there.
    pub(in crate::peer) fn end_stuck(&mut self, path: &[u8], pending: &Pending) {
        let content = pending.entry.content;
        let mut transfers = self.transfers.iter();
        let stuck =
            transfers.position(|it| it.is_stuck && it.path == path && it.content != content);
        if let Some(place) = stuck {
            self.end_transfer(place);
        }
    }

    /// A stuck one makes way for another: it is tried again after a pause.
    pub(super) fn give_way(&mut self, place: usize) {
        if self.transfers.get(place).is_some_and(|it| it.is_stuck) {
            self.fail_transfer(place, Cause::Gone, NOBODY);
        } else {
            self.end_transfer(place);
        }
    }

    /// Ends all; they begin again where they were.
    pub(in crate::peer) fn end_transfers(&mut self) {
        self.drop_bundles();
        while !self.transfers.is_empty() {
            self.end_transfer(self.transfers.len() - 1);
        }
    }

    /// Ends a transfer; what is verified of it is remembered.
    pub(super) fn end_transfer(&mut self, place: usize) {
        if place >= self.transfers.len() {
            return;
        }
        let transfer = self.transfers.remove(place);
        if transfer.chunks.is_some() {
            self.engine.end_fetch(transfer.content, false);
        }
        for pull in self.uses.of(|used| used.is_for(&transfer)) {
            self.engine.cancel(pull);
            self.assembly.release(pull);
            self.uses.take(pull);
        }
        if transfer.is_unnamed() {
            self.end_unnamed(&transfer);
        } else {
            self.fetching.kept.keep(transfer);
        }
        self.plan.retry_later();
    }

    /// What is not removed now goes when house is kept.
    fn end_unnamed(&mut self, draft: &Transfer<D::File>) {
        if draft.fresh && draft.fetched == 0 {
            // Nothing came, but room is reserved for all of it.
            let _ = self.disk.remove_file(super::download(&draft.name));
        }
        if let Err(error) = self.store.remove_recipe(draft.content) {
            log::warn!("recipe {}: {error}", draft.content);
        }
    }

    pub(in crate::peer) fn end_pull(&mut self, pull: PullId) {
        self.engine.finish(pull);
        self.assembly.release(pull);
        self.uses.take(pull);
    }
}
