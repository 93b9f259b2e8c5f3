//! The bridge to ancestors that `--legacy` names (docs/legacy.md): a peer's other side, beside the engine. It
//! asks them what they have, takes what is theirs as if a user had put it into `share/`, and publishes what
//! they lack as batches. `proto_core::legacy` decides what the wire and the table of "Taking" say.

mod ancestor;
mod batch;
mod cursor;
mod incoming;
mod landing;
mod publish;
pub mod sockets;
pub mod unpack;

use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place};
use crate::peer::Peer;
use crate::peer::legacy_files::OwnFile;
use ancestor::Ancestor;
use batch::Batch;
use incoming::Job;
use proto_core::legacy::{
    BLOCK_PORT, Batches, INFORMATION_PORT, InformationQuery, InformationReply,
    MAX_INFORMATION_REPLY, Reply, ReplyWriter, Request, is_answer,
};
use proto_core::time::{Duration, Instant};
use publish::Publishing;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// By how much an answer to an information request is held back. An ancestor asks the next question as soon
/// as it has the answer, and what that leaves of its processor goes to its downloads; it waits for a second.
const ANSWER_DELAY: Duration = Duration::from_millis(20);
/// Between two looks at our own files while they change.
const REFRESH: Duration = Duration::from_millis(100);
/// Between two times that what is known of ancestors is kept.
const KEEP: Duration = Duration::from_secs(2);
/// Between two looks at what is to be done.
const TICK: Duration = Duration::from_millis(200);
/// What a trouble is filed under.
const CAUSE: &str = "legacy";

/// Which socket a datagram leaves from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// Port 22002.
    Information,
    /// Port 22001.
    Blocks,
}

/// The batches that are served: the newest, and the one before it while somebody still fetches it.
struct Served<F>(Vec<Batch<F>>);

impl<F: DiskFile> Batches for Served<F> {
    fn size(&mut self, number: u32) -> Option<u64> {
        self.0
            .iter()
            .find(|batch| batch.number == number)
            .map(|batch| batch.size)
    }

    fn read(&mut self, number: u32, offset: u64, out: &mut [u8]) -> bool {
        let batch = self.0.iter().find(|batch| batch.number == number);
        let Some(batch) = batch else {
            return false;
        };
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match batch
                .file
                .read_at(offset.saturating_add(filled as u64), rest)
            {
                Ok(0) | Err(_) => return false,
                Ok(count) => filled += count,
            }
        }
        true
    }
}

/// The bridge.
pub struct Legacy<D: Disk> {
    ancestors: Vec<Ancestor>,
    served: Served<D::File>,
    publishing: Publishing,
    job: Job<D::File>,
    /// Our files, as of this change of the index.
    own: BTreeMap<String, OwnFile>,
    own_changes: Option<u64>,
    /// When they changed last.
    own_since: Instant,
    /// We have more of them than an ancestor can be told of, or do not know them.
    own_unusable: bool,
    refreshed_at: Instant,
    /// The answer to an information request, and whether it is still right.
    reply: Vec<u8>,
    reply_stale: bool,
    looked_at: Instant,
    /// Datagrams from addresses that are not named.
    strangers: u64,
}

impl<D: Disk> Legacy<D> {
    /// A bridge to these ancestors.
    pub fn new(now: Instant, peer: &Peer<D>, ancestors: &[Ipv4Addr]) -> Self {
        let mut ancestors: Vec<_> = ancestors.iter().map(|ip| Ancestor::new(now, *ip)).collect();
        for ancestor in &mut ancestors {
            ancestor.load(peer.disk());
        }
        incoming::clean(peer.disk());
        Self {
            ancestors,
            served: Served(Vec::new()),
            publishing: Publishing::default(),
            job: Job::None,
            own: BTreeMap::new(),
            own_changes: None,
            own_since: now,
            own_unusable: false,
            refreshed_at: Instant::ZERO,
            reply: Vec::new(),
            reply_stale: true,
            looked_at: Instant::ZERO,
            strangers: 0,
        }
    }

    fn place_of(&mut self, from: SocketAddr) -> Option<usize> {
        let place = self
            .ancestors
            .iter()
            .position(|ancestor| IpAddr::V4(ancestor.ip) == from.ip());
        if place.is_none() {
            self.strangers = self.strangers.saturating_add(1);
        }
        place
    }

