//! What of an ancestor's files is looked at next (docs/legacy.md, "Taking").

use super::Legacy;
use super::ancestor::Expected;
use super::landing::SETTLED;
use crate::disk::Disk;
use crate::peer::Peer;
use proto_core::time::{Duration, Instant};

/// A path that an ancestor has changed must stay as it is for so long before it is fetched by itself: the
/// ancestor may publish it, and a file that vanishes while it is fetched ends the ancestor's server.
const CHANGED_GRACE: Duration = Duration::from_secs(3);
/// The same for a path that is new, which an ancestor does publish in the end.
const NEW_GRACE: Duration = Duration::from_secs(15);

/// What is being fetched from an ancestor.
pub enum Goal {
    /// Its batch of this number.
    Batch(u32),
    /// A file by itself, which had this time.
    File(Vec<u8>, u64),
    /// Only the size of a file, to believe that it is what we expect.
    Size(Vec<u8>, u64, Expected),
}

impl<D: Disk> Legacy<D> {
    /// Begins to fetch something that an ancestor has and we do not know. False if there is nothing.
    pub(super) fn choose_incoming(&mut self, now: Instant, peer: &Peer<D>) -> bool {
        for place in 0..self.ancestors.len() {
            let Some((goal, name)) = self.next_goal(now, place) else {
                continue;
            };
            match self.begin_fetch(now, peer, place, goal, &name) {
                Ok(()) => return true,
                Err(error) => log::warn!("{name} cannot be fetched: {error}"),
            }
        }
        false
    }

    fn next_goal(&mut self, now: Instant, place: usize) -> Option<(Goal, String)> {
        let published = self.publishing.number;
        let own = &self.own;
        let ancestor = self
            .ancestors
            .get_mut(place)
            .filter(|ancestor| ancestor.is_online())?;
        let add_times = ancestor.add_times?;
        let direct = |path: &[u8]| {
            let path = std::str::from_utf8(path).ok()?;
            Some(format!("../share/{path}"))
        };
        let ready = || {
            ancestor
                .unresolved()
                .filter(move |(_, seen)| seen.retry_at <= now)
        };
        for (path, seen) in ready() {
            if let Some(expected) = seen.expected
                && expected.number <= add_times
                && now.saturating_since(seen.since) >= SETTLED
                && let Some(name) = direct(path)
            {
                return Some((Goal::Size(path.clone(), seen.mtime, expected), name));
            }
        }
        let strange = ready().any(|(_, seen)| seen.expected.is_none());
        if add_times > ancestor.taken && add_times != published && strange {
            return Some((Goal::Batch(add_times), format!("zip{add_times}.zip")));
        }
        let due = ready().find_map(|(path, seen)| {
            let ours = std::str::from_utf8(path).is_ok_and(|path| own.contains_key(path));
            let grace = if seen.known.is_some() || ours {
                CHANGED_GRACE
            } else {
                NEW_GRACE
            };
            let still = now.saturating_since(seen.since.max(ancestor.online_since)) >= grace;
            let name = direct(path).filter(|_| still)?;
            Some((Goal::File(path.clone(), seen.mtime), name))
        });
        if due.is_none() && ancestor.unresolved().next().is_none() {
            ancestor.taken = ancestor.taken.max(add_times);
        }
        due
    }
}
