//! Unpacking an ancestor's archive, member by member, in slices. Nothing in it is believed: names are checked
//! as those of peers are, sizes and ratio are bounded, checksums compared, links and everything strange refused.

use super::cursor::FileCursor;
use crate::disk::{At, Disk, DiskFile, Place};
use flate2::{Decompress, FlushDecompress, Status};
use proto_core::legacy::MAX_DICT_ENTRIES;
use proto_core::path;
use std::collections::BTreeSet;
use std::io;
use zip::{CompressionMethod, ZipArchive};

/// Longest central directory that is read, in bytes: 2,048 members with paths of 500.
const MAX_DIRECTORY: u32 = 1 << 20;
/// Bytes of the record at an archive's end.
const END: u64 = 22;
/// A member may be so many times as long as what it was packed to: deflate itself ends at 1,032.
const MAX_RATIO: u64 = 1100;
const PIECE: usize = 64 * 1024;

/// One member that may be unpacked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Where it belongs in `share/`.
    pub path: Vec<u8>,
    /// Bytes unpacked.
    pub size: u64,
    /// The time that the archive names, as if it were UTC: an ancestor writes its local time, in steps of
    /// two seconds.
    pub time: i64,
    start: u64,
    packed: u64,
    crc: u32,
    deflated: bool,
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads the list of members.
///
/// # Errors
/// `InvalidData`: it is no archive that an ancestor would have written. Nothing of it is used then.
pub fn members<F: DiskFile>(file: F) -> io::Result<(Vec<Member>, F)> {
    let total = file.stat()?.size;
    let count = check_end(&file, total)?;
    let mut archive =
        ZipArchive::new(FileCursor::new(file)).map_err(|error| wrong(&error.to_string()))?;
    // Of two members with one name the reader keeps one.
    if archive.len() != count {
        return Err(wrong("not as many members as it says"));
    }
    let mut members = Vec::with_capacity(archive.len());
    let mut paths = BTreeSet::new();
    for place in 0..archive.len() {
        let entry = archive
            .by_index_raw(place)
            .map_err(|error| wrong(&error.to_string()))?;
        let path = entry.name_raw().to_vec();
        path::check(&path).map_err(|_| wrong("a name that is no path below share/"))?;
        if std::str::from_utf8(&path).is_err() {
            return Err(wrong("a name that is not UTF-8"));
        }
        let regular = entry
            .unix_mode()
            .is_none_or(|mode| matches!(mode & 0o170_000, 0 | 0o100_000));
        if entry.encrypted() || entry.is_symlink() || !regular {
            return Err(wrong("a member that is no plain file"));
        }
        let deflated = match entry.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            _ => return Err(wrong("a method that no ancestor uses")),
        };
        let (size, packed) = (entry.size(), entry.compressed_size());
        if (!deflated && size != packed) || size / MAX_RATIO > packed {
            return Err(wrong("a size that cannot be"));
        }
        let start = entry
            .data_start()
            .ok_or_else(|| wrong("a member without data"))?;
        if start.checked_add(packed).is_none_or(|end| end > total) {
            return Err(wrong("a member beyond the end"));
        }
        let (crc, time) = (entry.crc32(), entry.last_modified().map_or(0, seconds));
        drop(entry);
        // A later one of the same name would replace what the earlier one was.
        if !paths.insert(path.clone()) {
            return Err(wrong("two members of one name"));
        }
        members.push(Member {
            path,
            size,
            time,
            start,
            packed,
            crc,
            deflated,
        });
    }
    check_apart(&members)?;
    Ok((members, archive.into_inner().into_file()))
}

/// Members that share their bytes would unpack to any number of files.
fn check_apart(members: &[Member]) -> io::Result<()> {
    let mut places: Vec<_> = members
        .iter()
        .map(|member| (member.start, member.start.saturating_add(member.packed)))
        .collect();
    places.sort_unstable();
    let apart = places.is_sorted_by(|before, after| before.1 <= after.0);
    if apart {
        Ok(())
    } else {
        Err(wrong("members that overlap"))
    }
}

