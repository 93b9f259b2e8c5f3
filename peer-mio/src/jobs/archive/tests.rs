use super::*;
use crate::jobs::memory_file::{MemoryFile, random};
use std::io::{Cursor, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const STORED: CompressionMethod = CompressionMethod::Stored;
const DEFLATED: CompressionMethod = CompressionMethod::Deflated;
const BOUNDS: Bounds = Bounds {
    members: 128,
    directory: 1 << 20,
};

fn zip(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn open(zip: &[u8]) -> io::Result<Archive<MemoryFile>> {
    Archive::open(MemoryFile::new(zip), zip.len() as u64, BOUNDS)
}

type Files = Vec<(Vec<u8>, io::Result<Vec<u8>>)>;

/// Every member with its bytes, or why it has none.
fn unpack(zip: &[u8], budget: usize) -> io::Result<Files> {
    let archive = open(zip)?;
    let mut unpacker = Unpacker::default();
    let mut files = Vec::new();
    for member in &archive.members {
        let mut bytes = Vec::new();
        let mut out = |at: u64, part: &[u8]| {
            assert_eq!(at, bytes.len() as u64);
            bytes.extend_from_slice(part);
            Ok(())
        };
        unpacker.begin();
        let done = loop {
            match unpacker.step(&archive.file, member, budget, &mut out) {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(bytes.len() as u64 <= member.size);
        files.push((member.name.clone(), done.map(|()| bytes)));
    }
    Ok(files)
}

/// The same, if all is well.
fn contents(zip: &[u8], budget: usize) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    unpack(zip, budget)?
        .into_iter()
        .map(|(name, bytes)| Ok((name, bytes?)))
        .collect()
}

fn why(zip: &[u8]) -> String {
    contents(zip, 1000).unwrap_err().to_string()
}

fn place(zip: &[u8], what: &[u8], nth: usize) -> usize {
    let mut places = (0..zip.len()).filter(|at| zip[*at..].starts_with(what));
    places.nth(nth).unwrap()
}

#[test]
fn what_was_packed_comes_out_in_slices_of_any_length() {
    let (flat, long) = (vec![7; 300_000], random(1, 131_072));
    for method in [STORED, DEFLATED] {
        let bytes = zip(
            &[("a/b", b"hello"), ("empty", b""), ("flat", &flat)],
            method,
        );
        for budget in [1, 1000, usize::MAX] {
            let files = contents(&bytes, budget).unwrap();
            assert_eq!(files.len(), 3);
            assert_eq!(files[0], (b"a/b".to_vec(), b"hello".to_vec()));
            assert!(files[1].1.is_empty() && files[2].1 == flat);
        }
        let bytes = zip(&[("long", &long)], method);
        assert_eq!(contents(&bytes, 5000).unwrap()[0].1, long);
    }
    assert_eq!(contents(&zip(&[], STORED), 1).unwrap(), []);
}

#[test]
fn strange_members_are_not_unpacked_and_leave_the_others_alone() {
    for name in ["../x", "/x", "a/../x", "x\0y", ".", "a//b"] {
        let bytes = zip(&[(name, b"hello"), ("good", b"world")], STORED);
        let files = unpack(&bytes, 1000).unwrap();
        assert!(files[0].1.is_err(), "{name}");
        assert_eq!(files[1].1.as_ref().unwrap(), b"world");
    }
    let good = zip(&[("a", b"hello"), ("b", b"world")], STORED);
    let central = place(&good, b"PK\x01\x02", 0);
    // A link, encrypted, a method of its own.
    let mut link = good.clone();
    (link[central + 5], link[central + 41]) = (3, 0xa1);
    assert_eq!(why(&link), "a member that is no plain file");
    let mut encrypted = good.clone();
    encrypted[central + 8] |= 1;
    assert_eq!(why(&encrypted), "a member that is no plain file");
    let mut method = good.clone();
    method[central + 10] = 12;
    assert_eq!(why(&method), "a method that is neither stored nor deflated");
}

#[test]
fn sizes_and_checksums_that_lie_are_found() {
    let flat = vec![7; 100_000];
    for method in [STORED, DEFLATED] {
        let good = zip(&[("a", &flat), ("b", b"world")], method);
        let central = place(&good, b"PK\x01\x02", 0);
        for (at, byte) in [(16, 1), (24, 1), (24, 0x80)] {
            let mut wrong = good.clone();
            wrong[central + at] ^= byte;
            let files = unpack(&wrong, 1000).unwrap();
            assert!(files[0].1.is_err(), "{at}");
            assert_eq!(files[1].1.as_ref().unwrap(), b"world");
        }
    }
    // More than deflate can make of so little.
    let mut bomb = zip(&[("a", &flat)], DEFLATED);
    let central = place(&bomb, b"PK\x01\x02", 0);
    bomb[central + 26] = 0x10;
    assert_eq!(why(&bomb), "a size that cannot be");
    // And a member that is longer than it says ends there.
    let mut long = zip(&[("a", &flat)], DEFLATED);
    let central = place(&long, b"PK\x01\x02", 0);
    long[central + 24..central + 27].copy_from_slice(&[9, 0, 0]);
    assert_eq!(why(&long), "a member is longer than it says");
}

#[test]
fn duplicates_overlaps_and_zip64_are_refused() {
    let good = zip(&[("a", b"hello"), ("b", b"world")], STORED);
    assert_eq!(contents(&good, 1).unwrap().len(), 2);
    let (first, second) = (0, place(&good, b"PK\x03\x04", 1));
    let (head, directory) = (
        place(&good, b"PK\x01\x02", 1),
        place(&good, b"PK\x01\x02", 0),
    );
    let mut twice = good.clone();
    (twice[head + 46], twice[second + 30]) = (b'a', b'a');
    assert!(open(&twice).is_err());
    // The second one begins where the first one does; it goes into the directory.
    let mut overlap = good.clone();
    overlap[head + 42..head + 46].copy_from_slice(&u32::to_le_bytes(first));
    assert!(open(&overlap).is_err());
    let mut beyond = good.clone();
    for at in [head + 20, head + 24] {
        beyond[at] += u8::try_from(good.len() - directory).unwrap();
    }
    assert!(open(&beyond).is_err());
    // More than there is: zip64 fields are asked for that are not there.
    let mut longer = good.clone();
    longer[head + 20..head + 28].copy_from_slice(&[0xff; 8]);
    assert!(open(&longer).is_err());
    let end = good.len() - END as usize;
    let locator = [b"PK\x06\x07".as_slice(), &[0; 16]].concat();
    let zip64 = [&good[..end], &locator, &good[end..]].concat();
    assert!(open(&zip64).is_err());
    // A comment, another disk, another count, bytes before and behind.
    for (at, byte) in [(20, 1), (4, 1), (6, 1), (8, 3), (10, 3)] {
        let mut wrong = good.clone();
        wrong[end + at] = byte;
        assert!(open(&wrong).is_err(), "{at}");
    }
    assert!(open(&[b"x", &good[..]].concat()).is_err());
    assert!(open(&[&good[..], b"x"].concat()).is_err());
}

#[test]
fn a_zip64_size_that_lies_is_no_size() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(STORED)
        .large_file(true);
    zip.start_file("a", options).unwrap();
    zip.write_all(b"hello").unwrap();
    let good = zip.finish().unwrap().into_inner();
    assert_eq!(contents(&good, 1).unwrap()[0].1, b"hello");
    // Both sizes are sent to the field for long ones, which says 2^40.
    let central = place(&good, b"PK\x01\x02", 0);
    let name = central + 46 + 1;
    let size = [0, 0, 0, 0, 0, 1, 0, 0];
    let extra = [&[1, 0, 16, 0][..], &size, &size].concat();
    let mut lie = good[..name].to_vec();
    lie[central + 20..central + 28].copy_from_slice(&[0xff; 8]);
    lie[central + 30] = 20;
    lie.extend(&extra);
    let mut end = good[good.len() - END as usize..].to_vec();
    end[12..16].copy_from_slice(&u32::to_le_bytes(46 + 1 + 20));
    lie.extend(end);
    assert!(open(&lie).is_err());
}

#[test]
fn no_directory_is_read_but_the_one_before_the_end() {
    let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &[u8])> = many
        .iter()
        .map(|name| (name.as_str(), b"x".as_slice()))
        .collect();
    assert!(open(&zip(&many[..129], STORED)).is_err());
    assert!(open(&zip(&many[..128], STORED)).is_ok());
    // A reader that finds nothing at the place that the last end names looks for an earlier end: one without bounds.
    let mut end = [0; END as usize];
    end[..4].copy_from_slice(b"PK\x05\x06");
    (end[8], end[10], end[12]) = (1, 1, 46);
    let earlier = zip(&many, STORED);
    let zip = [earlier.clone(), end.to_vec()].concat();
    assert_eq!(open(&zip).unwrap_err().to_string(), "it has no end");
    // The same where the last end names what lies just before it, in which no member is listed.
    end[16..20].copy_from_slice(&(earlier.len() as u32).to_le_bytes());
    let zip = [earlier, vec![b'x'; 46], end.to_vec()].concat();
    assert_eq!(open(&zip).unwrap_err().to_string(), "it lists no members");
    // Names, comments and extra fields are kept in memory.
    let mut long = ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..100 {
        let options = SimpleFileOptions::default().compression_method(STORED);
        let name = format!("{number}{}", "/x".repeat(10_000));
        long.start_file(name, options).unwrap();
    }
    let long = long.finish().unwrap().into_inner();
    assert_eq!(open(&long).unwrap_err().to_string(), "it has no end");
}

#[test]
fn whatever_is_cut_off_or_changed_nothing_wrong_comes_out() {
    for method in [STORED, DEFLATED] {
        let good = zip(&[("a", b"hello"), ("b", &[b'x'; 300])], method);
        for len in 0..good.len() {
            assert!(open(&good[..len]).is_err(), "{len}");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut wrong = good.clone();
                wrong[at] ^= 1 << bit;
                for (_, bytes) in unpack(&wrong, 100).unwrap_or_default() {
                    // A checksum of 32 bits finds a single wrong bit.
                    let right = bytes.is_err()
                        || bytes
                            .as_ref()
                            .is_ok_and(|bytes| *bytes == b"hello" || *bytes == [b'x'; 300]);
                    assert!(right, "bit {bit} of {at}");
                }
            }
        }
    }
}
