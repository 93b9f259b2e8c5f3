//! A model of the ancestor (`docs/legacy.md`): what it asks, answers, fetches and publishes, with its defects: no timeout of a
//! download, no look at what a block is, one modification in a life, a dict that is older than its question, a thread that ends in an exception.

use crate::archive_bodies::Bytes;
use crate::stored_zip::stored_zip;
use peer_mio::jobs::archive::Unpacker;
use peer_mio::legacy::unpack::open;
use proto_core::legacy::{
    BLOCK, BLOCK_PORT, FileInformation, INFORMATION_PORT, InformationReply, Operation, Reply,
    Request, SHARE_PREFIX, Status, parse_dict,
};
use proto_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Between two rounds of questions.
const ROUND: Duration = Duration::from_millis(50);
/// An answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// It sleeps before it looks for what is new, and between two looks for what is modified.
const SLEEP: Duration = Duration::from_secs(1);
/// Ports that it asks from: one for each partner, and one for each download.
const ASKING: u16 = 30_000;
const FIRST_DOWNLOAD: u16 = 40_000;
/// What it unpacks is written in pieces of so many bytes.
const PIECE: usize = 65_536;
/// Room for any answer.
const LONGEST: usize = 65_507;

/// What one partner told.
#[derive(Clone, Debug)]
struct Told {
    count: usize,
    add_times: u32,
    names: BTreeSet<String>,
}

/// A download under way.
#[derive(Debug)]
struct Download {
    from: Ipv4Addr,
    number: u32,
    total: Option<u64>,
    bytes: Vec<u8>,
    blocks: u64,
}

/// A file: when it was modified, and its bytes.
type File = (f64, Vec<u8>);

/// A running ancestor.
#[derive(Debug)]
pub struct Original {
    /// Where it is.
    pub ip: Ipv4Addr,
    partners: [Ipv4Addr; 2],
    /// Its `share/`.
    pub share: BTreeMap<String, File>,
    /// What it takes for published.
    known: BTreeSet<String>,
    /// Its counter.
    pub add_times: u32,
    /// Its `zip/`, which it neither reads nor empties when it starts.
    pub archives: BTreeMap<u32, Vec<u8>>,
    downloads: BTreeMap<u16, Download>,
    /// Answers of this round.
    told: [Option<Told>; 2],
    asked_at: Instant,
    round_at: Instant,
    /// The dict of the next answer.
    dict: String,
    /// When what is new is published, and under which number.
    publish: Option<(Instant, u32)>,
    /// The times of a look for what is modified.
    snapshot: Option<(Instant, BTreeMap<String, f64>)>,
    has_modified: bool,
    /// No download and no publishing has begun since the last that was finished.
    finish: bool,
    /// To be sent: from which port, to whom.
    out: Vec<(u16, SocketAddr, Vec<u8>)>,
    /// Bytes of blocks that it served.
    pub served: u64,
}

impl Original {
    /// One that starts now.
    #[must_use]
    pub fn new(now: Instant, ip: Ipv4Addr, partners: [Ipv4Addr; 2]) -> Self {
        Self {
            ip,
            partners,
            share: BTreeMap::new(),
            known: BTreeSet::new(),
            add_times: 0,
            archives: BTreeMap::new(),
            downloads: BTreeMap::new(),
            told: [None, None],
            asked_at: Instant::ZERO,
            round_at: now,
            dict: "{}".to_owned(),
            publish: None,
            snapshot: None,
            has_modified: false,
            finish: true,
            out: Vec::new(),
            served: 0,
        }
    }

    /// Its user writes a file.
    pub fn write(&mut self, now: Instant, path: &str, bytes: &[u8]) {
        self.share
            .insert(path.to_owned(), (seconds(now), bytes.to_vec()));
    }

