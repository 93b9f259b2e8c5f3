//! What of an ancestor's files is looked at next (docs/legacy.md, "Taking").

use super::Legacy;
use super::ancestor::PATH_RETRY;
use super::landing::SETTLED;
use super::seen::{Expected, Stage};
use crate::disk::Disk;
use crate::peer::Peer;
use proto_core::path::Escaped;
use proto_core::time::{Duration, Instant};

/// A path that an ancestor has changed must stay as it is for so long before it is fetched by itself: the
/// ancestor may publish it, and a file that vanishes while it is fetched ends the ancestor's server.
const CHANGED_GRACE: Duration = Duration::from_secs(3);
/// The same for a path that is new, which an ancestor does publish in the end.
const NEW_GRACE: Duration = Duration::from_secs(15);

/// What is being fetched from an ancestor.
pub enum Goal {
    /// Its batch of this number, of which it told then.
    Batch(u32, Instant),
    /// A file by itself, which had this time.
    File(Vec<u8>, u64),
    /// Only the size of a file, to believe that it is what we expect.
    Size(Vec<u8>, u64, Expected),
}

impl Goal {
    /// The path, of a file.
    fn path(&self) -> Option<&[u8]> {
        match self {
            Self::Batch(..) => None,
            Self::File(path, ..) | Self::Size(path, ..) => Some(path),
        }
    }
}

/// What an ancestor calls a file of its own.
pub fn direct(path: &str) -> String {
    format!("../share/{path}")
}

impl<D: Disk> Legacy<D> {
    /// Begins to fetch something that an ancestor has and we do not know. False if there is nothing.
    pub(super) fn choose_incoming(&mut self, now: Instant, peer: &Peer<D>) -> bool {
        // One after the other: who has much to give must not keep the others waiting.
        let count = self.ancestors.len();
        for turn in 0..count {
            let place = (self.turn + turn) % count;
            let Some((goal, name)) = self.next_goal(now, place) else {
                continue;
            };
            let path = goal.path().map(<[u8]>::to_vec);
            match self.begin_fetch(now, peer, place, goal, &name) {
                Ok(()) => {
                    self.turn = place + 1;
                    return true;
                }
                Err(error) => {
                    log::warn!("{} cannot be fetched: {error}", Escaped(name.as_bytes()));
                    self.postpone(now, place, path);
                }
            }
        }
        false
    }

    /// What cannot be fetched is left alone for a while.
    fn postpone(&mut self, now: Instant, place: usize, path: Option<Vec<u8>>) {
        let Some(ancestor) = self.ancestors.get_mut(place) else {
            return;
        };
        match path {
            Some(path) => ancestor.postpone(&path, now + PATH_RETRY),
            // Its files come one by one.
            None => ancestor.taken = ancestor.add_times.unwrap_or(0),
        }
    }

    fn next_goal(&mut self, now: Instant, place: usize) -> Option<(Goal, String)> {
        let published = self.publishing.number;
        let own = &self.own;
        let ancestor = self
            .ancestors
            .get_mut(place)
            .filter(|ancestor| ancestor.is_online() && !ancestor.awaits_late(now))?;
        let add_times = ancestor.add_times?;
        let ready = || {
            ancestor
                .unresolved()
                .filter(move |(_, seen)| seen.retry_at <= now)
        };
        for (path, seen) in ready() {
            let settled = now.saturating_since(seen.since) >= SETTLED;
            let Some(expected) = seen
                .expected
                .filter(|expected| settled && expected.number <= add_times)
            else {
                continue;
            };
            let goal = match expected.stage {
                Stage::Published | Stage::Sent { .. } => continue,
                Stage::Elsewhere if seen.since >= ancestor.unpacks_before(expected.size) => {
                    continue;
                }
                Stage::Unpacked { .. } | Stage::Elsewhere => {
                    Goal::Size(path.into(), seen.mtime, expected)
                }
            };
            return Some((goal, direct(path)));
        }
        let told_at = ancestor.adopted_at;
        let strange = ready()
            .any(|(_, seen)| seen.expected.is_none() && ancestor.may_have_packed(told_at, seen));
        if add_times > ancestor.taken && add_times != published && strange {
            return Some((
                Goal::Batch(add_times, told_at),
                format!("zip{add_times}.zip"),
            ));
        }
        let due = ready().find_map(|(path, seen)| {
            let grace = if seen.known.is_some() || own.contains_key(path) {
                CHANGED_GRACE
            } else {
                NEW_GRACE
            };
            let still = now.saturating_since(seen.since.max(ancestor.online_since)) >= grace;
            still.then(|| (Goal::File(path.into(), seen.mtime), direct(path)))
        });
        if due.is_none() && ancestor.unresolved().next().is_none() {
            ancestor.taken = ancestor.taken.max(add_times);
        }
        due
    }
}
