//! One content from several sources: which chunk is asked for next, and from whom (docs/protocol.md,
//! "Several sources").

mod chunk_window;
mod source;
mod table;

use crate::boundary::PeerSlot;
use crate::content::ContentId;
use crate::limits::MAX_PEERS;
use crate::pull::PeerSet;
use crate::time::{Duration, Instant};
use crate::wire::have::Have;
pub use chunk_window::{ChunkWindow, WINDOW};
use source::Source;
pub use table::Swarms;

/// Between two HAVEs about one content to one peer, while chunks come: so long for each of those who fetch it, ourselves
/// too, since each of them is told.
const TELL_PAUSE: Duration = Duration::from_millis(2);
/// ... and with many of them: shorter than who fetches waits for what others may have (`engine/swarms.rs`).
const LONGEST_TELL_PAUSE: Duration = Duration::from_millis(16);
/// Without a new chunk for this long, who says nothing of the content is asked for it too.
const FORSAKEN: Duration = Duration::from_secs(1);
/// ... and if all refuse that, twice as long before the next time, up to so long.
const LONGEST_FORSAKEN: Duration = Duration::from_secs(64);

/// A chunk to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Its place in the recipe.
    pub chunk: u32,
    /// From whom; `None`: nobody is known to have it, so from anybody.
    pub from: Option<PeerSlot>,
}

/// Who may be asked now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// Connected, not silent.
    pub speaking: PeerSet,
    /// Of these, with room for one more chunk.
    pub ready: PeerSet,
    /// Of these, with half of all that can be asked for at once: if one vanishes, the other half goes on.
    pub laden: PeerSet,
    /// Of these, so slow that what they have is better asked for from a whole source.
    pub slow: PeerSet,
}

/// One content of many chunks that is being fetched.
#[derive(Debug)]
pub struct Swarm {
    content: ContentId,
    chunks: u32,
    /// Where the window begins: a multiple of 64, all chunks before it are here.
    base: u32,
    /// Chunks that are here and verify.
    here: ChunkWindow,
    /// Chunks that are here or asked for.
    taken: ChunkWindow,
    /// Chunks that are ours to get from a whole source.
    share: ChunkWindow,
    sources: [Source; MAX_PEERS],
    own: u64,
    /// When a chunk last came.
    stirred_at: Instant,
    /// Until then nobody is asked for what nobody is known to have, unless a chunk comes.
    guess_at: Instant,
    /// The pause before that.
    forsaken: Duration,
    random: u64,
}

impl Swarm {
    /// `own` is the name by which the others know us. `is_here` says which chunks are here already, `told_by` who
    /// must have all of it.
    pub fn new(
        now: Instant,
        content: ContentId,
        chunks: u32,
        own: u64,
        told_by: Option<PeerSlot>,
        is_here: &impl Fn(u32) -> bool,
    ) -> Self {
        let mut swarm = Self {
            content,
            chunks,
            base: 0,
            here: ChunkWindow::EMPTY,
            taken: ChunkWindow::EMPTY,
            share: ChunkWindow::EMPTY,
            sources: core::array::from_fn(|_| Source::default()),
            own,
            stirred_at: now,
            guess_at: now + FORSAKEN,
            forsaken: FORSAKEN,
            random: own ^ word(content),
        };
        if let Some(source) = told_by.and_then(|peer| swarm.sources.get_mut(peer.place())) {
            source.set_whole();
        }
        swarm.fill(0, is_here);
        swarm.advance(is_here);
        swarm
    }

    /// The content.
    #[must_use]
    pub fn content(&self) -> ContentId {
        self.content
    }

    /// Takes in which chunks of the window are here, from this place on, and which are our share.
    fn fill(&mut self, from: u32, is_here: &impl Fn(u32) -> bool) {
        for place in from..self.places() {
            if is_here(self.base + place) {
                self.here.set(place);
                self.taken.set(place);
            }
        }
        self.apportion(from);
    }

    /// Chunks of the content that are in the window.
    fn places(&self) -> u32 {
        (self.chunks - self.base.min(self.chunks)).min(WINDOW)
    }

    /// There are more chunks than were known: `chunks` in all.
    pub fn extend(&mut self, chunks: u32, is_here: &impl Fn(u32) -> bool) {
        let before = self.places();
        self.chunks = self.chunks.max(chunks);
        self.fill(before, is_here);
        self.advance(is_here);
    }

    /// What was fetched as a draft has its name.
    pub fn name(&mut self, content: ContentId) {
        self.content = content;
        self.apportion(0);
    }

