//! What ancestors lack becomes a batch, and the batch gets a number (docs/legacy.md, "Publishing").

use super::ancestor::{UNPACKING, time_for};
use super::batch::{BatchJob, file_name};
use super::job::{Job, SLICE};
use super::seen::{Expected, Stage};
use super::{Legacy, ROOM, Served};
use crate::disk::{At, Disk, Place};
use crate::peer::Peer;
use crate::peer::legacy_files::OwnFile;
use proto_core::content::ContentId;
use proto_core::legacy::{Complete, next_number};
use proto_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Our files must have stayed the same for so long: each batch costs one of nine numbers.
const QUIET: Duration = Duration::from_millis(1000);
/// So long an ancestor may take from a new number to its first request, and between two of them.
const STALL: Duration = Duration::from_secs(10);
/// The same members are published again after so long at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// An ancestor that has come may first fetch from whom it finds.
const SETTLE: Duration = Duration::from_secs(2);

/// What was published.
#[derive(Default)]
pub struct Publishing {
    /// The number of our newest batch; 0 before the first.
    pub number: u32,
    /// When it was.
    pub at: Instant,
    /// What is in it.
    members: BTreeMap<String, ContentId>,
    bytes: u64,
    /// All numbers are used up.
    pub is_exhausted: bool,
    /// Why the last batch could not be made.
    pub failed: Option<String>,
    retry_at: Instant,
    /// So long after it the same is not published again: an ancestor that does not take it would use up all numbers.
    pause: Duration,
}

impl<D: Disk> Legacy<D> {
    /// Begins a batch if one is due.
    pub(super) fn choose_publishing(&mut self, now: Instant, peer: &Peer<D>) {
        let quiet = now.saturating_since(self.own_since) >= QUIET && peer.is_idle();
        // What came from an ancestor must be in our list before anything is compared with it.
        let current = self.own_changes == Some(peer.changes());
        if !quiet || !current || self.own_unusable || now < self.publishing.retry_at {
            return;
        }
        let online = || {
            self.ancestors
                .iter()
                .filter(|ancestor| ancestor.is_online())
        };
        // What is theirs is taken first, as far as it can be: an ancestor that has more files than we say does not fetch.
        let unresolved =
            online().any(|ancestor| ancestor.unresolved().any(|(_, seen)| seen.holds_up(now)));
        if unresolved || online().any(|ancestor| self.is_busy(now, ancestor)) {
            return;
        }
        let files: Vec<(String, OwnFile)> = self
            .own
            .iter()
            .filter(|(path, own)| online().any(|ancestor| ancestor.lacks(path, own)))
            // All unpack the batch: what only one of them has must not be replaced.
            .filter(|(path, _)| !online().any(|ancestor| ancestor.is_unknown(path)))
            .map(|(path, own)| (path.clone(), *own))
            .collect();
        if files.is_empty() {
            self.publishing.pause = Duration::ZERO;
            return;
        }
        let again = files
            .iter()
            .all(|(path, own)| self.publishing.members.get(path) == Some(&own.content));
        if again && now < self.publishing.at + self.publishing.pause {
            return;
        }
        let theirs = online().filter_map(|ancestor| ancestor.add_times);
        let Some(number) = next_number(self.publishing.number, theirs) else {
            // From now on we tell 0, so that ancestors that begin anew begin at 0 too.
            self.publishing.number = 0;
            self.reply_stale = true;
            if !std::mem::replace(&mut self.publishing.is_exhausted, true) {
                for ancestor in &mut self.ancestors {
                    for seen in ancestor.seen.values_mut() {
                        seen.expected = None;
                    }
                }
            }
            return;
        };
        self.publishing.is_exhausted = false;
        self.publishing.pause = if again {
            (self.publishing.pause * 2).clamp(STALL, LONGEST_PAUSE)
        } else {
            STALL
        };
        let bytes = files.iter().map(|(_, file)| file.size).sum::<u64>();
        let room = peer.disk().space().map_or(u64::MAX, |space| space.free);
        let begun = if room < bytes.saturating_add(ROOM) {
            Err(std::io::Error::other("there is no room for it on the disk"))
        } else {
            BatchJob::begin(peer.disk(), number, files)
        };
        match begun {
            Ok(job) => self.job = Job::Publish(Box::new(job)),
            Err(error) => self.publish_failed(now, &error),
        }
    }

    fn publish_failed(&mut self, now: Instant, error: &std::io::Error) {
        self.publishing.retry_at = now + STALL;
        self.publishing.failed = Some(format!(
            "no batch can be made for the peers of --legacy: {error}"
        ));
    }

