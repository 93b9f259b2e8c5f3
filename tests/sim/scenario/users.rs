//! What users do to their folders in a story.

use super::Story;
use crate::disk::Node;
use crate::rng::Rng;
use peer_mio::disk::Place;
use peer_mio::watch::scan::Symlinks;
use proto_core::index::entry::Timestamp;

/// Names that users choose from: few, so that they meet.
const NAMES: [&[u8]; 12] = [
    b"a",
    b"b",
    b"A",
    b"notes.txt",
    b".hidden",
    b"with space",
    b"\xff\xfe",
    b"dir",
    b"sub",
    b"x-y",
    b"x.y",
    b"\xc3\xa9",
];

impl Story {
    /// A path that is there on a machine, or a new one in a directory that is there.
    fn path(&mut self, place: usize, there: bool) -> Vec<u8> {
        let Some(machine) = self.cluster.machines.get(place) else {
            return Vec::new();
        };
        let tree = machine.disk.tree(Place::Share);
        let known: Vec<&Vec<u8>> = tree.keys().collect();
        if there && let Some(path) = self.rng.pick(&known) {
            return (*path).clone();
        }
        let directories: Vec<&Vec<u8>> = tree
            .iter()
            .filter(|(_, node)| matches!(node, Node::Directory(_)))
            .map(|(path, _)| path)
            .collect();
        let name = self.rng.pick(&NAMES).copied().unwrap_or(b"a");
        match self.rng.pick(&directories) {
            Some(directory) if self.rng.chance(600) => [directory.as_slice(), b"/", name].concat(),
            _ => name.to_vec(),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = match self.rng.below(12) {
            0..=6 => self.rng.below(400),
            7 | 8 => 16 * 1024 - 3 + self.rng.below(6),
            9 | 10 => self.rng.below(120_000),
            _ => self.rng.below(700_000),
        };
        self.bytes_of(len)
    }

    /// Some that nobody has written before, at least so many.
    fn bytes_of(&mut self, len: u64) -> Vec<u8> {
        self.written += 1;
        let mut bytes = format!("{:06} ", self.written).into_bytes();
        let mut filler = Rng::new(self.written);
        while (bytes.len() as u64) < len {
            bytes.extend_from_slice(&filler.bits().to_be_bytes());
        }
        bytes
    }

    fn note_written(&mut self, place: usize, path: &[u8], bytes: &[u8]) {
        let what = format!(
            "content {} of {} on {place}",
            self.written,
            String::from_utf8_lossy(path)
        );
        self.model.write(bytes, what);
    }

    pub(super) fn user_writes(&mut self, place: usize) {
        let there = self.rng.chance(450);
        let path = self.path(place, there);
        let bytes = self.bytes();
        self.cluster.set_clocks();
        let Some(machine) = self.cluster.machines.get(place) else {
            return;
        };
        if !matches!(
            machine.disk.tree(Place::Share).get(&path),
            None | Some(Node::File(..))
        ) {
            return;
        }
        self.model.kill(&machine.disk, &path);
        if machine.disk.user_write(&path, &bytes).is_ok() {
            self.cluster.trace(|| {
                format!(
                    "user {place} writes {} ({} bytes)",
                    String::from_utf8_lossy(&path),
                    bytes.len()
                )
            });
            self.note_written(place, &path, &bytes);
        }
    }

    pub(super) fn user_removes(&mut self, place: usize) {
        let path = self.path(place, true);
        self.cluster.set_clocks();
        let Some(machine) = self.cluster.machines.get(place) else {
            return;
        };
        self.model.kill(&machine.disk, &path);
        let done = machine.disk.user_remove_all(&path);
        self.cluster.trace(|| {
            format!(
                "user {place} removes {}: {done:?}",
                String::from_utf8_lossy(&path)
            )
        });
    }

    pub(super) fn user_renames(&mut self, place: usize) {
        let from = self.path(place, true);
        let there = self.rng.chance(300);
        let to = self.path(place, there);
        self.cluster.set_clocks();
        let Some(machine) = self.cluster.machines.get(place) else {
            return;
        };
        let tree = machine.disk.tree(Place::Share);
        // Only over nothing or a file: what dies is what was there.
        if from == to || matches!(tree.get(&to), Some(Node::Directory(_))) {
            return;
        }
        let dying: Option<Vec<u8>> = match (tree.get(&from), tree.get(&to)) {
            (Some(Node::File(..) | Node::Symlink(_)), Some(Node::File(_, _, bytes))) => {
                Some(bytes.clone())
            }
            _ => None,
        };
        let done = machine.disk.user_rename(&from, &to);
        if let (Ok(()), Some(bytes)) = (&done, dying) {
            self.model.die(&bytes);
        }
        self.cluster.trace(|| {
            format!(
                "user {place} renames {} to {}: {done:?}",
                String::from_utf8_lossy(&from),
                String::from_utf8_lossy(&to)
            )
        });
    }

    pub(super) fn user_makes_directory(&mut self, place: usize) {
        let path = self.path(place, false);
        self.cluster.set_clocks();
        let Some(machine) = self.cluster.machines.get(place) else {
            return;
        };
        let done = machine.disk.user_mkdir(&path);
        self.cluster.trace(|| {
            format!(
                "user {place} makes directory {}: {done:?}",
                String::from_utf8_lossy(&path)
            )
        });
    }

    /// So many small files that they travel in bundles and land in groups.
    pub(super) fn user_copies_folder(&mut self, place: usize) {
        let folder = self.path(place, false);
        let files = 9 + self.rng.below(80);
        self.cluster.set_clocks();
        let Some(machine) = self.cluster.machines.get(place) else {
            return;
        };
        let disk = machine.disk.handle();
        let done = disk.user_mkdir(&folder);
        self.cluster.trace(|| {
            format!(
                "user {place} copies {} with {files} files here: {done:?}",
                String::from_utf8_lossy(&folder)
            )
        });
        if done.is_err() {
            return;
        }
        for number in 0..files {
            let len = 1 + self.rng.below(6_000);
            let bytes = self.bytes_of(len);
            let path = [folder.as_slice(), format!("/{number}").as_bytes()].concat();
            if disk.user_write(&path, &bytes).is_ok() {
                self.note_written(place, &path, &bytes);
            }
        }
    }

    /// Where links are shared as such; else one to nothing would be on one machine alone.
    pub(super) fn user_makes_symlink(&mut self, place: usize) {
        if self.cluster.symlinks != Symlinks::Keep {
            return;
        }
        let path = self.path(place, false);
        let target = self.rng.pick(&NAMES).copied().unwrap_or(b"a");
        self.cluster.set_clocks();
        let Some(machine) = self.cluster.machines.get(place) else {
            return;
        };
        let done = machine.disk.user_symlink(target, &path);
        self.cluster.trace(|| {
            format!(
                "user {place} makes link {}: {done:?}",
                String::from_utf8_lossy(&path)
            )
        });
    }

    pub(super) fn user_changes_attributes(&mut self, place: usize) {
        let path = self.path(place, true);
        let mtime = Timestamp {
            sec: self.rng.below(3_000_000_000).cast_signed() - 1_000_000_000,
            nsec: u32::try_from(self.rng.below(1_000_000_000)).unwrap_or(0),
        };
        self.cluster.set_clocks();
        let Some(machine) = self.cluster.machines.get(place) else {
            return;
        };
        // What a peer that is not root can read: nothing else can be the same in the end.
        let modes = match machine.disk.tree(Place::Share).get(&path) {
            Some(Node::Directory(_)) => [0o755, 0o700, 0o555, 0o500],
            _ => [0o644, 0o755, 0o600, 0o444],
        };
        let mode = self.rng.pick(&modes).copied().unwrap_or(0o644);
        let done = if self.rng.chance(500) {
            machine.disk.user_chmod(&path, mode)
        } else {
            machine.disk.user_touch(&path, mtime)
        };
        self.cluster.trace(|| {
            format!(
                "user {place} changes attributes of {}: {done:?}",
                String::from_utf8_lossy(&path)
            )
        });
    }

    /// The same new file by hand on two machines is no conflict.
    pub(super) fn same_content_everywhere(&mut self) {
        let (one, two) = (self.place(), self.place());
        let path = self.path(one, false);
        let bytes = self.bytes();
        self.cluster.set_clocks();
        for place in [one, two] {
            let Some(machine) = self.cluster.machines.get(place) else {
                return;
            };
            if machine.disk.tree(Place::Share).contains_key(&path) {
                continue;
            }
            if machine.disk.user_write(&path, &bytes).is_ok() {
                self.cluster.trace(|| {
                    format!(
                        "user {place} copies {} here by hand",
                        String::from_utf8_lossy(&path)
                    )
                });
                self.model.write(
                    &bytes,
                    format!(
                        "content {} of {} by hand",
                        self.written,
                        String::from_utf8_lossy(&path)
                    ),
                );
            }
        }
    }
}