/// The record at the end says how much is to be read: it must be the last thing in the file, and be modest.
fn check_end<F: DiskFile>(file: &F, total: u64) -> io::Result<usize> {
    let mut end = [0; END as usize];
    let start = total.checked_sub(END).ok_or_else(|| wrong("too short"))?;
    if file.read_at(start, &mut end)? != end.len() {
        return Err(wrong("too short"));
    }
    let [
        0x50,
        0x4b,
        5,
        6,
        0,
        0,
        0,
        0,
        a,
        b,
        c,
        d,
        s0,
        s1,
        s2,
        s3,
        o0,
        o1,
        o2,
        o3,
        0,
        0,
    ] = end
    else {
        return Err(wrong("no end record"));
    };
    let (here, all) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    let size = u32::from_le_bytes([s0, s1, s2, s3]);
    let offset = u32::from_le_bytes([o0, o1, o2, o3]);
    let modest = here == all && usize::from(all) <= MAX_DICT_ENTRIES && size <= MAX_DIRECTORY;
    // No bytes before or between, and no ZIP64: its record would stand in between.
    let exact = u64::from(offset).checked_add(u64::from(size)) == Some(start);
    if modest && exact {
        Ok(usize::from(all))
    } else {
        Err(wrong("a directory that cannot be"))
    }
}

/// Seconds since 1970 of a calendar date taken as UTC (days by H. Hinnant's `days_from_civil`).
fn seconds(time: zip::DateTime) -> i64 {
    let (year, month) = (i64::from(time.year()), i64::from(time.month()));
    let day = i64::from(time.day());
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    ((days * 24 + i64::from(time.hour())) * 60 + i64::from(time.minute())) * 60
        + i64::from(time.second())
}

/// One member on its way to a file.
#[derive(Debug)]
pub struct UnpackJob<F> {
    archive: F,
    out: F,
    member: Member,
    inflate: Decompress,
    crc: crc32fast::Hasher,
    read: u64,
    written: u64,
    piece: Vec<u8>,
    unpacked: Vec<u8>,
}

impl<F: DiskFile> UnpackJob<F> {
    /// Begins to unpack `member` to this name in `download/`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn begin<D: Disk<File = F>>(
        disk: &D,
        archive: F,
        member: Member,
        to: &[u8],
    ) -> io::Result<Self> {
        let out = disk.create(At {
            place: Place::Download,
            path: to,
        })?;
        out.set_len(0)?;
        Ok(Self {
            archive,
            out,
            member,
            inflate: Decompress::new(false),
            crc: crc32fast::Hasher::new(),
            read: 0,
            written: 0,
            piece: vec![0; PIECE],
            unpacked: vec![0; PIECE],
        })
    }

    /// The member.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Unpacks up to `budget` bytes. True when all is there and its checksum is right.
    ///
    /// # Errors
    /// `InvalidData` for a damaged member; those of the disk.
    pub fn step(&mut self, budget: usize) -> io::Result<bool> {
        let mut left = budget;
        while left > 0 {
            let rest = self.member.packed.saturating_sub(self.read);
            let most = usize::try_from(rest).unwrap_or(PIECE).min(PIECE);
            let piece = self.piece.get_mut(..most).unwrap_or_default();
            let came = if most == 0 {
                0
            } else {
                self.archive
                    .read_at(self.member.start.saturating_add(self.read), piece)?
            };
            let piece = self.piece.get(..came).unwrap_or_default();
            if !self.member.deflated {
                if came == 0 {
                    return self.finish();
                }
                self.read = self.read.saturating_add(came as u64);
                write(
                    &self.out,
                    &mut self.written,
                    &mut self.crc,
                    piece,
                    self.member.size,
                )?;
                left = left.saturating_sub(came);
                continue;
            }
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(piece, &mut self.unpacked, FlushDecompress::None)
                .map_err(|_| wrong("a member that does not unpack"))?;
            let taken = self.inflate.total_in() - before_in;
            let made = usize::try_from(self.inflate.total_out() - before_out).unwrap_or(0);
            self.read = self.read.saturating_add(taken);
            let unpacked = self.unpacked.get(..made).unwrap_or_default();
            write(
                &self.out,
                &mut self.written,
                &mut self.crc,
                unpacked,
                self.member.size,
            )?;
            left = left.saturating_sub(made.max(1024));
            match status {
                Status::StreamEnd => return self.finish(),
                _ if taken == 0 && made == 0 => return Err(wrong("a member that ends too early")),
                _ => {}
            }
        }
        Ok(false)
    }

    fn finish(&mut self) -> io::Result<bool> {
        let crc = std::mem::take(&mut self.crc).finalize();
        let whole = self.read == self.member.packed && self.written == self.member.size;
        if whole && crc == self.member.crc {
            return Ok(true);
        }
        Err(wrong("a member whose checksum or size is wrong"))
    }

    /// The archive and the file that was made.
    pub fn into_files(self) -> (F, F) {
        (self.archive, self.out)
    }
}

