//! What the engine says becomes something done: one arm for each event.

use super::start::keep_initiation;
use super::{HOUSEKEEPING, Peer};
use crate::clock::Now;
use crate::disk::{At, Disk, Place};
use crate::jobs::encode::Decoder;
use crate::store::{Durability, StoreError};
use proto_core::boundary::{Arrival, Mark, PeerSlot, PullId};
use proto_core::content::ContentId;
use proto_core::engine::{Delivery, Event};
use proto_core::index::entry::{IndexId, Kind};
use proto_core::limits::MAX_PAGE;
use proto_core::pull::Want;
use proto_core::session::Seen;
use proto_core::time::Duration;
use proto_core::wire::ObjectId;
use proto_core::wire::page::Page;
use std::ops::ControlFlow;

/// A tombstone is kept at least this long, in seconds: no page that is under way can be that old.
const TOMBSTONE_SECONDS: u64 = 3600;
/// Pause before housekeeping is tried again while there is other work.
const HOUSEKEEPING_RETRY: Duration = Duration::from_secs(10);
/// Tombstones forgotten in one go.
const FORGET: usize = 512;

impl<D: Disk> Peer<D> {
    pub(super) fn receive(&mut self, now: Now, peer: PeerSlot, datagram: &mut [u8], mark: Mark) {
        let page = match self.engine.handle_datagram(now.mono, peer, datagram, mark) {
            None => return,
            Some(Delivery::Arrival(Arrival { pull, at, bytes })) => {
                self.assembly
                    .write(pull, at, bytes, proto_core::limits::MAX_PIECE);
                None
            }
            Some(Delivery::Page {
                peer,
                page,
                contents,
            }) => Some((peer, page, contents)),
            Some(Delivery::Draft { peer, id, draft }) => {
                if now.mono >= self.store_retry
                    && let Err(error) = self.take_draft(now, peer, id, &draft)
                {
                    self.store_failed(&error);
                }
                None
            }
        };
        if let Some((peer, page, contents)) = page
            && now.mono >= self.store_retry
            && self.take_page(now, peer, &page)
            && let Err(error) = self.take_contents(now, &page, contents)
        {
            self.store_failed(&error);
        }
    }

    /// Acts on all events. True if there were any.
    pub(super) fn drain_events(&mut self, now: Now) -> bool {
        let mut any = false;
        while let Some(event) = self.engine.poll_event() {
            any = true;
            self.act(now, event);
        }
        any
    }

    fn act(&mut self, now: Now, event: Event) {
        match event {
            Event::Connected { peer, index } => {
                log::info!("peer {} is connected (index {index})", self.address(peer));
                self.check_peers(Some(peer));
                match self.store.cursor(index) {
                    Ok(cursor) => self.engine.set_cursor(now.mono, peer, cursor),
                    Err(error) => self.store_failed(&error),
                }
                // It may have what nobody else could give.
                self.fetching.retries.connected();
                self.plan.restart();
            }
            Event::Disconnected { peer } => {
                log::info!("peer {} is gone", self.address(peer));
                self.check_peers(None);
            }
            Event::Trouble { peer, trouble } => self.see_to(peer, trouble),
            Event::Initiation {
                peer,
                index,
                counter,
            } => {
                if let Err(error) = self.keep_initiation(peer, (index, counter)) {
                    self.store_failed(&error);
                }
            }
            Event::Asked { peer, content } => match self.holds(content) {
                Ok(true) => self.engine.tell_whole(peer, content),
                Ok(false) => {
                    if self.fetching.retries.sought(now.mono, content) {
                        self.plan.retry_at(now.mono);
                    }
                }
                Err(error) => self.store_failed(&error),
            },
            Event::Complete { pull, want } => match want.object {
                ObjectId::Journal(_) => self.page_complete(now, pull, want),
                ObjectId::Content(_) | ObjectId::Recipe(_) | ObjectId::Bundle(_) => {
                    self.pull_complete(pull);
                }
            },
            Event::Failed { pull, failure, .. } => self.pull_failed(pull, failure),
        }
    }