    fn advance(&mut self, is_here: &impl Fn(u32) -> bool) {
        loop {
            let full = self.here.full_words();
            if full == 0 {
                return;
            }
            self.base += full;
            for window in [&mut self.here, &mut self.taken, &mut self.share] {
                window.advance(full);
            }
            for source in &mut self.sources {
                source.advance(full);
            }
            self.fill(WINDOW - full, is_here);
        }
    }

    /// A chunk is here and verifies.
    pub fn has_come(&mut self, now: Instant, chunk: u32, is_here: &impl Fn(u32) -> bool) {
        let Some(place) = chunk.checked_sub(self.base) else {
            return;
        };
        self.here.set(place);
        self.taken.set(place);
        self.stirred_at = now;
        self.forsaken = FORSAKEN;
        self.guess_at = now + FORSAKEN;
        let fetching = self.sources.iter().filter_map(Source::fetching).count() as u32;
        let pause = LONGEST_TELL_PAUSE.min(TELL_PAUSE * (fetching + 1));
        for source in &mut self.sources {
            source.news_for_it(now, pause);
        }
        self.advance(is_here);
    }

    /// Which of those who fetch it gets a chunk from a whole source: each by the same rule, so that they get
    /// different ones (rendezvous hashing, Thaler and Ravishankar 1998).
    fn apportion(&mut self, from: u32) {
        if from == 0 {
            self.share = ChunkWindow::EMPTY;
        }
        for place in from..self.places() {
            let chunk = u64::from(self.base + place) ^ word(self.content);
            let weight = |name: u64| mix(mix(name) ^ chunk);
            let own = weight(self.own);
            let mut others = self.sources.iter().filter_map(Source::fetching);
            if !others.any(|name| weight(name) > own) {
                self.share.set(place);
            }
        }
    }

    /// What a peer told; `name` is its index id.
    pub fn told(&mut self, now: Instant, peer: PeerSlot, name: u64, have: &Have<'_>) {
        let places = self.places();
        let Some(source) = self.sources.get_mut(peer.place()) else {
            return;
        };
        let before = source.fetching();
        source.told(now, name, have, self.base, places);
        if before != source.fetching() {
            self.apportion(0);
        }
    }

    /// A peer has gone: what it told does not hold.
    pub fn forget(&mut self, peer: PeerSlot) {
        self.lose(peer, Source::forget);
    }

    /// A peer refused a chunk: what it told does not hold.
    pub fn refused(&mut self, now: Instant, peer: PeerSlot) {
        self.lose(peer, |source| source.refused(now));
    }

    fn lose(&mut self, peer: PeerSlot, lose: impl FnOnce(&mut Source)) {
        if let Some(source) = self.sources.get_mut(peer.place()) {
            let fetched = source.fetching().is_some();
            lose(source);
            if fetched {
                self.apportion(0);
            }
        }
    }

    /// A peer sent wrong bytes: what it tells is not believed.
    pub fn distrust(&mut self, peer: PeerSlot) {
        self.forget(peer);
        if let Some(source) = self.sources.get_mut(peer.place()) {
            source.distrust();
        }
    }

    /// Whether a whole source that has room can be asked for a chunk of our own share.
    #[must_use]
    pub fn has_own_left(&self, sources: Sources) -> bool {
        !self.whole(sources.ready).is_empty()
            && self.share.without(&[&self.taken]).first_from(0).is_some()
    }

    /// Those of these peers that have all of it.
    fn whole(&self, among: PeerSet) -> PeerSet {
        let mut whole = PeerSet::EMPTY;
        for peer in among.iter() {
            if self.sources.get(peer.place()).is_some_and(Source::has_all) {
                whole.insert(peer);
            }
        }
        whole
    }

    /// The next chunk, without what others will get for us: what a peer has that fetches it too, else of our share.
    pub fn choose(&mut self, sources: Sources) -> Option<Choice> {
        let ready = sources.ready.iter();
        for peer in ready.filter(|peer| !sources.laden.contains(*peer)) {
            let Some(source) = self.sources.get(peer.place()) else {
                continue;
            };
            if source.fetching().is_some()
                && let Some(place) = self.rarest(peer, sources)
            {
                return Some(self.take(place, Some(peer)));
            }
        }
        let peer = self.any(self.whole(sources.ready))?;
        let place = self.share.without(&[&self.taken]).first_from(0)?;
        Some(self.take(place, Some(peer)))
    }

