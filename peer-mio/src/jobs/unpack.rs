//! Unpacking a bundle that a peer sent: nothing in it is trusted (docs/protocol.md, "Bundles").

use super::file_stream::FileReader;
use crate::disk::DiskFile;
use proto_core::limits::MAX_PATH;
use proto_core::wire::BundleId;
use std::fmt::{Debug, Formatter};
use std::io::{self, BufReader, Read};
use zip::{CompressionMethod, ZipArchive};

/// Length of the record that ends a zip file without a comment.
const END: u64 = 22;
/// Length of the record before it that sends readers to the zip64 one.
const ZIP64_LOCATOR: u64 = 20;
/// Length of what a directory says of a member, with its name and some room for extra fields.
const DIRECTORY_HEAD: u64 = 46 + MAX_PATH as u64 + 64;
/// Read at once.
const READ: usize = 16 * 1024;

/// Unpacks a bundle member by member, into memory. Memory: 16 KiB, one member, and some 300 bytes and twice the name for each of at most
/// 128 members.
pub struct UnpackJob<F: DiskFile> {
    zip: ZipArchive<BufReader<FileReader<F>>>,
    next: usize,
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
    /// Those of the disk; `InvalidData` if it is no bundle: not a zip file, or one with more members than a bundle may have, with a
    /// comment, with zip64 records, with members that overlap or share a name.
    pub fn new(file: F, size: u64) -> io::Result<Self> {
        check_end(&file, size)?;
        let reader = BufReader::with_capacity(READ, FileReader::new(file, size));
        let mut zip = ZipArchive::new(reader)?;
        let lies = zip.has_duplicate_names()
            || zip.len() as u64 > BundleId::SPAN
            || zip.has_overlapping_entries()?;
        if lies {
            return Err(invalid("its members overlap, or share a name"));
        }
        Ok(Self { zip, next: 0 })
    }

    /// Unpacks the next member into `bytes`; `None`: there is none left. `wanted` says how long the file of a name is, if it is
    /// wanted; not a byte more than one beyond that is unpacked.
    pub fn next(
        &mut self,
        wanted: impl FnOnce(&[u8]) -> Option<u64>,
        bytes: &mut Vec<u8>,
    ) -> Option<Unpacked> {
        bytes.clear();
        if self.next >= self.zip.len() {
            return None;
        }
        let place = self.next;
        self.next += 1;
        Some(
            self.unpack(place, wanted, bytes)
                .unwrap_or(Unpacked::Useless),
        )
    }

    fn unpack(
        &mut self,
        place: usize,
        wanted: impl FnOnce(&[u8]) -> Option<u64>,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Unpacked> {
        let mut member = self.zip.by_index(place)?;
        let method = member.compression();
        if member.encrypted()
            || !matches!(
                method,
                CompressionMethod::Stored | CompressionMethod::Deflated
            )
        {
            return Ok(Unpacked::Useless);
        }
        let name = member.name_raw().to_vec();
        let Some(size) = wanted(&name) else {
            return Ok(Unpacked::Useless);
        };
        // Up to its end, where its checksum is compared.
        let read = Read::take(&mut member, size.saturating_add(1)).read_to_end(bytes)?;
        if read as u64 != size {
            return Ok(Unpacked::Useless);
        }
        Ok(Unpacked::File(name))
    }
}

impl<F: DiskFile> Debug for UnpackJob<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnpackJob({} of {})", self.next, self.zip.len())
    }
}

