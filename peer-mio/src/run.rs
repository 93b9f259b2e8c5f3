//! Running a peer: everything that can be wrong is found before anything is touched.

use crate::addresses::Addresses;
use crate::cli::RunOptions;
use crate::clock::{SystemClock, stopwatch};
use crate::control::{self, ControlSocket};
use crate::disk::Disk;
use crate::disk::folders::RealDisk;
use crate::disk::instance_lock::InstanceLock;
use crate::disk::preflight;
use crate::event_loop::{Ended, EventLoop};
use crate::key;
use crate::legacy::Legacy;
use crate::legacy::sockets::Sockets;
use crate::net::cipher;
use crate::net::socket::{Socket, is_own_address};
use crate::peer::{Config, Peer, StartError, WatchDirectory};
use crate::progress;
use crate::watch::inotify::{WatchResult, Watcher};
use proto_core::path::Escaped;
use proto_core::time::Duration;
use rustix::process::{Resource, getrlimit};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

/// Bytes of UDP payload of the longest datagrams that are asked for; how long they are, each path decides
/// (docs/protocol.md, "Path MTU").
const DATAGRAM: usize = proto_core::limits::MAX_DATAGRAM;

/// Why a peer does not run: one sentence that says what is wrong and what to do.
#[derive(Debug)]
pub enum Failure {
    /// It cannot start as it was called, and would not if it were called so again.
    Start(String),
    /// It had started.
    Later(String),
}

/// Runs a peer until it is told to end.
///
/// # Errors
/// Everything that [`Failure`] names.
pub fn run(options: &RunOptions) -> Result<(), Failure> {
    start_log(options);
    let mut ended = start(options).map_err(Failure::Start)?.run();
    loop {
        match ended {
            Ok(Ended::Told) => return Ok(()),
            // Told by the loop: the old peer is gone, so its folders are free for a new one.
            Ok(Ended::IndexLost) => ended = start(options).map_err(Failure::Later)?.run(),
            Err(error) => return Err(Failure::Later(format!("the event loop failed: {error}"))),
        }
    }
}

/// A peer that has started, with what it holds.
struct Running {
    event_loop: EventLoop,
    _lock: InstanceLock,
}

impl Running {
    fn run(mut self) -> io::Result<Ended> {
        self.event_loop.run()
    }
}

fn start(options: &RunOptions) -> Result<Running, String> {
    // First all that can be wrong, then what changes something: the folders, the lock, the index.
    let Addresses {
        listen,
        peers,
        ancestors,
    } = Addresses::read(options.listen.as_deref(), &options.ip, &options.legacy)?;
    let dir = options.dir.as_path();
    preflight::check(dir)?;
    let key_file = options
        .key_file
        .clone()
        .unwrap_or_else(|| dir.join(".tinypeer/key"));
    let key = key::read(&key_file)?;
    if control::answers(dir) {
        return Err(second_instance(dir));
    }
    let socket = Socket::bind(listen).map_err(|error| cannot_listen(listen, &error))?;
    let sockets = if ancestors.is_empty() {
        None
    } else {
        Some(Sockets::bind(listen)?)
    };
    let say = |error: io::Error| error.to_string();
    let disk = RealDisk::open(dir).map_err(say)?;
    let lock = InstanceLock::acquire(&disk)
        .map_err(|error| format!("{}/.tinypeer cannot be locked: {error}", dir.display()))?;
    let Some(lock) = lock else {
        return Err(second_instance(dir));
    };

    let watcher = Rc::new(RefCell::new(
        Watcher::new()
            .map_err(|error| log::warn!("changes are only found by scanning: {error}"))
            .ok(),
    ));
    let watch_disk = RealDisk::open(dir).map_err(say)?;
    let watch = watch_directories(Rc::clone(&watcher), watch_disk);
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| format!("the system gives no random numbers: {error}"))?;
    let config = Config {
        peers,
        key,
        symlinks: options.symlinks,
        scan_interval: Duration::from_secs(options.scan_interval),
        max_delete: options.max_delete,
        flushing: options.durability,
        seed,
        receive_buffer: socket.receive_buffer(),
        datagram: DATAGRAM,
        limits: options.limits(),
        aegis: cipher::is_fast_at_aegis(),
        is_own_address,
    };
    let clock = SystemClock::new();
    let made_share = disk.made_share();
    let mut started = Peer::start(disk, config, clock.now(), watch).map_err(|error| {
        // Else the next start would find an empty folder where now there is none.
        if made_share && matches!(error, StartError::ShareVanished) {
            let _removed = std::fs::remove_dir(dir.join("share"));
        }
        format!("{}: {error}", dir.display())
    })?;
    started
        .peer
        .set_encodings(!options.no_compress, Some(stopwatch));
    started
        .peer
        .set_open_files(getrlimit(Resource::Nofile).current);
    key::warn_if_exposed(&key_file);
    if started.new_index {
        log::info!("a new index is made from share/");
    }
    let control = ControlSocket::bind(dir)
        .map_err(|error| log::warn!("'tinypeer status' will not work: {error}"))
        .ok();
    let legacy = sockets.map(|sockets| {
        log::warn!(
            "--legacy: what is exchanged with {} is neither authenticated nor encrypted: who can send from their addresses can change share/",
            options.legacy.join(" and ")
        );
        let bridge = Legacy::new(clock.now().mono, &started.peer, &ancestors);
        (bridge, sockets)
    });
    let event_loop = EventLoop::new(started.peer, clock, socket, watcher, control, legacy)
        .map_err(|error| format!("the event loop cannot be made: {error}"))?;
    log::info!(
        "keeping {} the same; listening on {listen}",
        dir.join("share").display()
    );
    Ok(Running {
        event_loop,
        _lock: lock,
    })
}

fn second_instance(dir: &Path) -> String {
    format!(
        "another tinypeer is running on {}; stop it first, or name another folder with --dir",
        dir.display()
    )
}

fn cannot_listen(listen: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{listen} is taken by another program; name another port with --listen")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{listen} is no address of this machine; name one of its own with --listen")
        }
        io::ErrorKind::PermissionDenied => format!(
            "cannot listen on {listen}: {error}; name a port above 1023 with --listen, or run as root"
        ),
        _ => format!("cannot listen on {listen}: {error}; name another address with --listen"),
    }
}

fn watch_directories(watcher: Rc<RefCell<Option<Watcher>>>, disk: RealDisk) -> WatchDirectory {
    Box::new(move |path| {
        let mut watcher = watcher.borrow_mut();
        let Some(watcher) = watcher.as_mut() else {
            return false;
        };
        match watcher.watch_dir(&disk, path) {
            Ok(WatchResult::Watching) => true,
            Ok(WatchResult::LimitReached) => false,
            // Gone again: what it was in tells so.
            Err(error) => {
                log::debug!("{} cannot be watched: {error}", Escaped(path));
                true
            }
        }
    })
}

fn start_log(options: &RunOptions) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => log::LevelFilter::Warn,
        (false, 0) => log::LevelFilter::Info,
        (false, 1) => log::LevelFilter::Debug,
        (false, _) => log::LevelFilter::Trace,
    };
    progress::start_log(level);
}
