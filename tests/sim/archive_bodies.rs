//! What the fuzz targets of zip files do with their input.

use peer_mio::disk::{DiskFile, FileKind, Stat};
use peer_mio::jobs::archive::Unpacker;
use peer_mio::jobs::unpack::{UnpackJob, Unpacked};
use peer_mio::legacy::unpack::open;
use proto_core::index::entry::Timestamp;
use proto_core::path;
use std::collections::BTreeSet;
use std::io;

/// Names and lengths that are wanted.
const WANTED: [(&[u8], u64); 3] = [(b"a", 5), (b"folder/b", 300), (b"c", 1)];

/// Unpacks a bundle.
///
/// # Panics
/// If something comes out that is not wanted, or more of it.
pub fn bundle(data: &[u8]) {
    let file = Bytes(data.to_vec());
    let Ok(mut job) = UnpackJob::new(file, data.len() as u64) else {
        return;
    };
    let mut bytes = Vec::new();
    for _ in 0..=128 {
        let mut most = 0;
        let wanted = |name: &[u8]| {
            let found = WANTED.iter().find(|(wanted, _)| *wanted == name);
            most = found.map_or(0, |(_, size)| *size);
            found.map(|(_, size)| *size)
        };
        match job.next(wanted, &mut bytes) {
            None => return,
            Some(Unpacked::File(name)) => {
                assert!(WANTED.contains(&(name.as_slice(), bytes.len() as u64)));
            }
            Some(Unpacked::Useless) => assert!(bytes.len() as u64 <= most + 1),
        }
    }
    unreachable!("more than 128 members");
}

/// Bytes unpacked in one step.
const BUDGET: usize = 1000;

/// Unpacks an archive of an ancestor's.
///
/// # Panics
/// If a name is no path, or comes twice, or a member has more bytes than it says or than can be in so few.
pub fn archive(data: &[u8]) {
    let Ok(archive) = open(Bytes(data.to_vec())) else {
        return;
    };
    let mut names = BTreeSet::new();
    let mut unpacker = Unpacker::default();
    for member in &archive.members {
        assert_eq!(path::check(&member.name), Ok(()));
        assert!(names.insert(&member.name));
        let mut written = 0;
        let mut out = |at, bytes: &[u8]| {
            assert_eq!(at, written);
            written += bytes.len() as u64;
            Ok(())
        };
        unpacker.begin();
        let whole = loop {
            match unpacker.step(&archive.file, member, BUDGET, &mut out) {
                Ok(false) => {}
                Ok(true) => break true,
                Err(_) => break false,
            }
        };
        assert!(written <= member.size && written / 1100 <= data.len() as u64);
        assert!(!whole || written == member.size);
    }
}

/// A file of memory that is only read.
#[derive(Debug)]
pub(crate) struct Bytes(pub Vec<u8>);

impl DiskFile for Bytes {
    fn stat(&self) -> io::Result<Stat> {
        Ok(Stat {
            kind: FileKind::File,
            size: self.0.len() as u64,
            allocated: 0,
            mode: 0o600,
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            inode: 1,
            links: 1,
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get(from..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(part)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(part);
        }
        Ok(len)
    }

    fn write_all_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn start_writeback(&self, _: u64, _: u64) {}

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_mode(&self, _: u16) -> io::Result<()> {
        Ok(())
    }

    fn set_mtime(&self, _: Timestamp) -> io::Result<()> {
        Ok(())
    }
}
