//! `tinypeer status`: a stream socket in `.tinypeer/`. The question is one line, `json` or `text` and
//! the milliseconds to wait; the answer is `1` if all is in sync or `0` if not, then the status.

use crate::disk::Disk;
use crate::peer::Peer;
use crate::peer::report::Status;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use proto_core::time::{Duration, Instant};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Questions being answered at once; more have to wait to be accepted.
const MAX_ASKERS: usize = 16;
/// Longest question in bytes.
const MAX_QUESTION: usize = 64;
/// Who asks nothing for so long is sent away.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a waiting asker's condition is looked at, besides after every change.
const LOOK: Duration = Duration::from_millis(20);
/// Longest answer that `status` reads, in bytes.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;
/// Longest wait in milliseconds: a year.
const MAX_WAIT: u64 = 365 * 24 * 3600 * 1000;

fn socket_path(dir: &Path) -> PathBuf {
    dir.join(".tinypeer").join("socket")
}

/// The path by which the socket is reached: a Unix socket's name has 108 bytes at most, so a long
/// one goes through an open descriptor of its folder.
fn short_path(dir: &Path) -> io::Result<(PathBuf, Option<std::fs::File>)> {
    let path = socket_path(dir);
    if path.as_os_str().len() < 100 {
        return Ok((path, None));
    }
    let folder = std::fs::File::open(dir.join(".tinypeer"))?;
    let short = PathBuf::from(format!(
        "/proc/self/fd/{}/socket",
        std::os::fd::AsRawFd::as_raw_fd(&folder)
    ));
    Ok((short, Some(folder)))
}

/// Whether a running peer answers for this folder.
#[must_use]
pub fn answers(dir: &Path) -> bool {
    short_path(dir)
        .is_ok_and(|(path, _folder)| std::os::unix::net::UnixStream::connect(path).is_ok())
}

/// The socket of a running peer.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    token: Token,
    path: PathBuf,
    askers: Vec<Asker>,
}

#[derive(Debug)]
struct Asker {
    stream: UnixStream,
    question: Vec<u8>,
    json: bool,
    /// Until when it waits for everything to be in sync; none while its question is not read.
    until: Option<Instant>,
    since: Instant,
}

impl ControlSocket {
    /// Binds the socket of this folder; one left over by a crash is replaced.
    ///
    /// # Errors
    /// Those of unlink, bind and chmod.
    pub fn bind(dir: &Path) -> io::Result<Self> {
        let (path, folder) = short_path(dir)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        drop(folder);
        Ok(Self {
            listener,
            token: Token(0),
            path: socket_path(dir),
            askers: Vec::new(),
        })
    }

