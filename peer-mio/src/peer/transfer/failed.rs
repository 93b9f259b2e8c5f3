//! The end of a content that cannot be had now, and of a single pull.

use super::Fetched;
use super::retries::Cause;
use crate::disk::Disk;
use crate::peer::Peer;
use proto_core::boundary::PullId;
use proto_core::path::Escaped;
use proto_core::pull::Failure;

impl<D: Disk> Peer<D> {
    /// A piece cannot be had now: its transfer ends; what is here stays in `download/`.
    pub(in crate::peer) fn pull_failed(&mut self, pull: PullId, failure: Failure) {
        log::trace!("pull {pull:?} failed: {failure:?}");
        let used = self.uses.take(pull);
        self.assembly.release(pull);
        let Some(used) = used else { return };
        if let Some(place) = self
            .transfers
            .iter()
            .position(|transfer| transfer.fetches(used.content()))
        {
            match failure {
                Failure::Gone => {
                    self.fail_transfer(place, Cause::Gone, "no connected peer has it now");
                }
                Failure::Disconnected => self.end_transfer(place),
            }
        }
    }

    /// Ends a transfer because of something that is said in `status`.
    pub(super) fn fail_transfer(&mut self, place: usize, cause: Cause, why: &str) {
        let Some(transfer) = self.transfers.get(place) else {
            return;
        };
        let (path, content) = (transfer.path.clone(), transfer.content);
        let sentence = format!("{} cannot be fetched: {why}", Escaped(&path));
        let which = Fetched {
            path: &path,
            content,
        };
        self.fetch_failed(&which, cause, sentence);
        self.end_transfer(place);
    }

    /// Ends a transfer; what is verified of it is remembered.
    pub(super) fn end_transfer(&mut self, place: usize) {
        if place >= self.transfers.len() {
            return;
        }
        let transfer = self.transfers.remove(place);
        for pull in self.uses.of(|used| transfer.fetches(used.content())) {
            self.engine.cancel(pull);
            self.assembly.release(pull);
            self.uses.take(pull);
        }
        self.fetching.kept.keep(transfer);
        self.plan.retry_later();
    }

    pub(super) fn end_pull(&mut self, pull: PullId) {
        self.engine.finish(pull);
        self.assembly.release(pull);
        self.uses.take(pull);
    }
}