    /// Takes a datagram from port 22002.
    pub fn handle_information(&mut self, now: Now, from: SocketAddr, datagram: &[u8]) {
        let Some(ancestor) = self
            .place_of(from)
            .and_then(|place| self.ancestors.get_mut(place))
        else {
            return;
        };
        if !is_answer(from.port()) {
            match InformationQuery::parse(datagram) {
                Ok(InformationQuery::Information) => {
                    ancestor.note_question(now.mono + ANSWER_DELAY, from.port());
                }
                // Its dict tells it too.
                Ok(InformationQuery::Modified { path }) => {
                    log::debug!("{}: modified: {}", ancestor.ip, path.escape_debug());
                }
                Err(_) => ancestor.refused += 1,
            }
            return;
        }
        let Ok(reply) = InformationReply::parse(datagram) else {
            ancestor.refused += 1;
            return;
        };
        if !ancestor.asking.handle_answer(now.mono) {
            return;
        }
        if let Err(error) = ancestor.told(now.mono, &reply) {
            ancestor.refused += 1;
            log::debug!(
                "{}: its list of files cannot be read: {error:?}",
                ancestor.ip
            );
        }
        self.reply_stale = true;
        self.looked_at = Instant::ZERO;
    }

    /// Takes a datagram of an ancestor's from port 22001: it begins with a 0, ours never do.
    pub fn handle_blocks(&mut self, now: Now, from: SocketAddr, datagram: &[u8]) {
        let Some(place) = self.place_of(from) else {
            return;
        };
        let Some(ancestor) = self.ancestors.get_mut(place) else {
            return;
        };
        if from.port() == BLOCK_PORT {
            match Reply::parse(datagram) {
                Ok(reply) => self.job.handle_reply(now.mono, place, &reply),
                Err(_) => ancestor.refused += 1,
            }
            return;
        }
        match Request::parse(datagram) {
            Ok(request) => {
                ancestor
                    .serve
                    .handle_request(now.mono, from.port(), &request, &mut self.served);
            }
            Err(_) => ancestor.refused += 1,
        }
    }

    /// Writes the next datagram: from which socket, where to, its length.
    pub fn poll_transmit(&mut self, now: Now, out: &mut [u8]) -> Option<(Via, SocketAddr, usize)> {
        if self.reply_stale && self.is_ready() {
            self.build_reply();
        }
        let ready = self.is_ready();
        for ancestor in &mut self.ancestors {
            let at = |port| SocketAddr::new(IpAddr::V4(ancestor.ip), port);
            if ancestor.asking.poll_transmit(now.mono) {
                return Some((Via::Information, at(INFORMATION_PORT), 0));
            }
            if let Some((due, port)) = ancestor.questions.front().copied()
                && due <= now.mono
            {
                ancestor.questions.pop_front();
                let room = out.get_mut(..self.reply.len());
                // Before we know what we have, we are away.
                if let Some(room) = room.filter(|_| ready) {
                    room.copy_from_slice(&self.reply);
                    return Some((Via::Information, at(port), self.reply.len()));
                }
            }
            if let Some((port, len)) = ancestor
                .serve
                .poll_transmit(now.mono, &mut self.served, out)
            {
                if ancestor.serve.take_complete().is_some() {
                    ancestor.completed_at = now.mono;
                }
                return Some((Via::Blocks, at(port), len));
            }
        }
        let (place, len) = self.job.poll_transmit(now.mono, out)?;
        let ip = self.ancestors.get(place)?.ip;
        Some((
            Via::Blocks,
            SocketAddr::new(IpAddr::V4(ip), BLOCK_PORT),
            len,
        ))
    }

    /// When to call [`Self::work`] and [`Self::poll_transmit`] again if nothing else happens.
    #[must_use]
    pub fn next_wake(&self) -> Instant {
        let ancestors = self.ancestors.iter().map(|ancestor| {
            let question = ancestor.questions.front();
            ancestor
                .asking
                .poll_timeout()
                .min(question.map_or(Instant::FAR_FUTURE, |(due, _)| *due))
                .min(ancestor.serve.poll_timeout())
        });
        ancestors
            .min()
            .unwrap_or(Instant::FAR_FUTURE)
            .min(self.job.next_wake())
            .min(self.looked_at + TICK)
    }

