//! Contents with several sources: what peers tell of them, and which chunk is asked for next
//! (docs/protocol.md, "Several sources").

use super::{Engine, Event, JOURNAL_PULLS, Remote};
use crate::boundary::PeerSlot;
use crate::content::ContentId;
use crate::limits::{MAX_PEERS, MAX_PIECE, MAX_PULLS};
use crate::session::CipherKey;
use crate::swarm::{Choice, Sources, Swarm, WINDOW};
use crate::time::{Duration, Instant};
use crate::wire::ObjectId;
use crate::wire::have::Have;

/// Chunks are asked for from a peer up to what its window holds and this, so that it never waits for us.
const AHEAD: usize = MAX_PIECE / 4;
/// But no more than what it sends in this time, so that the last chunk is not waited for longer.
const TAIL: Duration = Duration::from_millis(250);
/// Pieces that may wait for one peer while others are connected: the places of the rest are for them.
const SHARE: usize = (MAX_PULLS - JOURNAL_PULLS) * 3 / 4;
/// A peer is slow if a whole source sends so many times what it does.
const SLOW: u64 = 4;
/// So long what others are to get for us is waited for while nothing else is left to ask for.
const PATIENCE: Duration = Duration::from_millis(20);
/// Between two answers to what a peer tells of contents that we do not fetch, if it does not ask.
const ANSWER_PAUSE: Duration = Duration::from_millis(50);
/// Between two HAVEs to one peer, of whatever content.
const HAVE_PAUSE: Duration = Duration::from_millis(1);

impl<K: CipherKey> Engine<K> {
    /// A content of many chunks is fetched from now on; `is_here` says which chunks are here already, `told_by`
    /// whose journal told of it. False if too many are.
    pub fn begin_fetch(
        &mut self,
        now: Instant,
        content: ContentId,
        chunks: u32,
        told_by: Option<PeerSlot>,
        is_here: &impl Fn(u32) -> bool,
    ) -> bool {
        let own = self.config.session.index_id.0;
        let told_by = told_by.filter(|peer| self.connected_index(*peer).is_some());
        let swarm = Swarm::new(now, content, chunks, own, told_by, is_here);
        self.swarms.add(swarm)
    }

    /// More chunks of a draft are known: `chunks` in all.
    pub fn extend_fetch(&mut self, draft: ContentId, chunks: u32, is_here: &impl Fn(u32) -> bool) {
        if let Some(swarm) = self.swarms.get_mut(draft) {
            swarm.extend(chunks, is_here);
        }
    }

    /// A draft has its name, under which nothing is fetched: what is asked for, and told, of it goes on under that.
    pub fn name_fetch(&mut self, draft: ContentId, content: ContentId) {
        if let Some(swarm) = self.swarms.get_mut(draft) {
            swarm.name(content);
        }
        for (_, piece) in self.pulls.iter_mut() {
            if piece.want.object == ObjectId::Content(draft) {
                piece.want.object = ObjectId::Content(content);
            }
        }
    }

    /// The next chunk of a content to pull, if there is one and somebody has room for it.
    pub fn next_chunk(&mut self, now: Instant, content: ContentId) -> Option<Choice> {
        let sources = match self.askable {
            Some((at, sources)) if at == now => sources,
            _ => self.sources(now),
        };
        self.askable = Some((now, sources));
        if sources.ready.is_empty() {
            return None;
        }
        if let Some(choice) = self.swarms.get_mut(content)?.choose(sources) {
            self.waiting_since = None;
            return Some(choice);
        }
        if self.swarms.iter().any(|swarm| swarm.has_own_left(sources)) {
            self.waiting_since = None;
            return None;
        }
        let since = *self.waiting_since.get_or_insert_with(|| {
            self.patience_ends = now + PATIENCE;
            now
        });
        if now.saturating_since(since) < PATIENCE {
            return None;
        }
        self.swarms.get_mut(content)?.choose_of_others(now, sources)
    }

    /// A chunk is here and verifies.
    pub fn chunk_has_come(
        &mut self,
        now: Instant,
        content: ContentId,
        chunk: u32,
        is_here: &impl Fn(u32) -> bool,
    ) {
        if let Some(swarm) = self.swarms.get_mut(content) {
            swarm.has_come(now, chunk, is_here);
        }
    }

    /// All who could be asked for a chunk refused it. True if the content stays in transit, since somebody fetches it too.
    pub fn chunk_is_refused(&mut self, now: Instant, content: ContentId, chunk: u32) -> bool {
        let speaking = self.speaking(now);
        let swarm = self.swarms.get_mut(content);
        swarm.is_some_and(|swarm| swarm.put_back(now, chunk, speaking))
    }

    /// A peer sent bytes of a content that do not verify: it is not asked for it any more.
    pub fn distrust(&mut self, peer: PeerSlot, content: ContentId) {
        if let Some(swarm) = self.swarms.get_mut(content) {
            swarm.distrust(peer);
        }
    }

    /// A content is not fetched any more. If it is complete, those who fetch it too are told so.
    pub fn end_fetch(&mut self, content: ContentId, complete: bool) {
        let Some(swarm) = self.swarms.remove(content) else {
            return;
        };
        for remote in self.remotes.iter_mut().flatten() {
            if complete && swarm.is_fetched_by(remote.slot) {
                remote.tell_whole(content);
            }
        }
    }

