//! `tinypeer status` and `tinypeer resume`: a stream socket in `.tinypeer/`. The question is one line:
//! `json` or `text` and the milliseconds to wait, or `resume 0`. The answer is `1` if all is in sync or
//! `0` if not, then the status; for `resume` `1` and a sentence.

mod ask;
mod print;

use crate::disk::Disk;
use crate::peer::Peer;
pub use ask::{answers, ask, resume};
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
pub use print::{to_json, to_text};
use proto_core::time::{Duration, Instant};
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

/// The socket of a running peer.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    token: Token,
    path: PathBuf,
    askers: Vec<Asker>,
    /// Whether more may wait to be accepted: the poll tells of them only once.
    backlog: bool,
}

/// What somebody wants to hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Text,
    Json,
    Resumed,
}

#[derive(Debug)]
struct Asker {
    stream: UnixStream,
    question: Vec<u8>,
    answer: Answer,
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
            backlog: false,
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
        if self.backlog && self.askers.len() < MAX_ASKERS {
            return Instant::ZERO;
        }
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

    /// Somebody may wait to be accepted.
    pub fn handle_ready(&mut self) {
        self.backlog = true;
    }

    /// Accepts, reads questions, answers those that can be answered now. True if the peer has more to
    /// do at once.
    pub fn serve<D: Disk>(
        &mut self,
        registry: &Registry,
        now: Instant,
        peer: &mut Peer<D>,
    ) -> bool {
        let mut resumed = false;
        while self.backlog && self.askers.len() < MAX_ASKERS {
            let Ok((mut stream, _)) = self.listener.accept() else {
                self.backlog = false;
                break;
            };
            if registry
                .register(&mut stream, self.token, Interest::READABLE)
                .is_ok()
            {
                self.askers.push(Asker {
                    stream,
                    question: Vec::new(),
                    answer: Answer::Text,
                    until: None,
                    since: now,
                });
            }
        }
        self.askers
            .retain_mut(|asker| asker.serve(now, peer, &mut resumed));
        resumed
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Asker {
    /// False when it has been answered or sent away.
    fn serve<D: Disk>(&mut self, now: Instant, peer: &mut Peer<D>, resumed: &mut bool) -> bool {
        if self.until.is_none() {
            match self.read_question() {
                Ok(None) => return now < self.since + PATIENCE,
                Ok(Some(wait)) => self.until = Some(now + wait),
                Err(_) => return false,
            }
        }
        if self.answer == Answer::Resumed {
            *resumed = true;
            let sentence = match peer.resume() {
                Some(files) => format!("1{files} files are deleted on all peers\n"),
                None => "1no deletion was stopped\n".to_owned(),
            };
            let _ = self.stream.write_all(sentence.as_bytes());
            return false;
        }
        let in_sync = peer.in_sync();
        if !in_sync && self.until.is_some_and(|until| now < until) {
            self.since = now;
            return self.is_there();
        }
        let status = peer.status();
        let answer = format!(
            "{}{}",
            u8::from(in_sync),
            if self.answer == Answer::Json {
                to_json(&status)
            } else {
                to_text(&status)
            }
        );
        // A buffer of its own holds far more than an answer; who does not read has bad luck.
        let _ = self.stream.write_all(answer.as_bytes());
        false
    }

    /// False once it has hung up: nobody will read the answer. What it says beyond its question is
    /// dropped.
    fn is_there(&mut self) -> bool {
        let mut buffer = [0; MAX_QUESTION];
        match self.stream.read(&mut buffer) {
            Ok(read) => read > 0,
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
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
        self.answer = match format {
            "json" => Answer::Json,
            "resume" => Answer::Resumed,
            _ => Answer::Text,
        };
        let millis: u64 = millis.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Some(Duration::from_millis(millis.min(MAX_WAIT))))
    }
}
