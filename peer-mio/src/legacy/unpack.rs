//! Unpacking an ancestor's archive, member by member, in slices, by the code that unpacks bundles. More is refused
//! here: one member with anything strange refuses the whole archive.

use super::create_anew;
use crate::disk::{Disk, DiskFile};
use crate::jobs::archive::{Archive, Bounds, Member, Unpacker};
use crate::jobs::file_stream::FileWriter;
use proto_core::legacy::MAX_DICT_ENTRIES;
use std::io::{self, Write};

/// The list of members that is read at most: 2,048 with paths of 500 bytes.
const BOUNDS: Bounds = Bounds {
    members: MAX_DICT_ENTRIES as u64,
    directory: 1 << 20,
};

/// Reads the list of members.
///
/// # Errors
/// As of [`Archive::open`]; `InvalidData` also if it is no archive that an ancestor would have written. Nothing of it is
/// used then.
pub fn open<F: DiskFile>(file: F) -> io::Result<Archive<F>> {
    let size = file.stat()?.size;
    let archive = Archive::open(file, size, BOUNDS)?;
    for member in &archive.members {
        if let Some(why) = member.fault {
            return Err(invalid(why));
        }
        if std::str::from_utf8(&member.name).is_err() {
            return Err(invalid("a name that is not UTF-8"));
        }
    }
    Ok(archive)
}

/// The time that an archive tells of a member, as if it were UTC: an ancestor writes its local time, in steps of two
/// seconds.
pub fn time_of(member: &Member) -> i64 {
    member.time.map_or(0, seconds)
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
    out: FileWriter<F>,
    member: Member,
    unpacker: Unpacker,
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
        let out = create_anew(disk, to)?;
        let mut unpacker = Unpacker::default();
        unpacker.begin();
        Ok(Self {
            archive,
            out: FileWriter::new(out),
            member,
            unpacker,
        })
    }

    /// Unpacks up to `budget` bytes. True when all is there and its checksum is right.
    ///
    /// # Errors
    /// As of [`Unpacker::step`].
    pub fn step(&mut self, budget: usize) -> io::Result<bool> {
        let out = &mut self.out;
        self.unpacker
            .step(&self.archive, &self.member, budget, &mut |_, bytes| {
                out.write_all(bytes)
            })
    }

    /// The archive, the member, and the file that was made.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(self) -> io::Result<(F, Member, F)> {
        let (out, _) = self.out.finish()?;
        Ok((self.archive, self.member, out))
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::folders::RealDisk;
    use crate::disk::{At, Place};
    use zip::CompressionMethod;
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
        let Archive { file, members } = open(disk.open(at, false)?)?;
        let mut archive = file;
        let mut unpacked = Vec::new();
        for member in members {
            let mut job = UnpackJob::begin(&disk, archive, member, b"out")?;
            while !job.step(1000)? {}
            let (back, member, _) = job.finish()?;
            archive = back;
            unpacked.push((
                member.name,
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
