//! The asking side of `tinypeer status`.

use super::{MAX_WAIT, short_path};
use std::io::{self, Read, Write};
use std::path::Path;

/// How long `status` waits for an answer, beyond what it was told to wait.
const ANSWER_TIME: std::time::Duration = std::time::Duration::from_secs(5);
/// Between two tries to reach a peer that is about to start.
const CONNECT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
/// Longest answer that `status` reads, in bytes.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Connects to the running peer; gives up after [`ANSWER_TIME`] where its backlog is full.
fn connect(dir: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    let (path, _folder) = short_path(dir)?;
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.set_write_timeout(Some(ANSWER_TIME))?;
    socket.connect(&socket2::SockAddr::unix(path)?)?;
    Ok(std::os::fd::OwnedFd::from(socket).into())
}

/// Whether a peer runs in this folder.
#[must_use]
pub fn answers(dir: &Path) -> bool {
    match connect(dir) {
        Ok(_) => true,
        // Somebody listens, and is too busy to take more.
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Asks the running peer and prints the answer. True if all is in sync or nobody wanted to wait for
/// it. With `wait` seconds, a peer that does not run yet is waited for too.
///
/// # Errors
/// A sentence if there is no peer to ask, or if it does not answer.
pub fn ask(dir: &Path, json: bool, wait: Option<f64>) -> Result<bool, String> {
    let limit = std::time::Duration::from_millis(MAX_WAIT);
    let wait_time = match wait {
        None => std::time::Duration::ZERO,
        Some(seconds) if seconds >= 0.0 => {
            std::time::Duration::try_from_secs_f64(seconds).map_or(limit, |wait| wait.min(limit))
        }
        Some(_) => return Err("--wait takes a number of seconds, 0 or more".to_owned()),
    };
    let begin = std::time::Instant::now();
    let answer = loop {
        let left = wait_time.saturating_sub(begin.elapsed());
        match ask_once(dir, if json { "json" } else { "text" }, left) {
            Ok(answer) => break answer,
            // Nobody is there, or it ends or begins anew just now.
            Err(error) if is_nobody(&error) && !left.is_zero() && dir.is_dir() => {
                std::thread::sleep(CONNECT_PAUSE.min(left));
            }
            Err(error) => return Err(explain(dir, &error)),
        }
    };
    let (in_sync, status) = answer.split_at_checked(1).unwrap_or_default();
    // A closed pipe is nobody's fault.
    let _ = io::stdout().write_all(status.as_bytes());
    Ok(wait.is_none() || in_sync == "1")
}

/// Tells the running peer that a stopped deletion may go on, and prints what it says.
///
/// # Errors
/// A sentence if there is no peer to tell, or if it does not answer.
pub fn resume(dir: &Path) -> Result<(), String> {
    let answer =
        ask_once(dir, "resume", std::time::Duration::ZERO).map_err(|error| explain(dir, &error))?;
    let (_, sentence) = answer.split_at_checked(1).unwrap_or_default();
    let _ = io::stdout().write_all(sentence.as_bytes());
    Ok(())
}

/// One question and its answer, which is not empty.
fn ask_once(dir: &Path, format: &str, wait: std::time::Duration) -> io::Result<String> {
    let mut stream = connect(dir)?;
    stream.set_read_timeout(Some(wait.saturating_add(ANSWER_TIME)))?;
    // In whole milliseconds, rounded up: none left means no wait.
    let millis = wait.as_micros().div_ceil(1000);
    stream.write_all(format!("{format} {millis}\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

/// Whether an error says that no peer is there now.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

fn explain(dir: &Path, error: &io::Error) -> String {
    let shown = dir.display();
    match error.kind() {
        _ if !dir.is_dir() => {
            format!("there is no folder {shown}; name the one of a peer with --dir")
        }
        _ if is_nobody(error) => format!(
            "no tinypeer runs in {shown}; start it, or name the folder of another one with --dir"
        ),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("the tinypeer in {shown} does not answer: it is stopped, or waits for its disk")
        }
        io::ErrorKind::PermissionDenied => format!(
            "the tinypeer in {shown} cannot be asked: {error}; ask as the user that it runs as"
        ),
        _ => format!("the tinypeer in {shown} cannot be asked: {error}"),
    }
}
