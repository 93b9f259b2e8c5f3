//! What each pull is for, by its place in the engine's table.

use super::transfer::PullUse;
use proto_core::boundary::PullId;
use proto_core::content::ContentId;
use proto_core::limits::MAX_PULLS;

/// The uses of all pulls.
#[derive(Debug)]
pub struct Uses {
    places: [Option<(PullId, PullUse)>; MAX_PULLS],
}

impl Default for Uses {
    fn default() -> Self {
        Self {
            places: [None; MAX_PULLS],
        }
    }
}

impl Uses {
    /// This pull is for that.
    pub fn set(&mut self, pull: PullId, used: PullUse) {
        if let Some(place) = self.places.get_mut(usize::from(pull.slot)) {
            *place = Some((pull, used));
        }
    }

    /// What a pull is for.
    #[must_use]
    pub fn get(&self, pull: PullId) -> Option<PullUse> {
        let (owner, used) = (*self.places.get(usize::from(pull.slot))?)?;
        (owner == pull).then_some(used)
    }

    /// Forgets a pull.
    pub fn take(&mut self, pull: PullId) -> Option<PullUse> {
        let used = self.get(pull)?;
        if let Some(place) = self.places.get_mut(usize::from(pull.slot)) {
            *place = None;
        }
        Some(used)
    }

    /// What was for a draft is for the content that it is.
    pub fn name(&mut self, draft: ContentId, content: ContentId) {
        for (_, used) in self.places.iter_mut().flatten() {
            if let PullUse::Chunk { content: named, .. } = used
                && *named == draft
            {
                *named = content;
            }
        }
    }

    /// All pulls for something.
    pub fn of(&self, wanted: impl Fn(&PullUse) -> bool) -> Vec<PullId> {
        self.places
            .iter()
            .flatten()
            .filter(|(_, used)| wanted(used))
            .map(|(pull, _)| *pull)
            .collect()
    }
}
