//! A group of model peers with one path: however entries travel, all peers end with the same entry and
//! no content is lost that nobody replaced knowingly.
#![cfg(test)]

use proptest::prelude::*;
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Sequence, Timestamp};
use proto_core::index::reconcile::{Decision, Found, local_change, reconcile};
use proto_core::index::version_vector::Order;
use proto_core::limits::MAX_VERSIONS;
use std::collections::BTreeSet;

/// One thing that happens to the group. Peers are named by any number, taken modulo their count.
#[derive(Clone, Debug)]
enum Step {
    /// A user writes; `tag` decides the place of the content in the order of contents, and whether
    /// it is new or one that others may write too.
    Write {
        peer: usize,
        kind: Kind,
        tag: u8,
        mtime: i64,
    },
    /// A user changes mode and time only.
    Touch { peer: usize, mode: u16, mtime: i64 },
    /// A power cut damages the file.
    Damage { peer: usize },
    /// A user deletes.
    Delete { peer: usize },
    /// One peer tells another of its entry.
    Gossip { from: usize, to: usize },
    /// An entry that somebody once told arrives again.
    Stale { which: usize, to: usize },
    /// A peer's index is lost and made anew from the disk.
    NewLife { peer: usize },
}

struct Peer {
    id: IndexId,
    sequence: Sequence,
    entry: Option<Entry>,
    kept: BTreeSet<ContentId>,
    was_damaged: bool,
}

impl Peer {
    fn new(id: u64) -> Self {
        // Scattered as random ids are, and first sequences that differ between peers.
        let id = IndexId(id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self {
            id,
            sequence: id.0 % 7,
            entry: None,
            kept: BTreeSet::new(),
            was_damaged: false,
        }
    }

    fn next_sequence(&mut self) -> Sequence {
        self.sequence += 1;
        self.sequence
    }

    fn is_live(&self) -> bool {
        self.entry
            .as_ref()
            .is_some_and(|entry| entry.kind != Kind::Tombstone)
    }

    fn change(&mut self, found: Found) {
        let sequence = self.next_sequence();
        let entry = local_change(self.entry.as_ref(), self.id, sequence, found);
        if let Some(previous) = &self.entry
            && previous.version.len() < MAX_VERSIONS
        {
            assert_eq!(entry.version.compare(&previous.version), Order::After);
        }
        self.entry = Some(entry);
    }

    /// Applies what the peer hears; whether it changed anything.
    fn hear(&mut self, theirs: &Entry) -> bool {
        let entry = match reconcile(self.entry.as_ref(), theirs) {
            Decision::Nothing | Decision::ConflictInsist => return false,
            Decision::Take(entry) | Decision::Merge(entry) | Decision::Keep(entry) => entry,
            Decision::ConflictTake(entry) => {
                let ours = self.entry.as_ref().unwrap();
                assert!(
                    !matches!(ours.kind, Kind::Tombstone | Kind::Directory),
                    "nothing to copy"
                );
                self.kept.insert(ours.content);
                entry
            }
        };
        let sequence = self.next_sequence();
        self.entry = Some(Entry { sequence, ..entry });
        true
    }
}

struct Group {
    peers: Vec<Peer>,
    told: Vec<Entry>,
    lives: u64,
    writes: u64,
    written: BTreeSet<ContentId>,
    replaced: BTreeSet<ContentId>,
    /// What power cuts took.
    damaged: BTreeSet<ContentId>,
}

impl Group {
    fn new(count: usize) -> Self {
        let lives = count as u64;
        let peers = (1..=lives).map(Peer::new).collect();
        Self {
            peers,
            told: vec![],
            lives,
            writes: 0,
            written: BTreeSet::new(),
            replaced: BTreeSet::new(),
            damaged: BTreeSet::new(),
        }
    }

    fn after(count: usize, steps: &[Step]) -> Self {
        let mut group = Self::new(count);
        for step in steps {
            group.run(step);
        }
        group
    }

    /// A change by a user of this peer, who knew what was there before.
    fn change(&mut self, peer: usize, found: Found) {
        if let Some(before) = &self.peers[peer].entry {
            if before.content != found.content {
                self.replaced.insert(before.content);
            }
            let damaged = before.modified_by == IndexId::NOBODY;
            if damaged && found.kind == Kind::File {
                // A deletion may win against what is written into a damaged file.
                self.replaced.insert(found.content);
            } else if damaged || self.peers[peer].was_damaged {
                // Who deletes a damaged file, or makes something else of it, deletes what it was before;
                // so does any later change under the id that counted the damage.
                self.replaced.extend(&self.damaged);
            }
        }
        self.peers[peer].change(found);
        self.remember(peer);
    }