    /// The bytes of a file.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        self.share.get(path).map(|(_, bytes)| bytes.as_slice())
    }

    /// When [`Self::work`] has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Instant {
        let publish = self.publish.map(|(at, _)| at);
        let snapshot = self.snapshot.as_ref().map(|(at, _)| *at);
        let answers = if self.is_waiting() {
            self.asked_at + PATIENCE
        } else {
            self.round_at
        };
        [publish, snapshot]
            .into_iter()
            .flatten()
            .fold(answers, Instant::min)
    }

    /// For answers.
    fn is_waiting(&self) -> bool {
        self.round_at == Instant::FAR_FUTURE
    }

    /// Takes a datagram that arrived at this port.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, port: u16, datagram: &[u8]) {
        let IpAddr::V4(ip) = from.ip() else { return };
        match port {
            INFORMATION_PORT if datagram.is_empty() => {
                let list = self.list();
                let dict = std::mem::replace(&mut self.dict, list);
                let reply = InformationReply {
                    count: u32::try_from(self.share.len()).unwrap_or(u32::MAX),
                    add_times: self.add_times,
                    dict: &dict,
                };
                self.send(port, from, |out| reply.emit(out).ok());
            }
            BLOCK_PORT => self.serve(from, datagram),
            _ if port >= FIRST_DOWNLOAD => self.handle_block(now, port, datagram),
            _ => {
                let place = self.partners.iter().position(|partner| *partner == ip);
                if let (Some(place), Ok(reply)) = (place, InformationReply::parse(datagram)) {
                    self.handle_told(place, &reply);
                }
            }
        }
    }

    /// What it does by itself; the datagrams that it sends: from which port, to whom.
    pub fn work(&mut self, now: Instant) -> Vec<(u16, SocketAddr, Vec<u8>)> {
        let waited = now.saturating_since(self.asked_at) >= PATIENCE;
        let complete = self.told.iter().all(Option::is_some);
        if self.is_waiting() {
            if complete || waited {
                self.decide(now);
                self.round_at = now + ROUND;
            }
        } else if now >= self.round_at {
            (self.asked_at, self.round_at) = (now, Instant::FAR_FUTURE);
            self.told = [None, None];
            for (place, partner) in self.partners.into_iter().enumerate() {
                let port = ASKING + u16::try_from(place).unwrap_or(0);
                let to = SocketAddr::new(partner.into(), INFORMATION_PORT);
                self.out.push((port, to, Vec::new()));
            }
        }
        self.publish_new(now);
        self.look_for_modified(now);
        std::mem::take(&mut self.out)
    }

    fn send(&mut self, port: u16, to: SocketAddr, emit: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let mut out = vec![0; LONGEST];
        if let Some(len) = emit(&mut out) {
            out.truncate(len);
            self.out.push((port, to, out));
        }
    }

    fn list(&self) -> String {
        let entries = self.share.iter();
        let entries =
            entries.map(|(path, (mtime, _))| format!("'{SHARE_PREFIX}{path}': {mtime:?}"));
        format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
    }

    fn serve(&mut self, to: SocketAddr, datagram: &[u8]) {
        let Ok(request) = Request::parse(datagram) else {
            return;
        };
        let (name, index) = match request {
            Request::FileInformation { name } => (name, None),
            Request::Block { index, name } => (name, Some(index)),
            Request::Unknown { .. } => return,
        };
        let share = name.strip_prefix("../share/").map(|path| self.read(path));
        let zip = || {
            let number = name.strip_prefix("zip")?.strip_suffix(".zip")?;
            let number: u32 = number.parse().ok()?;
            self.archives.get(&number).map(Vec::as_slice)
        };
        let file = share.unwrap_or_else(zip).map(<[u8]>::to_vec);
        let reply = match (&file, index) {
            (None, index) => Reply::Failed {
                operation: index.map_or(Operation::FILE_INFORMATION, |_| Operation::BLOCK),
                status: Status::NOT_FOUND,
            },
            (Some(file), None) => Reply::FileInformation(FileInformation {
                size: file.len() as u64,
                block_size: BLOCK,
            }),
            (Some(file), Some(index)) => {
                let blocks = &mut file.chunks(usize::from(BLOCK));
                let bytes = blocks
                    .nth(usize::try_from(index).unwrap_or(usize::MAX))
                    .unwrap_or_default();
                self.served += bytes.len() as u64;
                Reply::Block { index, bytes }
            }
        };
        self.send(BLOCK_PORT, to, |out| reply.emit(out).ok());
    }

    fn handle_told(&mut self, place: usize, reply: &InformationReply<'_>) {
        let mut names = BTreeSet::new();
        let read = parse_dict(reply.dict, &mut |path, _| {
            names.insert(String::from_utf8_lossy(path).into_owned());
        });
        if let (Ok(_), Some(told)) = (read, self.told.get_mut(place)) {
            *told = Some(Told {
                count: usize::try_from(reply.count).unwrap_or(usize::MAX),
                add_times: reply.add_times,
                names,
            });
        }
    }

    /// The three situations in which it fetches, and what makes it look for what is new or modified.
    fn decide(&mut self, now: Instant) {
        for place in 0..self.partners.len() {
            let (Some(Some(told)), Some(from)) =
                (self.told.get(place).cloned(), self.partners.get(place))
            else {
                continue;
            };
            if told.add_times <= self.add_times {
                continue;
            }
            let (count, from) = (self.share.len(), *from);
            if self.known.is_empty() {
                self.add_times = told.add_times;
                let more = count < told.names.len();
                self.known = told.names;
                if more {
                    self.download(from);
                }
            } else if told.count >= count {
                self.add_times = told.add_times;
                if told.count > count {
                    self.known = told.names;
                }
                self.download(from);
            }
        }
        let counts = self.told.clone().map(|told| told.map(|told| told.count));
        let count = self.share.len();
        let more = counts
            .iter()
            .all(|other| other.is_none_or(|other| other < count));
        if self.publish.is_none() && count > self.known.len() && more {
            self.finish = false;
            self.publish = Some((now + SLEEP, self.add_times + 1));
        }
        let equal = counts.iter().all(|other| *other == Some(count));
        if self.snapshot.is_none() && !self.has_modified && equal && self.finish {
            self.snapshot = Some((now + SLEEP, self.times()));
        }
    }

    fn times(&self) -> BTreeMap<String, f64> {
        let files = self.share.iter();
        files
            .map(|(path, (mtime, _))| (path.clone(), *mtime))
            .collect()
    }

    fn publish_new(&mut self, now: Instant) {
        let Some((_, number)) = self.publish.take_if(|(at, _)| *at <= now) else {
            return;
        };
        let new: Vec<String> = self
            .share
            .keys()
            .filter(|path| !self.known.contains(*path))
            .cloned()
            .collect();
        self.pack(number, &new);
        self.known.extend(new);
        self.finish = true;
    }

    fn look_for_modified(&mut self, now: Instant) {
        let Some((_, before)) = self.snapshot.take_if(|(at, _)| *at <= now) else {
            return;
        };
        let times = self.times();
        let modified = before
            .iter()
            .rfind(|(path, time)| times.get(*path).is_some_and(|now| now != *time));
        if let Some((path, _)) = modified {
            self.has_modified = true;
            self.pack(self.add_times + 1, std::slice::from_ref(path));
        }
    }

    fn pack(&mut self, number: u32, paths: &[String]) {
        let files = paths.iter().filter_map(|path| {
            let (mtime, bytes) = self.share.get(path)?;
            Some((path.as_str(), *mtime, bytes.as_slice()))
        });
        self.archives.insert(number, stored_zip(files));
        self.add_times += 1;
    }

    fn download(&mut self, from: Ipv4Addr) {
        self.finish = false;
        let number = self.add_times;
        let port = self
            .downloads
            .last_key_value()
            .map_or(FIRST_DOWNLOAD, |(port, _)| port + 1);
        let download = Download {
            from,
            number,
            total: None,
            bytes: Vec::new(),
            blocks: 0,
        };
        self.downloads.insert(port, download);
        let name = format!("zip{number}.zip");
        let to = SocketAddr::new(from.into(), BLOCK_PORT);
        self.send(port, to, |out| {
            Request::FileInformation { name: &name }.emit(out).ok()
        });
    }

    /// Whatever comes is the next block.
    fn handle_block(&mut self, now: Instant, port: u16, datagram: &[u8]) {
        let Some(download) = self.downloads.get_mut(&port) else {
            return;
        };
        let told = told_blocks(datagram);
        match (Reply::parse(datagram), download.total) {
            (_, None) if told.is_some() => download.total = told,
            // It reads that as a block without bytes.
            (_, Some(_)) if told.is_some() => download.blocks += 1,
            (Ok(Reply::Block { bytes, .. }), Some(_)) => {
                download.bytes.extend_from_slice(bytes);
                download.blocks += 1;
            }
            (Ok(Reply::Failed { .. } | Reply::FileInformation(_)), None) => {
                // It is asked for again, of whoever comes first.
                self.downloads.remove(&port);
                self.add_times = self.add_times.saturating_sub(1);
                self.known.clear();
                return;
            }
            _ => {
                // An exception ends its thread: it takes nothing back, and stays unfinished.
                self.downloads.remove(&port);
                return;
            }
        }
        if download.total.is_some_and(|total| download.blocks >= total) {
            if let Some(download) = self.downloads.remove(&port) {
                self.extract(now, download.bytes);
            }
            return;
        }
        let name = format!("zip{}.zip", download.number);
        let (to, index) = (download.from, download.blocks);
        let to = SocketAddr::new(to.into(), BLOCK_PORT);
        self.send(port, to, |out| {
            Request::Block { index, name: &name }.emit(out).ok()
        });
    }

    fn extract(&mut self, now: Instant, bytes: Vec<u8>) {
        let Ok(archive) = open(Bytes(bytes)) else {
            return;
        };
        let mut unpacker = Unpacker::default();
        for member in &archive.members {
            let mut unpacked = Vec::new();
            unpacker.begin();
            let mut out = |_, part: &[u8]| {
                unpacked.extend_from_slice(part);
                Ok(())
            };
            let step = loop {
                match unpacker.step(&archive.file, member, usize::MAX, &mut out) {
                    Ok(false) => {}
                    over => break over,
                }
            };
            if step.is_err() {
                // The CRC is compared before the last piece is written.
                unpacked.truncate(unpacked.len().saturating_sub(1) / PIECE * PIECE);
            }
            let path = String::from_utf8_lossy(&member.name).into_owned();
            self.share.insert(path, (seconds(now), unpacked));
            if step.is_err() {
                return;
            }
        }
        self.finish = true;
    }
}

/// It asks for as many blocks as the last field of file information says, if the file is not empty.
fn told_blocks(datagram: &[u8]) -> Option<u64> {
    let (head, fields) = datagram.split_first_chunk::<12>()?;
    let (size, fields) = fields.split_first_chunk::<8>()?;
    let found = head.ends_with(&[0; 8]) && u64::from_be_bytes(*size) > 0;
    let total = fields.split_first_chunk::<8>()?.1.first_chunk::<8>()?;
    found.then(|| u64::from_be_bytes(*total))
}

fn seconds(now: Instant) -> f64 {
    1.7e9 + now.as_micros() as f64 / 1e6
}
