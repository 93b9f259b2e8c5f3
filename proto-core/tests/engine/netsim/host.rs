//! A host with an engine, and what a driver does around it.

use super::library::{Content, Library};
use super::net::Net;
use super::{instant, slot};
use proto_core::boundary::{Mark, PeerSlot, PullId};
use proto_core::content::ContentId;
use proto_core::engine::{Delivery, Engine, Event, Own, Trouble};
use proto_core::index::entry::{IndexId, Sequence};
use proto_core::limits::MAX_DATAGRAM;
use proto_core::pull::{Failure, Want};
use proto_core::time::Instant;
use proto_core::wire::draft::Stage;
use proto_core::wire::page::Page;
use proto_core::wire::{ObjectId, announce};
use std::collections::{BTreeMap, VecDeque};

/// The buffer that is given to [`Engine::poll_transmit`].
const BURST: usize = 64 * 1024;
/// What a host gets that is longer than this is a BLOCK: it serves nothing to whom it pulls from.
const LONGER_THAN_A_HEARTBEAT: usize = 150;

/// All contents, by their ids.
pub type Truth = BTreeMap<ContentId, Content>;

/// One host.
pub struct Host {
    pub engine: Box<Engine>,
    pub library: Library,
    pub events: Vec<(u64, Event)>,
    /// Pieces still to pull.
    pub todo: VecDeque<Want>,
    /// What is being collected.
    buffers: BTreeMap<(u16, u16), Vec<u8>>,
    /// Pieces that were complete and right.
    pub done: Vec<Want>,
    pub failed: Vec<(Want, Failure)>,
    /// Troubles that were told of.
    pub troubles: Vec<(PeerSlot, Trouble)>,
    /// Entries read of each index, in the order of arrival.
    pub learned: BTreeMap<IndexId, Vec<(Sequence, Vec<u8>)>>,
    /// Contents that came with announcements.
    pub brought: Vec<Vec<u8>>,
    /// What it was told of files that are being hashed, and when.
    pub drafts: Vec<(Instant, ContentId, Stage)>,
    pub cursors: BTreeMap<IndexId, Sequence>,
    pub own: Own,
    /// Bytes that arrived and were new.
    pub new_bytes: u64,
    /// Datagrams longer than a heartbeat that brought nothing.
    pub useless: u64,
    /// Whether failed pieces are wanted again.
    pub persistent: bool,
    /// Whether pages that arrive are thrown away, as if the store could not be written.
    pub forgetful: bool,
    /// Pieces that did not verify.
    pub corrupted: usize,
    pub boot: u32,
    pub alive: bool,
    /// Bits per second that its socket takes for all peers together; 0: no limit.
    pub uplink: u64,
    /// When the socket has room again, in microseconds.
    writable_at: u64,
    blocked: bool,
    /// For the datagrams that are sent.
    buffer: Vec<u8>,
}

impl Host {
    pub fn new(engine: Box<Engine>, index: IndexId) -> Self {
        Self {
            engine,
            library: Library::new(index),
            events: Vec::new(),
            todo: VecDeque::new(),
            buffers: BTreeMap::new(),
            done: Vec::new(),
            failed: Vec::new(),
            troubles: Vec::new(),
            learned: BTreeMap::new(),
            brought: Vec::new(),
            drafts: Vec::new(),
            cursors: BTreeMap::new(),
            own: Own::default(),
            new_bytes: 0,
            useless: 0,
            persistent: false,
            forgetful: false,
            corrupted: 0,
            boot: 1,
            alive: true,
            uplink: 0,
            writable_at: 0,
            blocked: false,
            buffer: vec![0; BURST],
        }
    }

    /// A new engine after a crash; what was collected is lost.
    pub fn restart(&mut self, now: Instant, boot: u32, engine: Box<Engine>) {
        self.engine = engine;
        self.engine.set_own(now, self.own);
        self.boot = boot;
        self.alive = true;
        self.buffers.clear();
    }

    /// Everything that a driver does after an input.
    pub fn work(&mut self, now: u64, this: usize, truth: &Truth, net: &mut Net) {
        self.turn(now, truth);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut bursts = 0;
        while self.writable_at <= now
            && let Some(transmit) =
                self.engine
                    .poll_transmit(instant(now), &mut buffer, &mut self.library)
        {
            for datagram in buffer[..transmit.len].chunks(transmit.segment_size) {
                assert!(datagram.len() <= MAX_DATAGRAM);
                net.send(now, this, transmit.peer.place(), datagram, transmit.ecn);
            }
            let takes = (transmit.len as u64 * 8_000_000).checked_div(self.uplink);
            self.writable_at = now + takes.unwrap_or(0);
            bursts += 1;
            assert!(bursts < 100_000, "sends without end");
        }
        self.buffer = buffer;
        self.blocked = self.writable_at > now;
        let wakes = self.engine.poll_timeout();
        assert!(
            self.blocked || wakes > instant(now),
            "host {this} does not sleep at {now}: {wakes:?}",
        );
    }