    fn remember(&mut self, peer: usize) {
        self.told.extend(self.peers[peer].entry.clone());
    }

    fn hear(&mut self, peer: usize, theirs: &Entry) -> bool {
        let changed = self.peers[peer].hear(theirs);
        if changed {
            self.remember(peer);
        }
        changed
    }

    fn gossip(&mut self, from: usize, to: usize) -> bool {
        let Some(theirs) = self.peers[from].entry.clone() else {
            return false;
        };
        from != to && self.hear(to, &theirs)
    }

    fn content(&mut self, tag: u8) -> ContentId {
        let mut bytes = [0; 32];
        bytes[0] = tag;
        // Two of eight are contents that others write too.
        if !tag.is_multiple_of(4) {
            self.writes += 1;
            bytes[24..].copy_from_slice(&self.writes.to_be_bytes());
        }
        bytes[1] = 1;
        ContentId(bytes)
    }

    fn run(&mut self, step: &Step) {
        let count = self.peers.len();
        match *step {
            Step::Write {
                peer,
                kind: Kind::Directory,
                ..
            } => {
                self.change(
                    peer % count,
                    Found {
                        kind: Kind::Directory,
                        mode: 0o755,
                        ..Found::NOTHING
                    },
                );
            }
            Step::Write {
                peer,
                kind,
                tag,
                mtime,
            } => {
                let content = self.content(tag);
                self.written.insert(content);
                let mtime = Timestamp {
                    sec: mtime,
                    nsec: 0,
                };
                self.change(
                    peer % count,
                    Found {
                        kind,
                        mode: 0o644,
                        size: 1,
                        mtime,
                        content,
                    },
                );
            }
            Step::Touch { peer, mode, mtime } => {
                let Some(entry) = self.peers[peer % count].entry.clone() else {
                    return;
                };
                if entry.kind == Kind::File {
                    let Entry {
                        kind,
                        size,
                        content,
                        ..
                    } = entry;
                    let mtime = Timestamp {
                        sec: mtime,
                        nsec: 0,
                    };
                    self.change(
                        peer % count,
                        Found {
                            kind,
                            mode,
                            size,
                            mtime,
                            content,
                        },
                    );
                }
            }
            Step::Damage { peer } => self.damage(peer % count),
            Step::Delete { peer } => {
                if self.peers[peer % count].is_live() {
                    self.change(peer % count, Found::NOTHING);
                }
            }
            Step::Gossip { from, to } => {
                self.gossip(from % count, to % count);
            }
            Step::Stale { which, to } => {
                if !self.told.is_empty() {
                    let theirs = self.told[which % self.told.len()].clone();
                    self.hear(to % count, &theirs);
                }
            }
            Step::NewLife { peer } => self.new_life(peer % count),
        }
    }

    fn damage(&mut self, at: usize) {
        let Some(good) = self.peers[at].entry.clone() else {
            return;
        };
        if good.kind != Kind::File {
            return;
        }
        let elsewhere = self.peers.iter().enumerate().any(|(peer, other)| {
            let entry = other.entry.as_ref();
            peer != at && entry.is_some_and(|entry| entry.content == good.content)
        });
        if elsewhere {
            self.damaged.insert(good.content);
        } else {
            self.replaced.insert(good.content);
        }
        let content = self.content(255);
        let Entry {
            kind,
            mode,
            size,
            mtime,
            ..
        } = good;
        self.peers[at].change(Found {
            kind,
            mode,
            size,
            mtime,
            content,
        });
        if let Some(entry) = &mut self.peers[at].entry {
            entry.modified_by = IndexId::NOBODY;
        }
        self.peers[at].was_damaged = true;
        self.remember(at);
    }

    fn new_life(&mut self, at: usize) {
        self.lives += 1;
        let fresh = Peer::new(self.lives);
        let peer = &mut self.peers[at];
        let live = peer.is_live();
        (peer.id, peer.sequence) = (fresh.id, fresh.sequence);
        let before = peer.entry.take().filter(|_| live);
        if let Some(Entry {
            kind,
            mode,
            size,
            mtime,
            content,
            ..
        }) = before
        {
            peer.change(Found {
                kind,
                mode,
                size,
                mtime,
                content,
            });
            self.remember(at);
        }
    }