    /// A slice of work. True if there is more to do at once.
    pub fn work(&mut self, now: Now, peer: &mut Peer<D>) -> bool {
        self.refresh_own(now.mono, peer);
        let more = self.step_job(now, peer);
        if !self.job.is_none() {
            return more;
        }
        if now.mono.saturating_since(self.looked_at) >= TICK {
            self.looked_at = now.mono;
            self.keep(now.mono, peer);
            if self.is_ready() && !self.choose_incoming(now, peer) {
                self.choose_publishing(now.mono, peer);
            }
            self.tell_troubles(peer);
        }
        !self.job.is_none()
    }

    fn is_ready(&self) -> bool {
        self.own_changes.is_some()
    }

    fn refresh_own(&mut self, now: Instant, peer: &Peer<D>) {
        let changes = peer.changes();
        if self.own_changes == Some(changes)
            || !peer.has_scanned()
            || now.saturating_since(self.refreshed_at) < REFRESH
        {
            return;
        }
        self.refreshed_at = now;
        self.own_changes = Some(changes);
        self.reply_stale = true;
        match peer.files_for_legacy() {
            Some(files) => {
                if files != self.own {
                    self.own = files;
                    self.own_since = now;
                }
                self.own_unusable = false;
            }
            None => self.own_unusable = true,
        }
    }

    /// Number of files that ancestors are told: ours, and those of theirs that we know and do not have, so that
    /// what was deleted here does not keep them from fetching (docs/legacy.md, "Counting").
    fn count(&self) -> usize {
        let mut ghosts: Vec<&[u8]> = self
            .ancestors
            .iter()
            .filter(|ancestor| ancestor.is_online())
            .flat_map(|ancestor| &ancestor.seen)
            .filter(|(path, seen)| {
                let ours = std::str::from_utf8(path).is_ok_and(|path| self.own.contains_key(path));
                seen.here && seen.is_resolved() && !ours
            })
            .map(|(path, _)| path.as_slice())
            .collect();
        ghosts.sort_unstable();
        ghosts.dedup();
        self.own.len() + ghosts.len()
    }

    fn build_reply(&mut self) {
        self.reply_stale = false;
        let count = u32::try_from(self.count()).unwrap_or(u32::MAX);
        let mut reply = vec![0; MAX_INFORMATION_REPLY];
        let Some(mut writer) = ReplyWriter::new(&mut reply, count, self.publishing.number) else {
            return;
        };
        for (path, file) in &self.own {
            if !writer.push(path, file.mtime) {
                break;
            }
        }
        let len = writer.finish();
        reply.truncate(len);
        self.reply = reply;
    }

    fn keep(&mut self, now: Instant, peer: &Peer<D>) {
        for ancestor in &mut self.ancestors {
            let due = ancestor
                .unkept
                .is_some_and(|since| now.saturating_since(since) >= KEEP);
            if due && let Err(error) = ancestor.keep(peer.disk()) {
                log::warn!("what is known of {} cannot be kept: {error}", ancestor.ip);
            }
        }
    }

    fn tell_troubles(&self, peer: &mut Peer<D>) {
        let sentence = if self.own_unusable {
            Some(format!(
                "share/ has more than {} files: nothing is published to the peers of --legacy, which could not tell of them",
                proto_core::legacy::MAX_LEGACY_FILES
            ))
        } else if self.publishing.is_exhausted {
            Some(
                "the nine batches that the peers of --legacy can take are used up: stop all of them, then start them again"
                    .to_owned(),
            )
        } else {
            self.publishing.failed.clone()
        };
        peer.set_trouble(CAUSE, sentence);
    }

    /// Datagrams that were dropped: from addresses that are not named, and from ancestors but unreadable.
    #[must_use]
    pub fn dropped(&self) -> (u64, u64) {
        let refused = self.ancestors.iter().map(|ancestor| ancestor.refused).sum();
        (self.strangers, refused)
    }
}

/// A name in `download/`.
fn download(path: &[u8]) -> At<'_> {
    At {
        place: Place::Download,
        path,
    }
}
