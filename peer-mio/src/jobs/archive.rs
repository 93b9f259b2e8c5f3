//! A zip file that somebody else made: nothing in it is believed. Bundles (docs/protocol.md, "Bundles") and the
//! archives of ancestors (docs/legacy.md, "Fetching") are read here and nowhere else.

use super::file_stream::{FileReader, Window};
use super::fill;
use crate::disk::DiskFile;
use flate2::{Decompress, FlushDecompress, Status};
use proto_core::limits::MAX_PATH;
use proto_core::path;
use std::collections::BTreeSet;
use std::fmt::{Debug, Formatter};
use std::io::{self, Read, Seek};
use zip::read::ZipFile;
use zip::{CompressionMethod, DateTime, ZipArchive};

/// Length of the record that ends a zip file without a comment.
const END: u64 = 22;
/// Length of the record before it that sends readers to the zip64 one.
const ZIP64_LOCATOR: u64 = 20;
/// Length of what a directory says of a member, with its name and some room for extra fields.
const DIRECTORY_HEAD: u64 = 46 + MAX_PATH as u64 + 64;
/// A member may be so many times as long as what it was packed to: deflate itself ends at 1,032.
const MAX_RATIO: u64 = 1100;
/// Read at once.
const READ: usize = 16 * 1024;
/// Unpacked at once.
const PIECE: usize = 64 * 1024;
/// What a turn without a byte costs of a budget.
const TURN_COST: usize = 1024;

/// How large an archive's list of members may be, which is read as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Members.
    pub members: u64,
    /// Bytes of the directory.
    pub directory: u64,
}

/// One member, as the archive says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name.
    pub name: Vec<u8>,
    /// Bytes unpacked.
    pub size: u64,
    /// Its time, in the zone of who packed it.
    pub time: Option<DateTime>,
    /// Why it is not to be unpacked, if it is not.
    pub fault: Option<&'static str>,
    /// Where its head begins, and where its bytes do.
    head: u64,
    start: u64,
    packed: u64,
    crc: u32,
    deflated: bool,
}

/// An archive whose list of members was read.
#[derive(Clone, Debug)]
pub struct Archive<F> {
    /// The file.
    pub file: F,
    /// Its members, in the order of its directory. No two share a name or a byte.
    pub members: Vec<Member>,
}

impl<F: DiskFile> Archive<F> {
    /// Reads the list of members of a file of `size` bytes.
    ///
    /// # Errors
    /// Those of the disk; `InvalidData` if it is no archive within the bounds: not a zip file, or one with a comment, with
    /// bytes behind its end, with zip64 records, with members that overlap or share a name.
    pub fn open(file: F, size: u64, bounds: Bounds) -> io::Result<Self> {
        let end = End::read(&file, size, bounds)?;
        let mut zip = ZipArchive::new(FileReader::new(file, size))?;
        // Of two members with one name the reader keeps one.
        if zip.len() as u64 != end.members {
            return Err(invalid("it has not as many members as it says"));
        }
        let mut members = Vec::with_capacity(zip.len());
        for place in 0..zip.len() {
            members.push(Member::read(&zip.by_index_raw(place)?)?);
        }
        check_apart(&members, end.directory)?;
        let file = zip.into_inner().into_file();
        Ok(Self { file, members })
    }
}

impl Member {
    fn read<R: Read + Seek>(entry: &ZipFile<'_, R>) -> io::Result<Self> {
        let fault = fault(entry);
        let start = entry
            .data_start()
            .ok_or_else(|| invalid("a member has no bytes"))?;
        Ok(Self {
            name: entry.name_raw().to_vec(),
            size: entry.size(),
            time: entry.last_modified(),
            fault,
            head: entry.header_start(),
            start,
            packed: entry.compressed_size(),
            crc: entry.crc32(),
            deflated: entry.compression() == CompressionMethod::Deflated,
        })
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(self.packed)
    }
}

