//! One real tinypeer: a process, its folder and its log.

use super::folder;
use super::program::{run, tinypeer, tool};
use super::status::Status;
use super::wait::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Lines of a log that a failure shows.
const TAIL: usize = 15;

/// A user who may do nothing special.
const NOBODY: &str = "65534";
/// Makes a command that user's.
const AS_NOBODY: &[&str] = &[
    "setpriv",
    "--reuid",
    NOBODY,
    "--regid",
    NOBODY,
    "--clear-groups",
    "--pdeathsig",
    "KILL",
];

/// A peer, running or not. Killed when dropped.
#[derive(Debug)]
pub struct Peer {
    /// What messages call it.
    pub name: String,
    /// Its `--dir`.
    pub dir: PathBuf,
    /// Its `--listen`.
    pub listen: SocketAddr,
    /// Its `--ip`.
    pub others: Vec<String>,
    /// Its `--key-file`.
    pub key: PathBuf,
    /// Further options.
    pub options: Vec<String>,
    /// The network namespace it runs in.
    pub namespace: Option<String>,
    /// How many directories its kernel lets it watch, if not as many as it does.
    pub watches: Option<u32>,
    /// How many files it may have open, if not as many as the test.
    pub open_files: Option<u32>,
    log: PathBuf,
    out: PathBuf,
    /// Whether it runs as nobody though the test is root.
    nobody: bool,
    child: Option<Child>,
    /// Peak memory in KB of the runs that were killed.
    peak: u64,
}

impl Peer {
    /// A peer that is not started yet, with an empty folder `root/name` and a log beside it.
    pub fn new(root: &Path, name: &str, listen: SocketAddr, others: &[String], key: &Path) -> Self {
        let dir = root.join(name);
        fs::create_dir_all(dir.join("share")).expect("make the peer's share");
        Self {
            name: name.to_owned(),
            log: root.join(format!("{name}.log")),
            out: root.join(format!("{name}.out")),
            dir,
            listen,
            others: others.to_vec(),
            key: key.to_owned(),
            options: Vec::new(),
            namespace: None,
            watches: None,
            open_files: None,
            nobody: false,
            child: None,
            peak: 0,
        }
    }

    /// Its `share/`.
    pub fn share(&self) -> PathBuf {
        self.dir.join("share")
    }

