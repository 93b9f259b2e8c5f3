//! Making a batch: a zip file of some of our files, in slices. Members are stored where a sample says that
//! deflating does not pay: an ancestor unpacks both.

use crate::disk::{At, Disk, DiskFile, Place};
use crate::jobs::file_stream::FileWriter;
use crate::peer::Peer;
use crate::peer::legacy_files::OwnFile;
use flate2::{Compress, Compression, FlushCompress};
use proto_core::content::ContentId;
use std::collections::BTreeMap;
use std::io::{self, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Bytes read at once.
const PIECE: usize = 128 * 1024;
/// Bytes of a file of which it is tried whether they deflate.
const SAMPLE: usize = 64 * 1024;
/// A file is deflated if its sample loses more than an eighth.
const WORTH: usize = SAMPLE / 8 * 7;
/// From this size on a member has the fields for long ones (ZIP64); some is left for what deflating adds.
const LARGE: u64 = 0xfff0_0000;

/// A batch that is being made.
pub struct BatchJob<F: DiskFile> {
    /// Its number.
    pub number: u32,
    /// Bytes of the files that are to be in it.
    pub bytes: u64,
    name: Vec<u8>,
    writer: Option<ZipWriter<FileWriter<F>>>,
    waiting: Vec<(String, OwnFile)>,
    current: Option<(String, OwnFile, F, u64)>,
    members: BTreeMap<String, ContentId>,
    piece: Vec<u8>,
}

/// A batch that can be served.
#[derive(Debug)]
pub struct Batch<F> {
    /// N of `zipN.zip`.
    pub number: u32,
    /// The archive.
    pub file: F,
    /// Its bytes.
    pub size: u64,
    /// Bytes of its members.
    pub bytes: u64,
    /// What is in it.
    pub members: BTreeMap<String, ContentId>,
}

/// Name of a batch in `zip/`; bundles are beside it.
pub fn file_name(number: u32) -> Vec<u8> {
    format!("legacy{number}.zip").into_bytes()
}

fn zip_error(error: zip::result::ZipError) -> io::Error {
    match error {
        zip::result::ZipError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

impl<F: DiskFile> BatchJob<F> {
    /// Begins a batch in `zip/`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn begin<D: Disk<File = F>>(
        disk: &D,
        number: u32,
        files: Vec<(String, OwnFile)>,
    ) -> io::Result<Self> {
        let name = file_name(number);
        let at = At {
            place: Place::Zip,
            path: &name,
        };
        // What is still served under this number from an earlier life is another file.
        match disk.remove_file(at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let bytes = files.iter().map(|(_, file)| file.size).sum();
        Ok(Self {
            number,
            bytes,
            writer: Some(ZipWriter::new(FileWriter::new(disk.create(at)?))),
            name,
            waiting: files,
            current: None,
            members: BTreeMap::new(),
            piece: vec![0; PIECE],
        })
    }

    /// Takes back what was begun.
    pub fn discard<D: Disk>(&self, disk: &D) {
        let _removed = disk.remove_file(At {
            place: Place::Zip,
            path: &self.name,
        });
    }

    /// Reads and writes up to `budget` bytes. A file that is no longer what the index says is left out.
    ///
    /// # Errors
    /// Those of the disk; the job cannot go on after one.
    pub fn step<D: Disk<File = F>>(
        &mut self,
        peer: &Peer<D>,
        budget: usize,
    ) -> io::Result<Option<Batch<F>>> {
        let mut left = budget;
        while left > 0 {
            let Some((path, own, file, mut at)) = self.current.take() else {
                match self.waiting.pop() {
                    Some((path, own)) => self.open(peer, path, own)?,
                    None => return self.finish().map(Some),
                }
                left = left.saturating_sub(1024);
                continue;
            };
            let read = file.read_at(at, &mut self.piece)?;
            let writer = self.writer.as_mut().ok_or(io::ErrorKind::InvalidInput)?;
            if read > 0 && at < own.size {
                writer.write_all(self.piece.get(..read).unwrap_or_default())?;
                at = at.saturating_add(read as u64);
                left = left.saturating_sub(read);
                self.current = Some((path, own, file, at));
                continue;
            }
            if at == own.size && peer.is_unchanged(path.as_bytes(), &file.stat()?) {
                self.members.insert(path, own.content);
            } else {
                // It changed: half of it must not travel.
                writer.abort_file().map_err(zip_error)?;
            }
        }
        Ok(None)
    }

    fn open<D: Disk<File = F>>(
        &mut self,
        peer: &Peer<D>,
        path: String,
        own: OwnFile,
    ) -> io::Result<()> {
        let at = At {
            place: Place::Share,
            path: path.as_bytes(),
        };
        let opened = peer.disk().open(at, true);
        let Ok(file) = opened.inspect_err(|error| log::debug!("not in the batch: {error}")) else {
            return Ok(());
        };
        let stat = file.stat()?;
        if stat.size != own.size || !peer.is_unchanged(path.as_bytes(), &stat) {
            return Ok(());
        }
        let sample = file.read_at(0, self.piece.get_mut(..SAMPLE).unwrap_or_default())?;
        let pays = deflates(self.piece.get(..sample).unwrap_or_default());
        let options = SimpleFileOptions::default()
            .compression_method(if pays {
                CompressionMethod::Deflated
            } else {
                CompressionMethod::Stored
            })
            .compression_level(pays.then_some(1))
            .large_file(own.size >= LARGE)
            .unix_permissions(0o644);
        let writer = self.writer.as_mut().ok_or(io::ErrorKind::InvalidInput)?;
        writer
            .start_file(path.as_str(), options)
            .map_err(zip_error)?;
        self.current = Some((path, own, file, 0));
        Ok(())
    }

    fn finish(&mut self) -> io::Result<Batch<F>> {
        let writer = self.writer.take().ok_or(io::ErrorKind::InvalidInput)?;
        let (file, size) = writer.finish().map_err(zip_error)?.finish()?;
        Ok(Batch {
            number: self.number,
            file,
            size,
            bytes: self.bytes,
            members: std::mem::take(&mut self.members),
        })
    }
}

/// Whether deflating these first bytes of a file saves more than an eighth.
fn deflates(sample: &[u8]) -> bool {
    if sample.len() < 128 {
        return false;
    }
    let mut out = vec![0; SAMPLE];
    let mut deflate = Compress::new(Compression::fast(), false);
    let room = sample.len().min(WORTH) * 7 / 8;
    let out = out.get_mut(..room).unwrap_or_default();
    matches!(
        deflate.compress(sample, out, FlushCompress::Finish),
        Ok(flate2::Status::StreamEnd)
    )
}