/// Why a member is not to be unpacked.
fn fault<R: Read + Seek>(entry: &ZipFile<'_, R>) -> Option<&'static str> {
    if path::check(entry.name_raw()).is_err() {
        return Some("a name that is no path below share/");
    }
    let regular = entry
        .unix_mode()
        .is_none_or(|mode| matches!(mode & 0o170_000, 0 | 0o100_000));
    if entry.encrypted() || entry.is_symlink() || !regular {
        return Some("a member that is no plain file");
    }
    let (size, packed) = (entry.size(), entry.compressed_size());
    let possible = match entry.compression() {
        CompressionMethod::Stored => size == packed,
        CompressionMethod::Deflated => size / MAX_RATIO <= packed,
        _ => return Some("a method that is neither stored nor deflated"),
    };
    (!possible).then_some("a size that cannot be")
}

/// Members that share bytes would unpack to any number of files.
fn check_apart(members: &[Member], directory: u64) -> io::Result<()> {
    let names: BTreeSet<&[u8]> = members.iter().map(|member| &member.name[..]).collect();
    let mut places: Vec<_> = members
        .iter()
        .map(|member| (member.head, member.end()))
        .collect();
    places.sort_unstable();
    let apart = places.is_sorted_by(|before, after| before.1 <= after.0);
    let below = places.last().is_none_or(|last| last.1 <= directory);
    if names.len() == members.len() && apart && below {
        Ok(())
    } else {
        Err(invalid("its members overlap, or share a name"))
    }
}

/// Whether a file of `size` bytes ends as an archive does.
///
/// # Errors
/// As of [`Archive::open`].
pub fn check_end<F: DiskFile>(file: &F, size: u64, bounds: Bounds) -> io::Result<()> {
    End::read(file, size, bounds).map(drop)
}

/// What the record at the end says.
struct End {
    members: u64,
    /// Where the directory begins.
    directory: u64,
}

impl End {
    /// Reads it, and sees that what is read on its word stays small.
    fn read<F: DiskFile>(file: &F, size: u64, bounds: Bounds) -> io::Result<Self> {
        let mut end = [0; (END + ZIP64_LOCATOR) as usize];
        let from = size.saturating_sub(END + ZIP64_LOCATOR);
        let len = usize::try_from(size - from).map_err(io::Error::other)?;
        let (before, record) = end
            .get_mut(..len)
            .and_then(|end| end.split_at_mut_checked(len.checked_sub(END as usize)?))
            .ok_or_else(|| invalid("it is too short"))?;
        let read = fill(file, from, before)? + fill(file, size - END, record)?;
        let field = |at: usize| {
            let bytes = record.get(at..at + 2).and_then(|two| two.try_into().ok());
            bytes.map_or(u16::MAX, u16::from_le_bytes)
        };
        let long_field = |at: usize| {
            let bytes = record.get(at..at + 4).and_then(|four| four.try_into().ok());
            u64::from(bytes.map_or(u32::MAX, u32::from_le_bytes))
        };
        let members = field(8);
        let (length, directory) = (long_field(12), long_field(16));
        if read != len
            || !record.starts_with(b"PK\x05\x06")
            // One disk, all members in it, no comment.
            || field(4) != 0
            || field(6) != 0
            || members != field(10)
            || u64::from(members) > bounds.members
            || field(20) != 0
            // The directory is just before, else the reader would look for another end, which is not checked here.
            || directory + length + END != size
            || length > (u64::from(members) * DIRECTORY_HEAD).min(bounds.directory)
        {
            return Err(invalid("it has no end"));
        }
        if before.starts_with(b"PK\x06\x07") {
            return Err(invalid("it is a zip64 file"));
        }
        // Where no member is listed the reader would look for another end, whose directory is bounded by nothing.
        let mut head = [0; 4];
        if members > 0 && (fill(file, directory, &mut head)? != 4 || head != *b"PK\x01\x02") {
            return Err(invalid("it lists no members"));
        }
        Ok(Self {
            members: u64::from(members),
            directory,
        })
    }
}

/// Unpacks members of one file, one after the other. Memory: 64 KiB, and 114 KiB once one was deflated.
#[derive(Default)]
pub struct Unpacker {
    inflate: Option<Decompress>,
    crc: crc32fast::Hasher,
    read: u64,
    written: u64,
    window: Window,
    /// Whether what lies behind a member is read with it.
    reads_on: bool,
    unpacked: Vec<u8>,
}

impl Unpacker {
    /// One that is to unpack many small members, in the order in which they lie in the file: some are read at once.
    #[must_use]
    pub fn of_many() -> Self {
        Self {
            reads_on: true,
            ..Self::default()
        }
    }

    /// Begins with another member.
    pub fn begin(&mut self) {
        if let Some(inflate) = &mut self.inflate {
            inflate.reset(false);
        }
        self.crc = crc32fast::Hasher::new();
        (self.read, self.written) = (0, 0);
    }

    /// Unpacks up to `budget` bytes of the member; `out` takes them with their place. True when all came and its checksum
    /// is right. Never more comes than the size that it says.
    ///
    /// # Errors
    /// `InvalidData` for a damaged member; those of the disk and of `out`.
    pub fn step<F: DiskFile>(
        &mut self,
        file: &F,
        member: &Member,
        budget: usize,
        out: &mut impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        if let Some(why) = member.fault {
            return Err(invalid(why));
        }
        let mut left = budget;
        while left > 0 {
            let rest = member.packed.saturating_sub(self.read);
            let at = member.start.saturating_add(self.read);
            let most = if member.deflated { READ } else { PIECE };
            let wanted = usize::try_from(rest).map_or(most, |rest| rest.min(most));
            let reads = if self.reads_on { most } else { wanted };
            let piece = self.window.read(file, at, wanted, reads)?;
            if piece.is_empty() && wanted > 0 {
                return Err(invalid("a member ends too early"));
            }
            if !member.deflated {
                if piece.is_empty() {
                    return self.finish(member);
                }
                self.read += piece.len() as u64;
                self.written = take(&mut self.crc, self.written, piece, member, out)?;
                left = left.saturating_sub(piece.len());
                continue;
            }
            self.unpacked.resize(PIECE, 0);
            let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
            let before = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress(piece, &mut self.unpacked, FlushDecompress::None)
                .map_err(|_| invalid("a member does not unpack"))?;
            let taken = inflate.total_in() - before.0;
            let made = usize::try_from(inflate.total_out() - before.1).map_err(io::Error::other)?;
            self.read += taken;
            let unpacked = self.unpacked.get(..made).unwrap_or_default();
            self.written = take(&mut self.crc, self.written, unpacked, member, out)?;
            left = left.saturating_sub(made.max(TURN_COST));
            match status {
                Status::StreamEnd => return self.finish(member),
                _ if taken == 0 && made == 0 => return Err(invalid("a member ends too early")),
                _ => {}
            }
        }
        Ok(false)
    }

    fn finish(&mut self, member: &Member) -> io::Result<bool> {
        let crc = std::mem::take(&mut self.crc).finalize();
        let whole = self.read == member.packed && self.written == member.size;
        if whole && crc == member.crc {
            Ok(true)
        } else {
            Err(invalid("the checksum or the size of a member is wrong"))
        }
    }
}

/// Takes bytes that were unpacked; where the next ones belong.
fn take(
    crc: &mut crc32fast::Hasher,
    at: u64,
    bytes: &[u8],
    member: &Member,
    out: &mut impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let end = at.saturating_add(bytes.len() as u64);
    if end > member.size {
        return Err(invalid("a member is longer than it says"));
    }
    crc.update(bytes);
    if !bytes.is_empty() {
        out(at, bytes)?;
    }
    Ok(end)
}

impl Debug for Unpacker {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unpacker({} from {})", self.written, self.read)
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
