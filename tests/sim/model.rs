//! What users' bytes became of: every content that a user wrote is somewhere, unless a user who saw it
//! overwrote or removed it, or a power cut took it before it was anywhere else.

use crate::cluster::Cluster;
use crate::disk::{Node, SimDisk};
use peer_mio::disk::Place;
use peer_mio::jobs::hash::content_of;
use std::collections::{BTreeMap, BTreeSet};

/// The users' account.
#[derive(Debug, Default)]
pub struct Model {
    /// Contents that must be somewhere, with where they were written.
    live: BTreeMap<Vec<u8>, String>,
}

/// All file contents in a place.
fn contents(disk: &SimDisk, place: Place) -> BTreeSet<Vec<u8>> {
    let nodes = disk.tree(place).into_values();
    nodes
        .filter_map(|node| match node {
            Node::File(_, _, bytes) => Some(bytes),
            _ => None,
        })
        .collect()
}

impl Model {
    /// A user is about to change or remove what is at `path` on `disk`: all contents there die.
    pub fn kill(&mut self, disk: &SimDisk, path: &[u8]) {
        for (at, node) in disk.tree(Place::Share) {
            if let Node::File(_, _, bytes) = node
                && (at == path || proto_core::path::is_below(&at, path))
            {
                self.live.remove(&bytes);
            }
        }
    }

    /// A user has overwritten this.
    pub fn die(&mut self, bytes: &[u8]) {
        self.live.remove(bytes);
    }

    /// A user has written this.
    pub fn write(&mut self, bytes: &[u8], what: String) {
        self.live.insert(bytes.to_vec(), what);
    }

    /// Users have written into files that their peers were just landing.
    pub fn meddle(&mut self, disk: &SimDisk) {
        for meddled in disk.take_meddled() {
            self.die(&meddled.before);
            let what = format!("written into {}", String::from_utf8_lossy(&meddled.path));
            self.write(&meddled.after, what);
        }
    }

    /// What the trash of a full disk gave up may have been the last copy of it (docs/operations.md, "Trash").
    pub fn forget_made_room(&mut self, cluster: &Cluster) {
        let machines = cluster.machines.iter();
        let gone: Vec<_> = machines
            .flat_map(|machine| machine.disk.take_made_room())
            .collect();
        if gone.is_empty() {
            return;
        }
        let found = everything(cluster);
        for bytes in gone {
            if !found.contains(&bytes) {
                self.live.remove(&bytes);
            }
        }
    }

    /// After a power cut, or on a machine that goes back: what was only on that disk and not flushed, or newer, is nobody's fault.
    pub fn forget_lost(&mut self, cluster: &Cluster) {
        let found = everything(cluster);
        self.live.retain(|bytes, _| found.contains(bytes));
    }

    /// What is missing, in words.
    #[must_use]
    pub fn missing(&self, cluster: &Cluster) -> Vec<String> {
        let found = everything(cluster);
        let lost = self
            .live
            .iter()
            .filter(|(bytes, _)| !found.contains(*bytes));
        lost.map(|(bytes, what)| {
            let (content, _) = content_of(bytes);
            format!("{what}: {} bytes of content {content}", bytes.len())
        })
        .collect()
    }
}

fn everything(cluster: &Cluster) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    for machine in &cluster.machines {
        found.extend(contents(&machine.disk, Place::Share));
        found.extend(contents(&machine.disk, Place::Trash));
    }
    found
}

/// How two trees differ, in words.
#[must_use]
pub fn difference(a: &BTreeMap<Vec<u8>, Node>, b: &BTreeMap<Vec<u8>, Node>) -> Vec<String> {
    let mut words = Vec::new();
    for path in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
        let (left, right) = (a.get(path), b.get(path));
        if left != right {
            words.push(format!(
                "{}: {} / {}",
                String::from_utf8_lossy(path),
                describe(left),
                describe(right)
            ));
        }
    }
    words
}

fn describe(node: Option<&Node>) -> String {
    match node {
        None => "nothing".to_owned(),
        Some(Node::Directory(mode)) => format!("directory {mode:o}"),
        Some(Node::File(mode, mtime, bytes)) => {
            let head: String = bytes
                .iter()
                .take(12)
                .map(|byte| char::from(*byte))
                .collect();
            format!(
                "file {mode:o} {}.{:09} {} bytes {head:?}",
                mtime.sec,
                mtime.nsec,
                bytes.len()
            )
        }
        Some(Node::Symlink(target)) => format!("link to {}", String::from_utf8_lossy(target)),
    }
}