    /// Gossip over the given links until nothing changes; how many rounds changed something.
    fn settle(&mut self, linked: fn(usize, usize) -> bool) -> usize {
        let count = self.peers.len();
        for round in 0..1000 {
            let mut changed = false;
            for from in 0..count {
                for to in 0..count {
                    changed |= linked(from, to) && self.gossip(from, to);
                }
            }
            if !changed {
                return round;
            }
        }
        panic!("the peers do not come to rest");
    }

    fn assert_same_everywhere(&self) {
        let told = |peer: &Peer| {
            peer.entry.clone().map(|entry| Entry {
                sequence: 0,
                ..entry
            })
        };
        let first = told(&self.peers[0]);
        for peer in &self.peers {
            assert_eq!(told(peer), first);
        }
    }

    fn assert_nothing_lost(&self) {
        let last = self.peers[0].entry.as_ref().map(|entry| entry.content);
        for content in self.written.difference(&self.replaced) {
            let kept = self.peers.iter().any(|peer| peer.kept.contains(content));
            assert!(kept || last == Some(*content), "{content} is nowhere");
        }
    }
}

fn steps(new_lives: u32, len: usize) -> impl Strategy<Value = Vec<Step>> {
    let peer = || 0..5_usize;
    let mtime = || 0..4_i64;
    let kind =
        prop_oneof![6 => Just(Kind::File), 1 => Just(Kind::Symlink), 1 => Just(Kind::Directory)];
    let step = prop_oneof![
        6 => (peer(), kind, 0..8_u8, mtime())
            .prop_map(|(peer, kind, tag, mtime)| Step::Write { peer, kind, tag, mtime }),
        3 => (peer(), 0..3_u16, mtime()).prop_map(|(peer, mode, mtime)| Step::Touch { peer, mode, mtime }),
        2 => peer().prop_map(|peer| Step::Delete { peer }),
        1 => peer().prop_map(|peer| Step::Damage { peer }),
        12 => (peer(), peer()).prop_map(|(from, to)| Step::Gossip { from, to }),
        4 => (any::<usize>(), peer()).prop_map(|(which, to)| Step::Stale { which, to }),
        new_lives => peer().prop_map(|peer| Step::NewLife { peer }),
    ];
    prop::collection::vec(step, 0..len)
}

/// Every peer with every other.
fn mesh(from: usize, to: usize) -> bool {
    from != to
}

/// Each peer only with the one before and the one behind it, so that all else is relayed.
fn chain(from: usize, to: usize) -> bool {
    from.abs_diff(to) == 1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn peers_converge_and_lose_nothing(count in 2..=5_usize, steps in steps(1, 60), relayed in any::<bool>()) {
        let mut group = Group::after(count, &steps);
        let rounds = group.settle(if relayed { chain } else { mesh });
        prop_assert!(rounds <= 2 * count, "{rounds} rounds");
        group.assert_same_everywhere();
        group.assert_nothing_lost();
    }

    #[test]
    fn what_was_told_before_changes_nothing_once_all_agree(count in 2..=5_usize, steps in steps(1, 60)) {
        // Damage is never merged, so it may be met anew.
        let steps = steps.into_iter().filter(|step| !matches!(step, Step::NewLife { .. } | Step::Damage { .. }));
        let steps: Vec<_> = steps.collect();
        let mut group = Group::after(count, &steps);
        group.settle(mesh);
        for entry in group.told.clone() {
            prop_assert!(!group.hear(0, &entry));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// So many lost indexes that version vectors overflow: still the same everywhere, still no loss.
    #[test]
    fn overflowing_vectors_still_converge(count in 2..=5_usize, steps in steps(4, 200)) {
        let mut group = Group::after(count, &[Step::Write { peer: 0, kind: Kind::File, tag: 1, mtime: 0 }]);
        for _ in 0..=MAX_VERSIONS {
            group.run(&Step::NewLife { peer: 0 });
            group.gossip(0, 1);
            group.gossip(1, 0);
        }
        prop_assert_eq!(group.peers[1].entry.as_ref().map(|entry| entry.version.len()), Some(MAX_VERSIONS));
        // That damage besides replaces nothing is not promised.
        for step in steps.iter().filter(|step| !matches!(step, Step::Damage { .. })) {
            group.run(step);
        }
        let rounds = group.settle(mesh);
        prop_assert!(rounds <= 4 * count, "{rounds} rounds");
        group.assert_same_everywhere();
        group.assert_nothing_lost();
    }
}