    /// When it wants to work without an input.
    pub fn timeout(&self) -> u64 {
        if !self.alive {
            u64::MAX
        } else if self.blocked {
            self.writable_at
        } else {
            self.engine.poll_timeout().as_micros()
        }
    }

    fn paddings(&self, from: usize) -> u64 {
        self.engine
            .status(slot(from))
            .map_or(0, |status| status.paddings)
    }

    pub fn receive(&mut self, now: Instant, from: usize, bytes: &mut [u8], mark: bool) {
        let mark = if mark { Mark::Congestion } else { Mark::None };
        let len = bytes.len();
        let paddings = self.paddings(from);
        match self.engine.handle_datagram(now, slot(from), bytes, mark) {
            Some(Delivery::Arrival(arrival)) => {
                self.new_bytes += arrival.bytes.len() as u64;
                let key = (arrival.pull.slot, arrival.pull.generation);
                let buffer = self.buffers.entry(key).or_default();
                let end = arrival.at + arrival.bytes.len();
                if buffer.len() < end {
                    buffer.resize(end, 0);
                }
                buffer[arrival.at..end].copy_from_slice(arrival.bytes);
            }
            Some(Delivery::Page {
                peer,
                page,
                contents,
            }) => {
                let through = page.through;
                if !self.forgetful {
                    self.brought
                        .extend(announce::contents(contents).map(<[u8]>::to_vec));
                    self.learn(&page);
                    self.engine.set_cursor(now, peer, through);
                }
            }
            Some(Delivery::Draft { id, draft, .. }) => {
                self.drafts.push((now, id, draft.stage));
            }
            // That a PADDING came is all that it is for.
            None if self.paddings(from) > paddings => {}
            None => self.useless += u64::from(len > LONGER_THAN_A_HEARTBEAT),
        }
    }

    fn learn(&mut self, page: &Page<'_>) {
        let cursor = self.cursors.entry(page.index_id).or_default();
        assert!(page.after <= *cursor, "a page that leaves entries out");
        let known = self.learned.entry(page.index_id).or_default();
        for told in page.entries().filter(|told| told.entry.sequence > *cursor) {
            known.push((told.entry.sequence, told.path.to_vec()));
        }
        *cursor = page.through.max(*cursor);
    }

    /// Timers and events; then as many new pulls as there is room for.
    fn turn(&mut self, now: u64, truth: &Truth) {
        let at = instant(now);
        self.engine.handle_timeout(at);
        // What fails at once and is wanted again waits for the next turn.
        let mut turns = self.todo.len();
        loop {
            let mut events = 0;
            while let Some(event) = self.engine.poll_event() {
                self.events.push((now, event));
                self.handle_event(at, event, truth);
                events += 1;
                assert!(events < 10_000, "events without end: {event:?}");
            }
            if turns == 0 || self.engine.free_pulls() == 0 {
                return;
            }
            let Some(want) = self.todo.pop_front() else {
                return;
            };
            turns -= 1;
            assert!(self.engine.pull(want).is_some());
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event, truth: &Truth) {
        match event {
            Event::Connected { peer, index } => {
                let cursor = self.cursors.get(&index).copied().unwrap_or_default();
                self.engine.set_cursor(now, peer, cursor);
            }
            Event::Complete { pull, want } => self.complete(now, pull, want, truth),
            Event::Failed {
                pull,
                want,
                failure,
            } => {
                self.buffers.remove(&(pull.slot, pull.generation));
                if !matches!(want.object, ObjectId::Journal(_)) {
                    self.failed.push((want, failure));
                    if self.persistent {
                        self.todo.push_back(want);
                    }
                }
            }
            Event::Trouble { peer, trouble } => self.troubles.push((peer, trouble)),
            Event::Disconnected { .. } | Event::Initiation { .. } | Event::Asked { .. } => {}
        }
    }

    fn complete(&mut self, now: Instant, pull: PullId, want: Want, truth: &Truth) {
        let key = (pull.slot, pull.generation);
        let mut bytes = self.buffers.remove(&key).unwrap_or_default();
        if let Some((encoding, len)) = self.engine.encoded(pull)
            && encoding.is_shorter()
        {
            bytes.truncate(len);
        }
        match want.object {
            ObjectId::Content(id) | ObjectId::Recipe(id) => {
                if truth[&id].is_right(want.object, want.start, &bytes) {
                    self.engine.finish(pull);
                    self.done.push(want);
                } else {
                    self.corrupted += 1;
                    self.engine.corrupt(pull);
                }
            }
            ObjectId::Bundle(_) => {
                assert!(bytes.iter().all(|byte| *byte == 7));
                self.engine.finish(pull);
                self.done.push(want);
            }
            ObjectId::Journal(_) if self.forgetful => self.engine.finish(pull),
            ObjectId::Journal(_) => match Page::parse(&bytes) {
                Ok(page) => {
                    self.learn(&page);
                    self.engine.finish(pull);
                    self.engine
                        .set_cursor(now, want.only.unwrap(), page.through);
                }
                Err(_) => {
                    self.corrupted += 1;
                    self.engine.corrupt(pull);
                }
            },
        }
    }
}
