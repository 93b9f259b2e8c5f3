//! Large files that are being hashed here: who is told of them, and when (docs/protocol.md, "Drafts").

use super::{Delivery, Engine};
use crate::boundary::PeerSlot;
use crate::content::draft;
use crate::limits::{MAX_DRAFT_PATH, MAX_DRAFTS, MAX_PEERS};
use crate::session::CipherKey;
use crate::time::{Duration, Instant};
use crate::wire::draft::{Draft, Stage};
use heapless::Vec;

/// Between two DRAFTs of one file to one peer.
const PAUSE: Duration = Duration::from_millis(4);
/// One that was lost is repaired by the next.
const AGAIN: Duration = Duration::from_secs(1);
/// So long after its last change a draft is told of.
const LIFE: Duration = Duration::from_secs(10);

/// One of our files.
#[derive(Debug)]
struct OwnDraft {
    number: u64,
    stage: Stage,
    size: u64,
    path: Vec<u8, MAX_DRAFT_PATH>,
    changed_at: Instant,
    /// When each peer was told, and is to be told again.
    told: [(Instant, Instant); MAX_PEERS],
}

impl OwnDraft {
    fn as_draft(&self) -> Draft<'_> {
        Draft {
            number: self.number,
            stage: self.stage,
            size: self.size,
            path: &self.path,
        }
    }

    fn tell_at(&self, peer: PeerSlot) -> Instant {
        self.told
            .get(peer.place())
            .map_or(Instant::FAR_FUTURE, |(_, at)| *at)
    }
}

/// The files that are told of, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Drafts(Vec<OwnDraft, MAX_DRAFTS>);

impl Drafts {
    fn put(&mut self, now: Instant, draft: &Draft<'_>) {
        let place = self.0.iter().position(|own| own.number == draft.number);
        if let Some(own) = place.and_then(|place| self.0.get_mut(place)) {
            own.stage = draft.stage;
            own.changed_at = now;
            for (told_at, tell_at) in &mut own.told {
                *tell_at = (*tell_at).min(*told_at + PAUSE);
            }
            return;
        }
        // One whose path is too long is told of when it has its name.
        let Ok(path) = Vec::from_slice(draft.path) else {
            return;
        };
        if self.0.is_full() {
            self.0.remove(0);
        }
        let own = OwnDraft {
            number: draft.number,
            stage: draft.stage,
            size: draft.size,
            path,
            changed_at: now,
            told: [(Instant::ZERO, now); MAX_PEERS],
        };
        // There is room now.
        let _ = self.0.push(own);
    }

    /// When a peer is to be told of any.
    pub fn tell_at(&self, peer: PeerSlot) -> Instant {
        let due = self.0.iter().map(|own| own.tell_at(peer)).min();
        due.unwrap_or(Instant::FAR_FUTURE)
    }

    /// A DRAFT for a peer, if one is due.
    fn tell(&mut self, now: Instant, peer: PeerSlot) -> Option<Draft<'_>> {
        self.0.retain(|own| now < own.changed_at + LIFE);
        let own = self.0.iter_mut().find(|own| now >= own.tell_at(peer))?;
        *own.told.get_mut(peer.place())? = (now, now + AGAIN);
        Some(own.as_draft())
    }
}

impl<K: CipherKey> Engine<K> {
    /// A large file of ours is being hashed, or was: the others are told of it from now on. What was told under its number
    /// before is replaced.
    pub fn tell_draft(&mut self, now: Instant, draft: &Draft<'_>) {
        self.drafts.put(now, draft);
    }

    /// When the next DRAFT is due.
    pub(super) fn drafts_at(&self) -> Instant {
        let connected = self.remotes.iter().flatten().filter(|it| it.is_connected());
        let due = connected.map(|remote| self.drafts.tell_at(remote.slot));
        due.min().unwrap_or(Instant::FAR_FUTURE)
    }

    /// A DRAFT for this peer, if one is due.
    pub(super) fn build_draft(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        out: &mut [u8],
    ) -> Option<usize> {
        self.drafts.tell(now, peer)?.emit(out).ok()
    }

    pub(super) fn handle_draft<'a>(
        &self,
        peer: PeerSlot,
        draft: Draft<'a>,
    ) -> Option<Delivery<'a>> {
        let source = self.connected_index(peer)?;
        Some(Delivery::Draft {
            peer,
            id: draft::id(source, draft.number),
            draft,
        })
    }
}
