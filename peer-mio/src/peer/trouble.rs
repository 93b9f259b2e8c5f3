//! What the engine finds wrong with peers and with our index: sentences for the user, or a new index id
//! (docs/architecture.md, section 2).

use super::Peer;
use crate::disk::Disk;
use crate::store::StoreError;
use proto_core::boundary::PeerSlot;
use proto_core::engine::Trouble;
use proto_core::index::entry::{Entry, IndexId, Sequence};
use proto_core::limits::MAX_VERSIONS;
use proto_core::wire::page::{EntryRef, Page};

/// What the sentence about two peers with one index is filed under.
const TWINS: &str = "twins";

impl<D: Disk> Peer<D> {
    pub(super) fn see_to(&mut self, peer: PeerSlot, trouble: Trouble) {
        let address = self.address(peer);
        match trouble {
            Trouble::OtherKey => self.errors.set(
                &address,
                format!("{address} does not use our key: give all peers the same key file"),
            ),
            Trouble::Echo => {
                let is_own = self.config.peers.get(peer.place());
                if is_own.is_some_and(|address| (self.config.is_own_address)(*address)) {
                    log::info!("{address} is this peer itself");
                    self.engine.confirm_self(peer);
                } else {
                    self.errors.set(
                        &address,
                        format!("{address} only sends back what it gets: no tinypeer is there"),
                    );
                }
            }
            Trouble::IndexCopied => {
                self.renew_under(0, &format!("{address} runs with a copy of our index"));
            }
            Trouble::IndexWentBack => {
                let why = format!("{address} knows more of our index than there is");
                self.renew_under(self.agreed, &why);
            }
        }
    }

    /// Peers came or went.
    pub(super) fn check_peers(&mut self, connected: Option<PeerSlot>) {
        if let Some(peer) = connected {
            let address = self.address(peer);
            self.errors.clear(&address);
        }
        let slots = || (0..self.config.peers.len()).filter_map(PeerSlot::new);
        let twins = slots().find_map(|one| {
            let index = self.engine.connected_index(one)?;
            let other = slots()
                .skip(one.place() + 1)
                .find(|other| self.engine.connected_index(*other) == Some(index))?;
            Some((self.address(one), self.address(other)))
        });
        match twins {
            Some((one, other)) => self.errors.set(
                TWINS,
                format!(
                    "{one} and {other} have the same index: if they are not one machine, remove .tinypeer/index.redb on one of them"
                ),
            ),
            None => self.errors.clear(TWINS),
        }
    }

    /// Whether a page holds a change of ours that we never made: our index went back.
    pub(super) fn knows_our_future(&self, page: &Page<'_>) -> Result<bool, StoreError> {
        let (own, newest) = (self.store.index_id(), self.store.sequence());
        for told in page.entries() {
            let counted = told.entry.version.get(own);
            if counted > newest || counted > 0 && self.never_counted(&told, counted)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether our row of a path lacks a change that is counted as ours. A path that was forgotten, a full
    /// vector and damage, which is not merged, prove nothing.
    fn never_counted(&self, told: &EntryRef<'_>, counted: Sequence) -> Result<bool, StoreError> {
        let proves = |entry: &Entry| {
            entry.version.len() < MAX_VERSIONS && entry.modified_by != IndexId::NOBODY
        };
        let row = self.store.get(told.path)?;
        Ok(row.is_some_and(|row| {
            proves(&told.entry)
                && proves(&row.entry)
                && row.entry.version.get(self.store.index_id()) < counted
        }))
    }

    pub(super) fn index_went_back(&mut self, peer: PeerSlot) {
        self.see_to(peer, Trouble::IndexWentBack);
    }

    fn renew_under(&mut self, agreed: Sequence, why: &str) {
        if self.renewal.is_none() {
            log::warn!("{why}: it goes on under a new id");
        }
        self.renewal = Some(self.renewal.map_or(agreed, |before| before.min(agreed)));
    }

    /// Keeps how far all have read our journal with what is committed next.
    pub(super) fn note_agreed(&mut self) -> Result<(), StoreError> {
        if self.renewal.is_some() || self.engine.is_overtaken() {
            // What they have read is another history.
            return Ok(());
        }
        let agreed: Sequence = self.engine.seen_by_all().min(self.committed);
        if agreed > self.agreed {
            self.store.set_agreed(agreed)?;
            self.agreed = agreed;
        }
        Ok(())
    }

    /// Gives the index its new id, once it can be written.
    pub(super) fn renew_index(&mut self) {
        let Some(agreed) = self.renewal else {
            return;
        };
        self.break_off_landing();
        match self.store.renew(self.spare_id, agreed) {
            Ok(()) => self.renewed = true,
            Err(error) => self.store_failed(&error),
        }
    }
}
