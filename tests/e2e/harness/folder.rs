//! Folders as values: what is in them, whether two are the same, and how files get there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File, FileTimes};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What is at one path, as far as peers must agree on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A directory: permission bits. Its times are not carried.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Seconds and nanoseconds of its last modification.
        mtime: (i64, i64),
        /// Bytes.
        size: u64,
        /// BLAKE3 over the bytes; `None` in a snapshot of metadata alone.
        hash: Option<[u8; 32]>,
    },
    /// A symbolic link: its target.
    Symlink(PathBuf),
    /// A fifo, socket or device.
    Other,
}

/// All of a folder at one moment: path below it to what is there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot(pub BTreeMap<PathBuf, Node>);

impl Snapshot {
    /// Everything, with the hash of each file. An error if the folder changes under the walk.
    pub fn full(folder: &Path) -> io::Result<Self> {
        Self::take(folder, true)
    }

    /// Everything but the bytes of files.
    pub fn metadata(folder: &Path) -> io::Result<Self> {
        Self::take(folder, false)
    }

    fn take(folder: &Path, hashed: bool) -> io::Result<Self> {
        let mut snapshot = Self::default();
        let mut open = vec![PathBuf::new()];
        while let Some(directory) = open.pop() {
            for child in fs::read_dir(folder.join(&directory))? {
                let path = directory.join(child?.file_name());
                let node = node(&folder.join(&path), hashed)?;
                if matches!(node, Node::Directory { .. }) {
                    open.push(path.clone());
                }
                snapshot.0.insert(path, node);
            }
        }
        Ok(snapshot)
    }

    /// The same without what only reading the files can tell.
    pub fn without_hashes(&self) -> Self {
        let mut plain = self.clone();
        for node in plain.0.values_mut() {
            if let Node::File { hash, .. } = node {
                *hash = None;
            }
        }
        plain
    }

    /// The paths, for messages and for comparing names alone.
    pub fn paths(&self) -> Vec<&Path> {
        self.0.keys().map(PathBuf::as_path).collect()
    }

    /// The first few differences to `other`, a line each; empty if there are none.
    pub fn difference(&self, other: &Self) -> String {
        let mut text = String::new();
        let paths = self
            .0
            .keys()
            .chain(other.0.keys().filter(|path| !self.0.contains_key(*path)));
        for path in paths
            .filter(|path| self.0.get(*path) != other.0.get(*path))
            .take(10)
        {
            let (left, right) = (self.0.get(path), other.0.get(path));
            let _ = writeln!(text, "  {path:?}: {} / {}", describe(left), describe(right));
        }
        text
    }
}

fn describe(node: Option<&Node>) -> String {
    match node {
        None => "missing".to_owned(),
        Some(Node::File {
            mode,
            mtime: (secs, nanos),
            size,
            hash,
        }) => {
            let hash = hash.map(|hash| format!(" {:02x}{:02x}{:02x}..", hash[0], hash[1], hash[2]));
            format!(
                "file {size} bytes {mode:o} {secs}.{nanos:09}{}",
                hash.unwrap_or_default()
            )
        }
        Some(Node::Directory { mode }) => format!("directory {mode:o}"),
        Some(other) => format!("{other:?}"),
    }
}

fn node(path: &Path, hashed: bool) -> io::Result<Node> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let mode = metadata.mode() & 0o7777;
    Ok(if kind.is_dir() {
        Node::Directory { mode }
    } else if kind.is_symlink() {
        Node::Symlink(fs::read_link(path)?)
    } else if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device()
    {
        Node::Other
    } else {
        let hash = if hashed { Some(hash_file(path)?) } else { None };
        Node::File {
            mode,
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.len(),
            hash,
        }
    })
}

fn hash_file(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(*hasher.finalize().as_bytes());
        }
        hasher.update(&buffer[..count]);
    }
}

/// Whether two files hold the same bytes, by reading both.
pub fn same_bytes(left: &Path, right: &Path) -> io::Result<bool> {
    let mut left = BufReader::with_capacity(1 << 20, File::open(left)?);
    let mut right = BufReader::with_capacity(1 << 20, File::open(right)?);
    let (mut one, mut other) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let count = read_full(&mut left, &mut one)?;
        if read_full(&mut right, &mut other)? != count || one[..count] != other[..count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

fn read_full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Differences of two folders, files compared byte for byte; empty if there are none.
pub fn compare(left: &Path, right: &Path) -> io::Result<String> {
    let (one, other) = (Snapshot::metadata(left)?, Snapshot::metadata(right)?);
    let mut text = one.difference(&other);
    for (path, node) in &one.0 {
        let both_files = matches!(node, Node::File { .. })
            && matches!(other.0.get(path), Some(Node::File { .. }));
        if both_files && !same_bytes(&left.join(path), &right.join(path))? {
            let _ = writeln!(text, "  {path:?}: the bytes differ");
        }
    }
    Ok(text)
}

/// Writes a file, with its folders.
pub fn write(path: &Path, bytes: &[u8]) {
    let parent = path.parent().expect("a file is in a folder");
    fs::create_dir_all(parent).expect("make the folder");
    fs::write(path, bytes).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}

/// Writes `size` bytes that do not compress, the same for the same `seed`.
pub fn write_random(path: &Path, seed: u64, size: u64) {
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("make the folder");
    let mut file =
        io::BufWriter::with_capacity(1 << 20, File::create(path).expect("create a file"));
    let mut bytes = random(seed).take(size);
    io::copy(&mut bytes, &mut file).expect("fill a file");
    file.flush().expect("fill a file");
}

/// `size` bytes that do not compress, the same for the same `seed`.
pub fn random_bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    random(seed)
        .read_exact(&mut bytes)
        .expect("the stream has no end");
    bytes
}

/// BLAKE3's output has no end and does not compress.
fn random(seed: u64) -> blake3::OutputReader {
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
}

/// Sets permission bits.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// Sets the time of last modification.
pub fn set_mtime(path: &Path, secs: u64, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
    let file = File::options().write(true).open(path).expect("open a file");
    file.set_times(FileTimes::new().set_modified(time))
        .expect("set the mtime");
}

/// A name of these bytes.
pub fn name(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}