    /// A path in its `share/`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.share().join(name)
    }

    /// Writes a file into its `share/`.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        folder::write(&self.path(name), bytes);
    }

    /// The bytes of a file in its `share/`; `None` if there is no such file.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(name)).ok()
    }

    /// Whether a file in its `share/` holds just these bytes.
    pub fn has(&self, name: &str, bytes: &[u8]) -> bool {
        self.read(name).is_some_and(|found| found == bytes)
    }

    /// From its next start on it is no root, with all that it has now.
    pub fn run_as_nobody(&mut self) {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        self.nobody = true;
        let key = self.dir.with_extension("key");
        fs::copy(&self.key, &key).expect("copy the key");
        self.key = key;
        self.give_to_nobody();
    }

    /// What was put into its folder since is its own too.
    pub fn give_to_nobody(&self) {
        if self.nobody {
            for path in [&self.dir, &self.key] {
                let words = format!("chown -R {NOBODY}:{NOBODY} {}", path.display());
                tool(&words).expect("give files away");
            }
        }
    }

    /// Starts it and returns at once. Its log goes on where it was.
    pub fn start(&mut self) {
        self.start_logging_to(append(&self.log).into());
    }

    /// Starts it with this as its standard error: a terminal, for one.
    pub fn start_logging_to(&mut self, log: Stdio) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let mut words = if self.nobody {
            AS_NOBODY.to_vec()
        } else {
            guard().to_vec()
        };
        if let Some(namespace) = &self.namespace {
            words.extend(["ip", "netns", "exec", namespace]);
        }
        let limit = self.watches.map(|watches| {
            format!("echo {watches} > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"")
        });
        if let Some(limit) = &limit {
            words.extend(["unshare", "--user", "--map-root-user", "sh", "-c", limit]);
        }
        let limit = self
            .open_files
            .map(|files| format!("ulimit -n {files} && exec \"$0\" \"$@\""));
        if let Some(limit) = &limit {
            words.extend(["sh", "-c", limit]);
        }
        // All become the program, so the process id is the peer's.
        words.push(tinypeer().to_str().expect("the program has a plain name"));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.arg("--dir").arg(&self.dir);
        if !self.others.is_empty() {
            command.arg("--ip").arg(self.others.join(","));
        }
        command.arg("--listen").arg(self.listen.to_string());
        command
            .arg("--key-file")
            .arg(&self.key)
            .arg("-v")
            .args(&self.options);
        command
            .stdin(Stdio::null())
            .stdout(append(&self.out))
            .stderr(log);
        self.child = Some(command.spawn().expect("start tinypeer"));
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub fn start_and_wait(&mut self, bound: Duration) {
        self.start();
        let what = format!("{} answers `status`", self.name);
        let mut child = self.child.take();
        let mut ended = None;
        let look = || {
            ended = child.as_mut().and_then(|child| child.try_wait().ok()?);
            ended.is_some() || self.status().is_ok()
        };
        wait_until(&what, bound, look, || self.report());
        self.child = child;
        if let Some(status) = ended {
            panic!(
                "{} ended at its start: {status}\n{}",
                self.name,
                self.report()
            );
        }
    }

    /// Ends it without warning, as a power cut does.
    pub fn kill(&mut self) {
        self.peak = self.peak_memory();
        if let Some(mut child) = self.child.take() {
            // An error means that it has ended already, which a test sees by other means.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end and returns how it did; panics if it does not within `bound`.
    #[track_caller]
    pub fn terminate(&mut self, bound: Duration) -> ExitStatus {
        let mut child = self
            .child
            .take()
            .unwrap_or_else(|| panic!("{} does not run", self.name));
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).expect("send SIGTERM");
        let mut status = None;
        let what = format!("{} ends after SIGTERM", self.name);
        wait_until(
            &what,
            bound,
            || {
                status = child.try_wait().expect("wait for the peer");
                status.is_some()
            },
            || self.report(),
        );
        status.expect("it has ended")
    }

    /// Its process id; panics if it does not run.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Whether the process is there.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// `tinypeer status` with these options.
    pub fn ask(&self, options: &[&str]) -> Output {
        let dir = self.dir.to_str().expect("scratch folders have plain names");
        let mut arguments = vec!["status", "--dir", dir];
        arguments.extend_from_slice(options);
        run(&self.dir, &arguments)
    }

    /// What it says of itself; an error while it does not answer.
    pub fn status(&self) -> Result<Status, String> {
        let output = self.ask(&["--json"]);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Status::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// What it says of itself; panics with its log if it does not answer.
    #[track_caller]
    pub fn status_now(&self) -> Status {
        self.status()
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.report()))
    }

    /// Waits until every configured peer is connected and everything is in sync.
    #[track_caller]
    pub fn wait_in_sync(&self, bound: Duration) {
        let wait = bound.as_secs().to_string();
        let output = self.ask(&["--wait", &wait]);
        if !output.status.success() {
            panic!(
                "{} is not in sync within {wait} s\n{}",
                self.name,
                self.report()
            );
        }
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// What it wrote to its standard output so far.
    pub fn output(&self) -> Vec<u8> {
        fs::read(&self.out).unwrap_or_default()
    }

    /// Peak resident memory in KB, of this run and those that were killed.
    pub fn peak_memory(&self) -> u64 {
        let now = || {
            let pid = self.child.as_ref()?.id();
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        now().unwrap_or(0).max(self.peak)
    }

    /// Its status and the end of its log, for the message of a failure.
    pub fn report(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n    ");
        let status = match self.status() {
            Ok(status) => format!("{status:?}"),
            Err(error) => format!("no status: {}", error.trim()),
        };
        format!("  {} ({}): {status}\n    {tail}", self.name, self.listen)
    }
}

/// Opens a file to write at its end.
fn append(path: &Path) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .expect("open a log")
}

/// Where the system has it: a command that ends a peer with the test that started it, also when
/// that is killed.
fn guard() -> &'static [&'static str] {
    const SETPRIV: &[&str] = &["setpriv", "--pdeathsig", "KILL"];
    static GUARD: OnceLock<bool> = OnceLock::new();
    if *GUARD.get_or_init(|| tool("setpriv --pdeathsig KILL true").is_ok()) {
        SETPRIV
    } else {
        &[]
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}