    /// Whether all of a content is here.
    fn holds(&self, content: ContentId) -> Result<bool, StoreError> {
        let mut holds = self.landing.has(content);
        let (store, changed, share) = (&self.store, &self.served.changed, &mut holds);
        store.paths_of(content, &mut |path| match store.get(path) {
            Ok(Some(row)) if row.local.is_some() && !changed.contains(path) => {
                *share = true;
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        })?;
        Ok(holds)
    }

    /// A replay of this initiation must be known also after a restart.
    fn keep_initiation(&mut self, peer: PeerSlot, seen: Seen) -> Result<(), StoreError> {
        let Some(address) = self.config.peers.get(peer.place()) else {
            return Ok(());
        };
        keep_initiation(&mut self.store, *address, seen)?;
        if self.changes.any() {
            Ok(())
        } else {
            self.store.commit(Durability::Durable)
        }
    }

    fn page_complete(&mut self, now: Now, pull: PullId, want: Want) {
        let bytes = self.page_bytes(pull, want).unwrap_or_default();
        let page = Page::parse(&bytes).ok().filter(|page| {
            ObjectId::Journal(page.index_id) == want.object && page.after == want.start
        });
        match (page, want.only) {
            (Some(page), Some(peer)) if now.mono >= self.store_retry => {
                self.engine.finish(pull);
                self.take_page(now, peer, &page);
            }
            // Two states of the journal got mixed (its checksum says so), or our index cannot be written now.
            _ => self.engine.finish(pull),
        }
        self.assembly.release(pull);
    }

    /// A journal page as it was before it was encoded, if it was; `None` if it is no encoding of one.
    fn page_bytes(&mut self, pull: PullId, want: Want) -> Option<Vec<u8>> {
        let came = self.assembly.bytes(pull);
        match self.engine.encoded(pull) {
            Some((encoding, length)) if encoding.is_shorter() => {
                let most = (want.length as usize).min(MAX_PAGE);
                let page = self.decoder.decode_at_most(came.get(..length)?, most);
                page.map(<[u8]>::to_vec)
            }
            _ => Some(came.to_vec()),
        }
    }

    /// The store has other cursors than the engine: it went back to its last commit, or all is to be read anew.
    pub(super) fn reload_cursors(&mut self) {
        for place in 0..self.config.peers.len() {
            let Some(peer) = PeerSlot::new(place) else {
                continue;
            };
            let Some(index) = self.engine.connected_index(peer) else {
                continue;
            };
            if let Ok(cursor) = self.store.cursor(index) {
                self.engine.set_cursor(self.now.mono, peer, cursor);
            }
        }
    }

    /// The slot of the connected peer with this index.
    pub(super) fn slot_of(&self, index: IndexId) -> Option<PeerSlot> {
        (0..self.config.peers.len())
            .filter_map(PeerSlot::new)
            .find(|peer| self.engine.connected_index(*peer) == Some(index))
    }

    pub(super) fn address(&self, peer: PeerSlot) -> String {
        self.config
            .peers
            .get(peer.place())
            .map_or_else(String::new, ToString::to_string)
    }

    /// What is done now and then: old trash and tombstones go, recipes that nothing needs too.
    pub(super) fn keep_house(&mut self, now: Now) {
        if now.mono < self.housekeeping_at {
            return;
        }
        if !self.is_idle() {
            self.housekeeping_at = now.mono + HOUSEKEEPING_RETRY;
            return;
        }
        self.housekeeping_at = now.mono + HOUSEKEEPING;
        // Of pages and bundles alone; with contents it went with their ring.
        self.decoder = Decoder::default();
        while matches!(self.expire_trash(now), Ok(true)) {}
        self.clear_downloads();
        if let Err(error) = self
            .forget_tombstones(now)
            .and_then(|()| self.store.sweep_recipes())
            .and_then(|()| self.sweep_trashed())
        {
            self.store_failed(&error);
            return;
        }
        if self.store.dirty() {
            self.commit_changes();
        }
    }

    /// Nothing is pending: what is left in `download/` is of no use any more.
    fn clear_downloads(&mut self) {
        let root = At {
            place: Place::Download,
            path: b"",
        };
        for name in self.disk.list(root).unwrap_or_default() {
            if name.ends_with(b".part") {
                // If it cannot be removed now, the next time will do.
                let _ = self.disk.remove_file(At {
                    place: Place::Download,
                    path: &name,
                });
            }
        }
    }

    /// A tombstone goes when every configured peer has read our journal past it, an hour after the
    /// journal had come that far.
    fn forget_tombstones(&mut self, now: Now) -> Result<(), StoreError> {
        let (sequence, since) = self.forget_below;
        if now.mono.saturating_since(since) >= Duration::from_secs(TOMBSTONE_SECONDS) {
            let mut old = Vec::new();
            self.store.journal(0, &mut |at, path, row| {
                if at > sequence || old.len() == FORGET {
                    return ControlFlow::Break(());
                }
                if row.entry.kind == Kind::Tombstone {
                    old.push(path.to_vec());
                }
                ControlFlow::Continue(())
            })?;
            for path in &old {
                self.store.forget(path)?;
            }
            if old.len() < FORGET {
                self.forget_below = (0, now.mono);
            }
        }
        if self.forget_below.0 == 0 && self.engine.all_have_seen(self.committed) {
            self.forget_below = (self.committed, now.mono);
        }
        Ok(())
    }
}
