//! Packing small files into a bundle (docs/protocol.md, "Bundles").

use super::Progress;
use super::file_stream::FileWriter;
use crate::disk::DiskFile;
use crate::store::Fingerprint;
use std::io::{self, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A file to be packed.
#[derive(Debug)]
pub struct Member {
    /// Its path below `share/`, which is its name in the bundle.
    pub path: String,
    /// What it was when it was indexed.
    pub fingerprint: Fingerprint,
}

/// A bundle that was built.
#[derive(Debug)]
pub struct Packed<F> {
    /// The zip file.
    pub file: F,
    /// Its bytes.
    pub size: u64,
    /// Files in it.
    pub members: usize,
}

/// Packs files one by one. Memory: 400 KiB at most and some 150 bytes and twice the path for each member.
pub struct PackJob<F: DiskFile> {
    zip: ZipWriter<FileWriter<F>>,
    members: std::vec::IntoIter<Member>,
    packed: usize,
    bytes: Vec<u8>,
}

impl<F: DiskFile> PackJob<F> {
    /// A job that writes into an empty file.
    pub fn new(file: F, members: Vec<Member>) -> Self {
        Self {
            zip: ZipWriter::new(FileWriter::new(file)),
            members: members.into_iter(),
            packed: 0,
            bytes: Vec::new(),
        }
    }

    /// Packs files of up to `budget_bytes`, and one more. `read` gives the bytes of one; false: it is not any more what was
    /// indexed, and is left out.
    ///
    /// # Errors
    /// Those of the disk; the job cannot go on after one.
    pub fn step(
        &mut self,
        budget_bytes: usize,
        read: &mut impl FnMut(&Member, &mut Vec<u8>) -> bool,
    ) -> io::Result<Progress<usize>> {
        let mut done = 0;
        while done < budget_bytes {
            let Some(member) = self.members.next() else {
                return Ok(Progress::Done(self.packed));
            };
            self.bytes.clear();
            if read(&member, &mut self.bytes) {
                let options = SimpleFileOptions::default()
                    .compression_method(zip::CompressionMethod::Stored)
                    .unix_permissions(u32::from(member.fingerprint.mode & 0o777));
                self.zip.start_file(member.path.as_str(), options)?;
                self.zip.write_all(&self.bytes)?;
                self.packed += 1;
            }
            done += self.bytes.len() + super::CHUNK_COST;
        }
        Ok(Progress::More)
    }

    /// Ends the zip file.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(self) -> io::Result<Packed<F>> {
        let (file, size) = self.zip.finish()?.finish()?;
        Ok(Packed {
            file,
            size,
            members: self.packed,
        })
    }
}

impl<F: DiskFile> std::fmt::Debug for PackJob<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackJob({} packed)", self.packed)
    }
}