fn write<F: DiskFile>(
    out: &F,
    written: &mut u64,
    crc: &mut crc32fast::Hasher,
    bytes: &[u8],
    size: u64,
) -> io::Result<()> {
    if written.saturating_add(bytes.len() as u64) > size {
        return Err(wrong("a member longer than it says"));
    }
    crc.update(bytes);
    out.write_all_at(*written, bytes)?;
    *written = written.saturating_add(bytes.len() as u64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::folders::RealDisk;
    use std::io::Write as _;
    use zip::write::SimpleFileOptions;

    fn archive(members: &[(&str, &[u8], CompressionMethod)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes, method) in members {
            let options = SimpleFileOptions::default().compression_method(*method);
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn unpack(bytes: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path()).unwrap();
        std::fs::write(folder.path().join("download/a"), bytes).unwrap();
        let at = At {
            place: Place::Download,
            path: b"a",
        };
        let (members, mut archive) = members(disk.open(at, false)?)?;
        let mut unpacked = Vec::new();
        for member in members {
            let path = member.path.clone();
            let mut job = UnpackJob::begin(&disk, archive, member, b"out")?;
            while !job.step(1000)? {}
            archive = job.into_files().0;
            unpacked.push((
                path,
                std::fs::read(folder.path().join("download/out")).unwrap(),
            ));
        }
        Ok(unpacked)
    }

    const STORED: CompressionMethod = CompressionMethod::Stored;
    const DEFLATED: CompressionMethod = CompressionMethod::Deflated;

    #[test]
    fn what_was_packed_is_unpacked() {
        let long = vec![7; 300_000];
        let bytes = archive(&[
            ("a.txt", b"hello", STORED),
            ("d/e/\u{444}.bin", &long, DEFLATED),
            ("empty", b"", DEFLATED),
        ]);
        let unpacked = unpack(&bytes).unwrap();
        assert_eq!(unpacked.len(), 3);
        assert_eq!(unpacked[0], (b"a.txt".to_vec(), b"hello".to_vec()));
        assert_eq!(unpacked[1].1, long);
        assert_eq!(unpacked[2].1, b"");
    }

    #[test]
    fn hostile_archives_are_refused() {
        for name in ["../a", "/etc/passwd", "a/../../b", "a//b", "a/", "."] {
            assert!(unpack(&archive(&[(name, b"x", STORED)])).is_err(), "{name}");
        }
        let good = archive(&[("a", b"one", STORED), ("b", b"two", STORED)]);
        assert!(unpack(&good).is_ok());
        // Two members of one name: the second's name is changed in both places.
        let mut twice = good.clone();
        for byte in twice.iter_mut().filter(|byte| **byte == b'b') {
            *byte = b'a';
        }
        assert!(unpack(&twice).is_err());
        let mut longer = good.clone();
        longer.extend(b"more");
        assert!(unpack(&longer).is_err());
        let before = [b"more", &good[..]].concat();
        assert!(unpack(&before).is_err());
        for end in 0..good.len() {
            assert!(unpack(&good[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn no_flipped_bit_panics_or_gives_other_bytes_under_a_right_checksum() {
        let good = archive(&[("a", b"some bytes, some bytes, some bytes", DEFLATED)]);
        let content = unpack(&good).unwrap()[0].1.clone();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(unpacked) = unpack(&bytes) {
                assert!(unpacked.iter().all(|(_, bytes)| *bytes == content), "{bit}");
            }
        }
    }

    #[test]
    fn dates_are_seconds() {
        let time = zip::DateTime::from_date_and_time(2026, 11, 28, 13, 45, 10).unwrap();
        assert_eq!(seconds(time), 1_795_873_510);
        let leap = zip::DateTime::from_date_and_time(2000, 3, 1, 0, 0, 0).unwrap();
        assert_eq!(seconds(leap), 951_868_800);
    }
}