    /// All of a content is here: the answer to [`Event::Asked`].
    pub fn tell_whole(&mut self, peer: PeerSlot, content: ContentId) {
        if let Some(remote) = self.remote_mut(peer) {
            remote.tell_whole(content);
        }
    }

    pub(super) fn handle_have(&mut self, now: Instant, peer: PeerSlot, have: &Have<'_>) {
        let Some(index) = self.connected_index(peer) else {
            return;
        };
        if let Some(swarm) = self.swarms.get_mut(have.content) {
            swarm.told(now, peer, index.0, have);
        } else if let Some(remote) = self.remote_mut(peer)
            && (have.asks || now >= remote.answer_at)
        {
            // Who tells us of it has not heard that all of it is here: a HAVE may be lost. A full queue: it
            // tells again.
            remote.answer_at = now + ANSWER_PAUSE;
            let _ = remote.asked.push_back(have.content);
        }
    }

    pub(super) fn poll_asked(&mut self) -> Option<Event> {
        self.remotes.iter_mut().flatten().find_map(|remote| {
            let content = remote.asked.pop_front()?;
            let peer = remote.slot;
            Some(Event::Asked { peer, content })
        })
    }

    /// A HAVE for this peer, if one is due.
    pub(super) fn build_have(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        out: &mut [u8],
    ) -> Option<usize> {
        let remote = self.remotes.get_mut(peer.place())?.as_mut()?;
        if let Some(content) = remote.whole.pop_front() {
            let whole = Have {
                content,
                asks: false,
                whole: true,
                first: 0,
                count: 1,
                held: &[0],
            };
            return whole.emit(out).ok();
        }
        if now < remote.have_at {
            return None;
        }
        let swarm = self
            .swarms
            .iter_mut()
            .min_by_key(|swarm| swarm.tell_at(peer))
            .filter(|swarm| now >= swarm.tell_at(peer))?;
        remote.have_at = now + HAVE_PAUSE;
        let mut bitmap = [0; (WINDOW / 8) as usize];
        swarm.tell(now, peer, &mut bitmap)?.emit(out).ok()
    }

    /// When the next HAVE is due, or the patience ends.
    pub(super) fn swarms_at(&self) -> Instant {
        let due = |remote: &Remote<K>| {
            if !remote.is_connected() || self.swarms.is_empty() {
                return Instant::FAR_FUTURE;
            }
            self.swarms.tell_at(remote.slot).max(remote.have_at)
        };
        let due = self.remotes.iter().flatten().map(due).min();
        due.unwrap_or(Instant::FAR_FUTURE).min(self.patience_ends)
    }

    /// What a peer told of contents in transit holds no more.
    pub(super) fn forget_source(&mut self, peer: PeerSlot) {
        for swarm in self.swarms.iter_mut() {
            swarm.forget(peer);
        }
    }

    /// Who may be asked for one more chunk.
    fn sources(&self, now: Instant) -> Sources {
        let mut speaking = self.speaking(now);
        if speaking.is_empty() {
            // Rather a silent one than none.
            for remote in self.remotes.iter().flatten() {
                if remote.is_connected() {
                    speaking.insert(remote.slot);
                }
            }
        }
        let mut sources = Sources {
            speaking,
            ..Sources::default()
        };
        let rate = |remote: &Remote<K>| remote.flow.delivery.rate();
        let best = self.remotes.iter().flatten().filter_map(rate).max();
        let several = self.has_several_connected();
        let assigned = self.assigned_to_all();
        for remote in self.remotes.iter().flatten() {
            if !speaking.contains(remote.slot) {
                continue;
            }
            let rate = rate(remote);
            // On a long path less would never fill it.
            let time = TAIL.max(remote.flow.rtt.min().unwrap_or_default() * 2);
            let tail = rate.map_or(usize::MAX, |rate| in_time(rate, time));
            let most = (remote.flow.window() + AHEAD).min(tail).max(1);
            let of_it = assigned.get(remote.slot.place());
            let (pieces, bytes) = of_it.copied().unwrap_or_default();
            if bytes < most && (pieces < SHARE || !several) {
                sources.ready.insert(remote.slot);
            }
            if pieces >= MAX_PULLS / 2 {
                sources.laden.insert(remote.slot);
            }
            if rate
                .zip(best)
                .is_some_and(|(rate, best)| rate < best / SLOW)
            {
                sources.slow.insert(remote.slot);
            }
        }
        sources
    }

    /// Whether one more piece may wait for this peer: while others are connected it holds no more than its share of the places.
    #[must_use]
    pub fn has_place_for(&self, peer: PeerSlot) -> bool {
        let assigned = self.assigned_to_all();
        let pieces = assigned.get(peer.place()).map_or(0, |(pieces, _)| *pieces);
        !self.has_several_connected() || pieces < SHARE
    }

    /// Pieces that wait for each peer, and their bytes.
    fn assigned_to_all(&self) -> [(usize, usize); MAX_PEERS] {
        let mut all = [(0, 0); MAX_PEERS];
        for (_, piece) in self.pulls.iter() {
            let peer = piece.source.or(piece.want.only).or(piece.want.prefer);
            if let Some((pieces, bytes)) = peer.and_then(|peer| all.get_mut(peer.place())) {
                *pieces += 1;
                *bytes += piece.missing();
            }
        }
        all
    }
}

/// Bytes at a rate in bytes per second.
fn in_time(rate: u64, time: Duration) -> usize {
    let bytes = u128::from(rate) * time.as_micros() / 1_000_000;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