    /// Whether an ancestor is about to get what it lacks, from us or from another.
    fn is_busy(&self, now: Instant, ancestor: &super::Ancestor) -> bool {
        if now.saturating_since(ancestor.online_since) < SETTLE {
            return true;
        }
        let ours = &self.publishing;
        let lacking = |(path, content): (&String, &ContentId)| {
            let seen = ancestor.seen.get(path.as_bytes());
            let known = seen
                .filter(|seen| seen.here)
                .and_then(|seen| seen.known)
                .map(|known| known.content);
            known != Some(*content)
        };
        if ours.number > 0 && ours.members.iter().any(lacking) {
            let sent = ancestor.serve.last_sent(ours.number);
            let mut last = ours.at.max(sent.unwrap_or(Instant::ZERO));
            let mut grace = STALL;
            if ancestor.completed_at >= ours.at {
                last = last.max(ancestor.completed_at);
                grace += time_for(ours.bytes);
            }
            if ancestor.add_times == Some(ours.number) {
                last = last.max(ancestor.adopted_at);
            }
            return now < last + grace;
        }
        if ancestor.add_times != Some(ours.number) && ancestor.add_times != Some(0) {
            // It has learnt of somebody else's batch. What is ours only since then is not in that.
            let may_bring =
                |path: &str| self.own_since <= ancestor.adopted_at || ancestor.expects_newest(path);
            let lacking = self
                .own
                .iter()
                .filter(|(path, own)| may_bring(path) && ancestor.lacks(path, own))
                .map(|(_, own)| own.size)
                .sum();
            return now < ancestor.adopted_at + Duration::from_secs(3) + time_for(lacking);
        }
        false
    }

    /// A slice of making a batch. True if there is more to do.
    pub(super) fn step_publish(
        &mut self,
        now: Instant,
        peer: &Peer<D>,
        mut job: Box<BatchJob<D::File>>,
    ) -> bool {
        match job.step(peer, SLICE) {
            Ok(None) => {
                self.job = Job::Publish(job);
                return true;
            }
            Ok(Some(batch)) if batch.members.is_empty() => {
                // All of it changed meanwhile.
                job.discard(peer.disk());
                self.publishing.retry_at = now + STALL;
            }
            Ok(Some(batch)) => {
                self.publishing.failed = None;
                log::info!(
                    "published to the peers of --legacy: {} files as zip{}.zip, {} bytes",
                    batch.members.len(),
                    batch.number,
                    batch.size
                );
                self.publishing.number = batch.number;
                self.publishing.at = now;
                self.publishing.bytes = batch.bytes;
                self.publishing.members.clone_from(&batch.members);
                for ancestor in &mut self.ancestors {
                    expect_members(ancestor, &self.own, &batch, Stage::Published);
                }
                self.reply_stale = true;
                keep_two(&mut self.served, peer, batch);
            }
            Err(error) => {
                job.discard(peer.disk());
                self.publish_failed(now, &error);
            }
        }
        false
    }
}

impl<D: Disk> Legacy<D> {
    /// The last block of a batch was sent to the ancestor at `place`: it will unpack it, perhaps not for the first time.
    pub(super) fn sent(&mut self, now: Instant, place: usize, complete: Complete) {
        let mut served = self.served.0.iter();
        let batch = served.find(|batch| batch.number == complete.number);
        let (Some(batch), Some(ancestor)) = (batch, self.ancestors.get_mut(place)) else {
            return;
        };
        ancestor.completed_at = now;
        let stage = Stage::Sent {
            until: now + UNPACKING + time_for(batch.bytes),
            all_asked: complete.all_asked,
        };
        expect_members(ancestor, &self.own, batch, stage);
    }
}

/// An ancestor that unpacks the batch will hold what is in it.
fn expect_members<F>(
    ancestor: &mut super::Ancestor,
    own: &BTreeMap<String, OwnFile>,
    batch: &super::Batch<F>,
    stage: Stage,
) {
    for (path, content) in &batch.members {
        let own = own.get(path).filter(|own| own.content == *content);
        match own {
            Some(own) => {
                let expected = Expected {
                    content: *content,
                    size: own.size,
                    number: batch.number,
                    stage,
                };
                ancestor.will_hold(path.as_bytes(), expected);
            }
            // It has changed since; the batch has not.
            None => ancestor.reached(path.as_bytes(), batch.number, stage),
        }
    }
}

/// The newest batch and the one before it are served; older ones go.
fn keep_two<D: Disk>(served: &mut Served<D::File>, peer: &Peer<D>, batch: super::Batch<D::File>) {
    served.0.retain(|before| before.number != batch.number);
    served.0.push(batch);
    while served.0.len() > 2 {
        let oldest = served.0.remove(0);
        let _removed = peer.disk().remove_file(At {
            place: Place::Zip,
            path: &file_name(oldest.number),
        });
    }
}
