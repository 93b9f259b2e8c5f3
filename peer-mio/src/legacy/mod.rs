//! The bridge to ancestors that `--legacy` names (docs/legacy.md): a peer's other side, beside the engine. It
//! asks them what they have, takes what is theirs as if a user had put it into `share/`, and publishes what
//! they lack as batches. `proto_core::legacy` decides what the wire and the table of "Taking" say.

mod ancestor;
mod batch;
mod exchange;
mod fetching;
mod incoming;
mod job;
mod kept;
mod landing;
mod publish;
mod seen;
pub mod sockets;
pub mod unpack;
mod unpacking;

use crate::clock::Now;
use crate::disk::{At, Disk, DiskFile, Place};
use crate::peer::Peer;
use crate::peer::legacy_files::OwnFile;
use crate::peer::report::BridgeStatus;
use ancestor::Ancestor;
use batch::Batch;
use job::Job;
use proto_core::legacy::{Batches, MAX_INFORMATION_REPLY, ReplyWriter, bridge_number};
use proto_core::time::{Duration, Instant};
use publish::Publishing;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

/// Between two looks at our own files while they change.
const REFRESH: Duration = Duration::from_millis(100);
/// Between two times that what is known of ancestors is kept.
const KEEP: Duration = Duration::from_secs(2);
/// Between two looks at what is to be done.
const TICK: Duration = Duration::from_millis(200);
/// So long after a start, and after the other bridge was lost, it may come (back).
const LEAD_PATIENCE: Duration = Duration::from_secs(2);
/// Room that is left on the disk.
const ROOM: u64 = 64 << 20;
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
    /// Another bridge takes and publishes at least until then.
    led_until: Instant,
    was_led: bool,
    leads: bool,
    /// When it came to lead after another.
    took_over_at: Option<Instant>,
    /// Which ancestor is asked for something next.
    turn: usize,
    /// When we may send, and ask for something, by the user's limits.
    ready: (Instant, Instant),
    /// Datagrams from addresses that are not named.
    dropped: u64,
}

impl<D: Disk> Legacy<D> {
    /// A bridge to these ancestors.
    pub fn new(now: Instant, peer: &Peer<D>, ancestors: &[Ipv4Addr]) -> Self {
        let mut ancestors: Vec<_> = ancestors.iter().map(|ip| Ancestor::new(now, *ip)).collect();
        for ancestor in &mut ancestors {
            ancestor.load(peer.disk());
        }
        clear_downloads(peer.disk());
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
            led_until: now + LEAD_PATIENCE,
            was_led: false,
            leads: false,
            took_over_at: None,
            turn: 0,
            ready: peer.limits_ready_at(),
            dropped: 0,
        }
    }

    /// A slice of work. True if there is more to do at once.
    pub fn work(&mut self, now: Now, peer: &mut Peer<D>) -> bool {
        self.refresh_own(now.mono, peer);
        let worked = !self.job.is_none();
        let more = self.step_job(now, peer);
        let idle = self.job.is_none();
        if worked && idle {
            clear_downloads(peer.disk());
        }
        if !(worked && idle) && now.mono.saturating_since(self.looked_at) < TICK {
            return more;
        }
        self.looked_at = now.mono;
        self.note_lead(now.mono, peer);
        for ancestor in &mut self.ancestors {
            self.reply_stale |= ancestor.note_twins(now.mono, &self.own);
        }
        self.keep(now.mono, peer);
        if idle && self.is_ready() && self.leads && !self.choose_incoming(now.mono, peer) {
            self.choose_publishing(now.mono, peer);
        }
        self.tell_troubles(peer);
        more || (idle && !self.job.is_none())
    }

    fn is_ready(&self) -> bool {
        self.own_changes.is_some()
    }

    /// Of two bridges to the same ancestor one takes from it and publishes to it (docs/legacy.md, "Two bridges").
    fn note_lead(&mut self, now: Instant, peer: &mut Peer<D>) {
        let status = BridgeStatus {
            leads: self.leads,
            dropped: self.dropped,
            ancestors: self.ancestors.iter().map(Ancestor::line).collect(),
        };
        // With two ancestors the group is full: no other can be a bridge to it.
        let only = match self.ancestors.as_slice() {
            [ancestor] => Some((bridge_number(ancestor.ip), ancestor.is_online())),
            _ => None,
        };
        let told = only.filter(|(_, online)| *online);
        peer.set_bridge(told.map_or(0, |(number, _)| number), status);
        let led = only.map_or(Some(false), |(number, _)| peer.is_bridge_led(number));
        match led {
            Some(true) => {
                self.was_led = true;
                self.led_until = now + LEAD_PATIENCE;
            }
            Some(false) if !self.was_led => self.led_until = now,
            _ => {}
        }
        let leads = self.led_until <= now;
        if leads != self.leads {
            log::debug!(
                "--legacy: this peer {} now",
                if leads { "leads" } else { "follows" }
            );
            self.leads = leads;
            self.took_over_at = (leads && self.was_led).then_some(now);
            self.reply_stale = true;
        }
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

    /// Number of files that ancestors are told: ours, and those of theirs that we do not have, because they were deleted here or cannot
    /// be taken, so that these do not keep them from fetching (docs/legacy.md, "Counting").
    fn count(&self, now: Instant) -> usize {
        let mut ghosts: Vec<&[u8]> = self
            .ancestors
            .iter()
            .filter(|ancestor| ancestor.is_online())
            .flat_map(|ancestor| &ancestor.seen)
            .filter(|(path, seen)| match std::str::from_utf8(path) {
                Ok(path) => seen.here && !seen.holds_up(now) && !self.own.contains_key(path),
                Err(_) => seen.here,
            })
            .map(|(path, _)| path.as_slice())
            .collect();
        ghosts.sort_unstable();
        ghosts.dedup();
        self.own.len() + ghosts.len()
    }

    fn build_reply(&mut self, now: Instant) {
        self.reply_stale = false;
        let count = u32::try_from(self.count(now)).unwrap_or(u32::MAX);
        let mut reply = vec![0; MAX_INFORMATION_REPLY];
        // Who follows has nothing to fetch.
        let number = if self.leads {
            self.publishing.number
        } else {
            0
        };
        let Some(mut writer) = ReplyWriter::new(&mut reply, count, number) else {
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

    /// What is known is kept, before the end.
    pub fn shut_down(&mut self, peer: &Peer<D>) {
        self.keep(Instant::FAR_FUTURE, peer);
    }

    fn keep(&mut self, now: Instant, peer: &Peer<D>) {
        for ancestor in &mut self.ancestors {
            let due = ancestor
                .unkept
                .is_some_and(|since| now.saturating_since(since) >= KEEP);
            if due && let Err(error) = ancestor.keep(peer.disk()) {
                // Again, but not at each look.
                ancestor.unkept = Some(now);
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
}

/// What a job that is over has left there.
fn clear_downloads<D: Disk>(disk: &D) {
    for name in [unpacking::ARCHIVE, landing::FILE] {
        let _removed = disk.remove_file(download(name));
    }
}

/// Makes a file in `download/`. What was there is unlinked and not written over: it may have another name elsewhere.
fn create_anew<D: Disk>(disk: &D, name: &[u8]) -> io::Result<D::File> {
    let at = download(name);
    match disk.remove_file(at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.create(at)
}

/// A name in `download/`.
fn download(path: &[u8]) -> At<'_> {
    At {
        place: Place::Download,
        path,
    }
}
