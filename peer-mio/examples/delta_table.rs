//! What a new version of files costs if the old one is here: `delta_table OLD NEW` compares two folders or files,
//! cut into our chunks and into fixed blocks of 64 KiB. Files are matched by their path, and whole files by
//! their content, as a peer does it; recipes count only where one would travel.

use proto_core::content::cut::{Params, SMALLEST_CHUNK, cut};
use proto_core::content::recipe::{CHUNK_REF_LEN, hash_chunk};
use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::path::{Path, PathBuf};

const BLOCK: usize = 64 * 1024;

type Cut = fn(&[u8]) -> Vec<&[u8]>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [old, new] = arguments.as_slice() else {
        return Err("delta_table OLD NEW".into());
    };
    let (old, new) = (files(old)?, files(new)?);
    let total: usize = new.values().map(Vec::len).sum();
    println!("new: {} files, {total} bytes", new.len());
    for (name, cut) in [("FastCDC", chunks as Cut), ("fixed", blocks as Cut)] {
        let (bytes, recipes) = cost(&old, &new, cut);
        println!("{name}: {bytes} bytes to move, {recipes} bytes of recipes");
    }
    Ok(())
}

/// All files below a folder, by path.
fn files(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Box<dyn Error>> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = waiting.pop() {
        let kind = std::fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        } else if kind.is_file() {
            found.insert(path.strip_prefix(root)?.to_owned(), std::fs::read(&path)?);
        }
    }
    Ok(found)
}

fn chunks(mut bytes: &[u8]) -> Vec<&[u8]> {
    let params = Params::for_size(bytes.len() as u64);
    let mut chunks = Vec::new();
    while let Some((chunk, rest)) =
        cut(params, bytes, true).and_then(|len| bytes.split_at_checked(len))
    {
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

fn blocks(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunks(BLOCK).collect()
}

/// Bytes of contents, and of recipes.
fn cost(
    old: &BTreeMap<PathBuf, Vec<u8>>,
    new: &BTreeMap<PathBuf, Vec<u8>>,
    cut: Cut,
) -> (usize, usize) {
    let mut here: HashSet<_> = old.values().map(|bytes| blake3::hash(bytes)).collect();
    let (mut bytes, mut recipes) = (0, 0);
    for (path, content) in new {
        if !here.insert(blake3::hash(content)) {
            continue;
        }
        let pieces = cut(content);
        if content.len() > SMALLEST_CHUNK as usize {
            recipes += pieces.len() * CHUNK_REF_LEN;
        }
        let old = old.get(path).map(Vec::as_slice).unwrap_or_default();
        // A file of one chunk has no recipe to compare with.
        let known: HashSet<_> = if old.len() > SMALLEST_CHUNK as usize {
            cut(old).into_iter().map(hash_chunk).collect()
        } else {
            HashSet::new()
        };
        let missing = pieces
            .iter()
            .filter(|piece| !known.contains(&hash_chunk(piece)));
        bytes += missing.map(|piece| piece.len()).sum::<usize>();
    }
    (bytes, recipes)
}