    /// Of what a peer has and we lack, the first that nobody else has; else any.
    fn rarest(&self, peer: PeerSlot, sources: Sources) -> Option<u32> {
        let held = self.sources.get(peer.place())?.held();
        let wanted = held.without(&[&self.taken]);
        let first = wanted.first_from(0)?;
        if !self.whole(sources.speaking).is_empty() {
            return Some(first);
        }
        let mut rare = wanted;
        for (place, other) in self.sources.iter().enumerate() {
            if place != peer.place() {
                rare = rare.without(&[other.held()]);
            }
        }
        rare.first_from(0).or(Some(first))
    }

    /// The next chunk when nothing is left of our share anywhere: one that others were to get. Whom we ask for it
    /// has all, and nobody else of use has it; the place is left to chance, so that two who do this get different ones.
    pub fn choose_of_others(&mut self, now: Instant, sources: Sources) -> Option<Choice> {
        let mut wanted = ChunkWindow::before(self.places()).without(&[&self.taken]);
        wanted.first_from(0)?;
        let start = self.next_random() as u32 % self.places().max(1);
        if self.whole(sources.speaking).is_empty() {
            return self.choose_of_nobody(now, &wanted);
        }
        let peer = self.any(self.whole(sources.ready))?;
        for useful in sources
            .speaking
            .iter()
            .filter(|peer| !sources.slow.contains(*peer))
        {
            if let Some(source) = self.sources.get(useful.place()) {
                wanted = wanted.without(&[source.held()]);
            }
        }
        let place = wanted.first_from(start)?;
        Some(self.take(place, Some(peer)))
    }

    /// Nobody is known to have all. As long as it gets on, or somebody may still answer, that is waited for; then one
    /// chunk is asked for, which may be refused by all.
    fn choose_of_nobody(&mut self, now: Instant, wanted: &ChunkWindow) -> Option<Choice> {
        let waits = self.taken.without(&[&self.here]).first_from(0).is_some();
        if waits || now < self.guess_at {
            return None;
        }
        let place = wanted.first_from(0)?;
        Some(self.take(place, None))
    }

    /// All refused this chunk. True if one of these peers fetches the content too, so that more of it may come: then it is
    /// asked for again when it is told, or after a pause.
    pub fn put_back(&mut self, now: Instant, chunk: u32, speaking: PeerSet) -> bool {
        let is_heard = |peer: PeerSlot| {
            let source = self.sources.get(peer.place());
            source.is_some_and(|source| source.was_heard(now))
        };
        if !speaking.iter().any(is_heard) {
            return false;
        }
        if let Some(place) = chunk.checked_sub(self.base) {
            self.taken.unset(place);
        }
        self.forsaken = (self.forsaken * 2).min(LONGEST_FORSAKEN);
        self.guess_at = now + self.forsaken;
        true
    }

    fn take(&mut self, place: u32, from: Option<PeerSlot>) -> Choice {
        self.taken.set(place);
        Choice {
            chunk: self.base + place,
            from,
        }
    }

    fn any(&self, peers: PeerSet) -> Option<PeerSlot> {
        let count = peers.iter().count().max(1) as u64;
        peers.iter().nth((mix(self.random) % count) as usize)
    }

    fn next_random(&mut self) -> u64 {
        self.random = mix(self.random);
        self.random
    }

    /// When a HAVE for a peer is due.
    #[must_use]
    pub fn tell_at(&self, peer: PeerSlot) -> Instant {
        self.sources
            .get(peer.place())
            .map_or(Instant::FAR_FUTURE, Source::tell_at)
    }

    /// The HAVE for a peer, its bitmap in `bitmap`.
    pub fn tell<'a>(
        &mut self,
        now: Instant,
        peer: PeerSlot,
        bitmap: &'a mut [u8; (WINDOW / 8) as usize],
    ) -> Option<Have<'a>> {
        let count = self.here.write(bitmap);
        let asks = self
            .sources
            .get_mut(peer.place())?
            .telling(now, self.stirred_at);
        Some(Have {
            content: self.content,
            asks,
            whole: false,
            first: self.base,
            count,
            held: bitmap.get(..usize::from(count).div_ceil(8))?,
        })
    }

    /// Whether a peer fetches it too.
    #[must_use]
    pub fn is_fetched_by(&self, peer: PeerSlot) -> bool {
        let source = self.sources.get(peer.place());
        source.is_some_and(|source| source.fetching().is_some())
    }
}

fn word(content: ContentId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = content.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The output function of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