    /// Registers it, and who will ask, with a poll.
    ///
    /// # Errors
    /// Those of epoll.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.token = token;
        registry.register(&mut self.listener, token, Interest::READABLE)
    }

    /// When somebody's wait ends or is to be looked at.
    #[must_use]
    pub fn next_wake(&self) -> Instant {
        self.askers
            .iter()
            .map(|asker| {
                asker.until.map_or(asker.since + PATIENCE, |until| {
                    until.min(asker.since + LOOK)
                })
            })
            .min()
            .unwrap_or(Instant::FAR_FUTURE)
    }

    /// Accepts, reads questions, answers those that can be answered now.
    pub fn serve<D: Disk>(&mut self, registry: &Registry, now: Instant, peer: &Peer<D>) {
        while self.askers.len() < MAX_ASKERS {
            let Ok((mut stream, _)) = self.listener.accept() else {
                break;
            };
            if registry
                .register(&mut stream, self.token, Interest::READABLE)
                .is_ok()
            {
                self.askers.push(Asker {
                    stream,
                    question: Vec::new(),
                    json: false,
                    until: None,
                    since: now,
                });
            }
        }
        self.askers.retain_mut(|asker| asker.serve(now, peer));
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Asker {
    /// False when it has been answered or sent away.
    fn serve<D: Disk>(&mut self, now: Instant, peer: &Peer<D>) -> bool {
        if self.until.is_none() {
            match self.read_question() {
                Ok(None) => return now < self.since + PATIENCE,
                Ok(Some(wait)) => self.until = Some(now + wait),
                Err(_) => return false,
            }
        }
        let in_sync = peer.in_sync();
        if !in_sync && self.until.is_some_and(|until| now < until) {
            self.since = now;
            return true;
        }
        let status = peer.status();
        let answer = format!(
            "{}{}",
            u8::from(in_sync),
            if self.json {
                to_json(&status)
            } else {
                to_text(&status)
            }
        );
        // A buffer of its own holds far more than an answer; who does not read has bad luck.
        let _ = self.stream.write_all(answer.as_bytes());
        false
    }

    /// How long to wait, once the whole line is here.
    fn read_question(&mut self) -> io::Result<Option<Duration>> {
        let mut buffer = [0; MAX_QUESTION];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self
                    .question
                    .extend_from_slice(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.question.len() > MAX_QUESTION {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let Some(line) = self.question.strip_suffix(b"\n") else {
            return Ok(None);
        };
        let line = std::str::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData)?;
        let (format, millis) = line.split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
        self.json = format == "json";
        let millis: u64 = millis.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Some(Duration::from_millis(millis.min(MAX_WAIT))))
    }
}

/// Asks the running peer and prints the answer. True if all is in sync or nobody wanted to wait for it.
///
/// # Errors
/// A sentence if there is no peer to ask.
pub fn ask(dir: &Path, json: bool, wait: Option<f64>) -> Result<bool, String> {
    let nobody = |error: io::Error| format!("no tinypeer runs on {}: {error}", dir.display());
    let (path, _folder) = short_path(dir).map_err(nobody)?;
    let mut stream = std::os::unix::net::UnixStream::connect(path).map_err(nobody)?;
    let millis = match wait {
        None => 0,
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => {
            std::time::Duration::try_from_secs_f64(seconds)
                .ok()
                .and_then(|wait| u64::try_from(wait.as_millis()).ok())
                .unwrap_or(MAX_WAIT)
        }
        Some(_) => return Err("--wait takes a number of seconds".to_owned()),
    };
    let question = format!("{} {millis}\n", if json { "json" } else { "text" });
    stream.write_all(question.as_bytes()).map_err(nobody)?;
    let mut answer = String::new();
    stream
        .take(MAX_ANSWER)
        .read_to_string(&mut answer)
        .map_err(nobody)?;
    let (in_sync, status) = answer
        .split_at_checked(1)
        .ok_or_else(|| "the running tinypeer gave no answer".to_owned())?;
    print!("{status}");
    Ok(wait.is_none() || in_sync == "1")
}

/// The status as one JSON object.
#[must_use]
pub fn to_json(status: &Status) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        r#"{{"files":{},"bytes":{},"sequence":{},"pending":{},"conflicts":{},"errors":["#,
        status.files, status.bytes, status.sequence, status.pending, status.conflicts
    );
    for (place, error) in status.errors.iter().enumerate() {
        out.push_str(if place > 0 { "," } else { "" });
        write_string(&mut out, error);
    }
    out.push_str(r#"],"peers":["#);
    for (place, peer) in status.peers.iter().enumerate() {
        out.push_str(if place > 0 { "," } else { "" });
        let _ = write!(
            out,
            r#"{{"address":"{}","connected":{},"rtt_us":{},"sequence":{},"bytes_sent":{},"bytes_received":{},"transfers":{}}}"#,
            peer.address,
            peer.connected,
            peer.rtt_us,
            peer.sequence,
            peer.bytes_sent,
            peer.bytes_received,
            peer.transfers
        );
    }
    out.push_str("]}\n");
    out
}

/// The status for people.
#[must_use]
pub fn to_text(status: &Status) -> String {
    let mut out = String::new();
    let state = if status.in_sync {
        "in sync"
    } else {
        "not in sync"
    };
    let _ = writeln!(
        out,
        "{state}: {} files, {} bytes, sequence {}",
        status.files, status.bytes, status.sequence
    );
    if status.pending > 0 {
        let _ = writeln!(out, "{} still to come from other peers", status.pending);
    }
    if status.conflicts > 0 {
        let _ = writeln!(
            out,
            "{} conflict copies in share/ (names with '.conflict-'): keep what you want, delete the rest",
            status.conflicts
        );
    }
    for peer in &status.peers {
        let state = if peer.connected {
            format!("connected, {:.1} ms away", peer.rtt_us as f64 / 1000.0)
        } else {
            "not connected".to_owned()
        };
        let _ = writeln!(
            out,
            "peer {}: {state}; sequence {}, {} bytes sent, {} received",
            peer.address, peer.sequence, peer.bytes_sent, peer.bytes_received
        );
    }
    for error in &status.errors {
        let _ = writeln!(out, "error: {error}");
    }
    out
}

/// A JSON string (RFC 8259 section 7).
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if (control as u32) < 0x20 || control == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