/// Whether a zip file ends as a bundle does, so that what is read of it stays small.
///
/// # Errors
/// Those of the disk; `InvalidData` if it does not.
pub fn check_end<F: DiskFile>(file: &F, size: u64) -> io::Result<()> {
    let mut end = [0; (END + ZIP64_LOCATOR) as usize];
    let from = size.saturating_sub(END + ZIP64_LOCATOR);
    let len = usize::try_from(size - from).map_err(io::Error::other)?;
    let (before, record) = end
        .get_mut(..len)
        .and_then(|end| end.split_at_mut_checked(len.checked_sub(END as usize)?))
        .ok_or_else(|| invalid("it is too short"))?;
    let read = super::fill(file, from, before)? + super::fill(file, size - END, record)?;
    let field = |at: usize| {
        let bytes = record.get(at..at + 2).and_then(|two| two.try_into().ok());
        bytes.map_or(u16::MAX, u16::from_le_bytes)
    };
    let long_field = |at: usize| {
        let bytes = record.get(at..at + 4).and_then(|four| four.try_into().ok());
        u64::from(bytes.map_or(u32::MAX, u32::from_le_bytes))
    };
    let members = field(8);
    let (directory, starts) = (long_field(12), long_field(16));
    if read != len
        || !record.starts_with(b"PK\x05\x06")
        // One disk, all members in it, no comment.
        || field(4) != 0
        || field(6) != 0
        || members != field(10)
        || u64::from(members) > BundleId::SPAN
        || field(20) != 0
        // The directory is just before, else the reader would look for another end, which is not checked here.
        || starts + directory + END != size
        || directory > u64::from(members) * DIRECTORY_HEAD
    {
        return Err(invalid("it has no end"));
    }
    if before.starts_with(b"PK\x06\x07") {
        return Err(invalid("it is a zip64 file"));
    }
    Ok(())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::super::memory_file::{MemoryFile, random};
    use super::*;
    use std::io::{Cursor, Write};
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

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

    #[test]
    fn duplicates_overlaps_and_zip64_are_refused() {
        let good = zip(&[("a", b"hello"), ("b", b"world")], STORED);
        let wanted = [("a", 5), ("b", 5)];
        assert_eq!(unpack(&good, &wanted).unwrap().len(), 2);
        let second = place(&good, b"PK\x01\x02", 1);
        let mut twice = good.clone();
        twice[second + 46] = b'a';
        let at = place(&good, b"PK\x03\x04", 1);
        twice[at + 30] = b'a';
        assert!(unpack(&twice, &wanted).map_or(0, |files| files.len()) <= 1);
        // The second one begins where the first one does.
        let mut overlap = good.clone();
        overlap[second + 42..second + 46].copy_from_slice(&[0; 4]);
        assert!(unpack(&overlap, &wanted).is_err());
        // More than there is.
        let mut longer = good.clone();
        longer[second + 20..second + 24].copy_from_slice(&[0xff; 4]);
        longer[second + 24..second + 28].copy_from_slice(&[0xff; 4]);
        assert!(unpack(&longer, &wanted).map_or(0, |files| files.len()) <= 1);
        let end = good.len() - END as usize;
        let locator = [b"PK\x06\x07".as_slice(), &[0; 16]].concat();
        let zip64 = [&good[..end], &locator, &good[end..]].concat();
        assert!(unpack(&zip64, &wanted).is_err());
        // A comment, another disk, another count, too many.
        for (at, byte) in [(20, 1), (4, 1), (6, 1), (8, 3), (10, 3)] {
            let mut wrong = good.clone();
            wrong[end + at] = byte;
            assert!(unpack(&wrong, &wanted).is_err(), "{at}");
        }
        let many: Vec<String> = (0..129).map(|number| number.to_string()).collect();
        let many: Vec<(&str, &[u8])> = many
            .iter()
            .map(|name| (name.as_str(), b"x".as_slice()))
            .collect();
        assert!(unpack(&zip(&many, STORED), &wanted).is_err());
        assert!(unpack(&zip(&many[1..], STORED), &wanted).is_ok());
    }

    #[test]
    fn no_directory_is_read_but_the_one_before_the_end() {
        let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let many: Vec<(&str, &[u8])> = many
            .iter()
            .map(|name| (name.as_str(), b"x".as_slice()))
            .collect();
        // A reader that finds nothing at the place that the last end names looks for an earlier end: one without bounds.
        let mut end = [0; END as usize];
        end[..4].copy_from_slice(b"PK\x05\x06");
        (end[8], end[10], end[12]) = (1, 1, 46);
        let zip = [zip(&many, STORED), end.to_vec()].concat();
        let refused = unpack(&zip, &[]).unwrap_err();
        assert_eq!(refused.to_string(), "it has no end");
        // Names, comments and extra fields are kept in memory.
        let mut long = ZipWriter::new(Cursor::new(Vec::new()));
        for number in 0..100 {
            let options = SimpleFileOptions::default().compression_method(STORED);
            let name = format!("{number}{}", "/x".repeat(10_000));
            long.start_file(name, options).unwrap();
        }
        let long = long.finish().unwrap().into_inner();
        let refused = unpack(&long, &[]).unwrap_err();
        assert_eq!(refused.to_string(), "it has no end");
    }

    #[test]
    fn whatever_is_cut_off_or_changed_nothing_wrong_comes_out() {
        let wanted = [("a", 5), ("b", 300)];
        for method in [STORED, DEFLATED] {
            let good = zip(&[("a", b"hello"), ("b", &[b'x'; 300])], method);
            for len in 0..good.len() {
                assert!(unpack(&good[..len], &wanted).is_err(), "{len}");
            }
            for at in 0..good.len() {
                for bit in 0..8 {
                    let mut wrong = good.clone();
                    wrong[at] ^= 1 << bit;
                    for (name, bytes) in unpack(&wrong, &wanted).unwrap_or_default() {
                        let right = match name.as_slice() {
                            b"a" => b"hello".as_slice(),
                            b"b" => &[b'x'; 300],
                            other => unreachable!("{other:?}"),
                        };
                        // A checksum of 32 bits finds a single wrong bit.
                        assert_eq!(bytes, right, "bit {bit} of {at}");
                    }
                }
            }
        }
    }
}
