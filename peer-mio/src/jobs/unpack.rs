//! Unpacking a bundle that a peer sent: nothing in it is trusted (docs/protocol.md, "Bundles").

use super::archive::{self, Archive, Bounds, Member, Unpacker};
use crate::disk::DiskFile;
use proto_core::wire::BundleId;
use std::io;
use std::vec::IntoIter;

/// Of a bundle; the directory: what names, comments and extra fields of its members may take.
const BOUNDS: Bounds = Bounds {
    members: BundleId::SPAN,
    directory: 1 << 20,
};

/// Unpacks a bundle member by member, into memory. Memory: what [`Unpacker`] takes, one member, and some 100 bytes and the name for
/// each of at most 128 members.
#[derive(Debug)]
pub struct UnpackJob<F> {
    file: F,
    waiting: IntoIter<Member>,
    unpacker: Unpacker,
}

/// What a member is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unpacked {
    /// The bytes of the file with this name are in the buffer.
    File(Vec<u8>),
    /// It is of no use: not wanted, longer or shorter than it must be, or damaged.
    Useless,
}

impl<F: DiskFile> UnpackJob<F> {
    /// A job for a file of `size` bytes.
    ///
    /// # Errors
    /// As of [`Archive::open`].
    pub fn new(file: F, size: u64) -> io::Result<Self> {
        let Archive { file, members } = Archive::open(file, size, BOUNDS)?;
        Ok(Self {
            file,
            waiting: members.into_iter(),
            unpacker: Unpacker::of_many(),
        })
    }

    /// Unpacks the next member into `bytes`; `None`: there is none left. `wanted` says how long the file of a name is, if it is
    /// wanted; of one that says to be longer or shorter nothing is unpacked.
    pub fn next(
        &mut self,
        wanted: impl FnOnce(&[u8]) -> Option<u64>,
        bytes: &mut Vec<u8>,
    ) -> Option<Unpacked> {
        bytes.clear();
        let member = self.waiting.next()?;
        if wanted(&member.name) != Some(member.size) || self.unpack(&member, bytes).is_err() {
            return Some(Unpacked::Useless);
        }
        Some(Unpacked::File(member.name))
    }

    fn unpack(&mut self, member: &Member, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut out = |_, part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok(())
        };
        self.unpacker.begin();
        while !self
            .unpacker
            .step(&self.file, member, usize::MAX, &mut out)?
        {}
        Ok(())
    }
}

/// Whether a file ends as a bundle does.
///
/// # Errors
/// As of [`Archive::open`].
pub fn check_end<F: DiskFile>(file: &F, size: u64) -> io::Result<()> {
    archive::check_end(file, size, BOUNDS)
}

#[cfg(test)]
mod tests {
    use super::super::memory_file::{MemoryFile, random};
    use super::*;
    use std::io::{Cursor, Write};
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    fn zip(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in members {
            let options = SimpleFileOptions::default().compression_method(method);
            zip.start_file(*name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// What is unpacked when these names with these lengths are wanted.
    fn unpack(zip: &[u8], wanted: &[(&str, u64)]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut job = UnpackJob::new(MemoryFile::new(zip), zip.len() as u64)?;
        let (mut bytes, mut files) = (Vec::new(), Vec::new());
        let size = |name: &[u8]| {
            let mut wanted = wanted.iter();
            let found = wanted.find(|(known, _)| known.as_bytes() == name);
            found.map(|(_, size)| *size)
        };
        while let Some(unpacked) = job.next(size, &mut bytes) {
            let longest = wanted.iter().map(|(_, size)| size + 1).max().unwrap_or(0);
            assert!(bytes.len() as u64 <= longest);
            if let Unpacked::File(name) = unpacked {
                files.push((name, bytes.clone()));
            }
        }
        Ok(files)
    }

    fn place(zip: &[u8], what: &[u8], nth: usize) -> usize {
        let mut places = (0..zip.len()).filter(|at| zip[*at..].starts_with(what));
        places.nth(nth).unwrap()
    }

    const STORED: CompressionMethod = CompressionMethod::Stored;
    const DEFLATED: CompressionMethod = CompressionMethod::Deflated;

    #[test]
    fn stored_and_deflated_members_come_out() {
        let long = random(1, 131_072);
        for method in [STORED, DEFLATED] {
            let zip = zip(&[("a/b", b"hello"), ("c", &long)], method);
            let files = unpack(&zip, &[("a/b", 5), ("c", 131_072)]).unwrap();
            assert_eq!(files.len(), 2);
            assert_eq!(files[0], (b"a/b".to_vec(), b"hello".to_vec()));
            assert_eq!(files[1].1, long);
            // Only what is wanted, and of just that length.
            assert_eq!(unpack(&zip, &[("a/b", 5)]).unwrap().len(), 1);
            for size in [1, 4, 6, 1000] {
                assert_eq!(unpack(&zip, &[("a/b", size)]).unwrap(), []);
            }
        }
    }

    #[test]
    fn members_come_out_however_they_lie_to_what_is_read_at_once() {
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let lengths = (0..100).map(|number| 1 + number * 7919 % 40_000);
        let files: Vec<Vec<u8>> = lengths.map(|len| random(len as u64, len)).collect();
        let members: Vec<(&str, &[u8])> = names
            .iter()
            .zip(&files)
            .map(|(name, file)| (&name[..], &file[..]))
            .collect();
        let wanted: Vec<(&str, u64)> = members
            .iter()
            .map(|(name, file)| (*name, file.len() as u64))
            .collect();
        for method in [STORED, DEFLATED] {
            let unpacked = unpack(&zip(&members, method), &wanted).unwrap();
            assert!(unpacked.iter().map(|(_, file)| file).eq(&files));
        }
    }

    #[test]
    fn names_that_nobody_asked_for_are_left() {
        let names = ["../x", "/x", "a/../x", "x\0y", "", "share", "x/"];
        let members = names.map(|name| (name, b"hello".as_slice()));
        assert_eq!(
            unpack(&zip(&members, STORED), &[("x", 5)]).unwrap_or_default(),
            []
        );
    }

    #[test]
    fn a_bomb_is_unpacked_no_further_than_wanted() {
        let bomb = zip(&[("a", &vec![0; 100_000_000])], DEFLATED);
        assert!(bomb.len() < 200_000);
        assert_eq!(unpack(&bomb, &[("a", 5)]).unwrap(), []);
    }

    #[test]
    fn wrong_checksums_are_found() {
        for method in [STORED, DEFLATED] {
            let mut zip = zip(&[("a", b"hello"), ("b", b"world")], method);
            // The checksum in the central directory.
            let at = place(&zip, b"PK\x01\x02", 0) + 16;
            zip[at] ^= 1;
            let files = unpack(&zip, &[("a", 5), ("b", 5)]).unwrap();
            assert_eq!(files, [(b"b".to_vec(), b"world".to_vec())]);
        }
    }
}
