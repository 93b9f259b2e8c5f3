//! Running a peer: everything that can be wrong is found before anything is touched.

use crate::cli::{DEFAULT_PORT, RunOptions, listen_address, parse_address};
use crate::clock::SystemClock;
use crate::control::ControlSocket;
use crate::disk::Disk;
use crate::disk::instance_lock::InstanceLock;
use crate::disk::real::RealDisk;
use crate::event_loop::{Ended, EventLoop};
use crate::key;
use crate::net::socket::{Socket, is_own_address};
use crate::peer::{Config, Peer, StartError, WatchDirectory};
use crate::watch::inotify::{WatchResult, Watcher};
use proto_core::limits::MAX_PEERS;
use proto_core::path::Escaped;
use proto_core::session;
use proto_core::time::Duration;
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

/// Bytes of UDP payload of a full datagram: what every path carries (docs/protocol.md, "Datagrams").
const DATAGRAM: usize = proto_core::limits::MIN_DATAGRAM;

/// Runs a peer until it is told to end.
///
/// # Errors
/// One sentence that says what is wrong and what to do.
pub fn run(options: &RunOptions) -> Result<(), String> {
    start_log(options);
    while run_once(options)? == Ended::IndexLost {}
    Ok(())
}

fn run_once(options: &RunOptions) -> Result<Ended, String> {
    let port = options.listen.as_deref().map_or(Ok(DEFAULT_PORT), |text| {
        parse_address(text, DEFAULT_PORT).map(|address| address.port())
    });
    let port = port.map_err(|why| format!("--listen: {why}"))?;
    let mut peers = Vec::new();
    for text in &options.ip {
        let address = parse_address(text, port).map_err(|why| format!("--ip: {why}"))?;
        if peers.contains(&address) {
            return Err(format!("--ip: {address} is named twice"));
        }
        peers.push(address);
    }
    if peers.is_empty() || peers.len() > MAX_PEERS {
        return Err(format!(
            "--ip: name 1 to {MAX_PEERS} peers, not {}",
            peers.len()
        ));
    }
    let listen = listen_address(options.listen.as_deref(), &peers)
        .map_err(|why| format!("--listen: {why}"))?;
    let dir = options.dir.as_path();
    if !dir.is_dir() {
        return Err(format!(
            "the folder {} does not exist; make it or name another one with --dir",
            dir.display()
        ));
    }
    let key_file = options
        .key_file
        .clone()
        .unwrap_or_else(|| dir.join(".tinypeer/key"));
    let key = key::read(&key_file)?;
    if already_runs(dir) {
        return Err(second_instance(dir));
    }
    let socket = Socket::bind(listen).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{listen} is taken by another program; name another port with --listen")
        }
        _ => format!("cannot listen on {listen}: {error}"),
    })?;
    let disk = RealDisk::open(dir).map_err(|error| error.to_string())?;
    let lock = InstanceLock::acquire(&disk)
        .map_err(|error| format!("{}/.tinypeer cannot be used: {error}", dir.display()))?;
    let Some(_lock) = lock else {
        return Err(second_instance(dir));
    };

    let watcher = Rc::new(RefCell::new(
        Watcher::new()
            .map_err(|error| log::warn!("changes are only found by scanning: {error}"))
            .ok(),
    ));
    let watch_disk = RealDisk::open(dir).map_err(|error| error.to_string())?;
    let watch = watch_directories(Rc::clone(&watcher), watch_disk);
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| format!("the system gives no random numbers: {error}"))?;
    let config = Config {
        peers,
        key,
        symlinks: options.symlinks.into(),
        scan_interval: Duration::from_secs(options.scan_interval),
        seed,
        receive_buffer: socket.receive_buffer(),
        datagram: DATAGRAM,
        aes: session::has_aes(),
        is_own_address,
    };
    let clock = SystemClock::new();
    let made_share = disk.made_share();
    let started = Peer::start(disk, config, clock.now(), watch).map_err(|error| {
        // Else the next start would find an empty folder where now there is none.
        if made_share && matches!(error, StartError::ShareVanished) {
            let _removed = std::fs::remove_dir(dir.join("share"));
        }
        error.to_string()
    })?;
    if started.new_index {
        log::info!("a new index is made from share/");
    }
    let control = ControlSocket::bind(dir)
        .map_err(|error| log::warn!("'tinypeer status' will not work: {error}"))
        .ok();
    let mut event_loop = EventLoop::new(started.peer, clock, socket, watcher, control)
        .map_err(|error| format!("the event loop cannot be made: {error}"))?;
    log::info!(
        "keeping {} the same; listening on {listen}",
        dir.join("share").display()
    );
    event_loop
        .run()
        .map_err(|error| format!("the event loop failed: {error}"))
}

fn second_instance(dir: &Path) -> String {
    format!(
        "another tinypeer is running on {}; stop it first, or name another folder with --dir",
        dir.display()
    )
}

/// Whether a running peer answers: found out before anything is touched or bound.
fn already_runs(dir: &Path) -> bool {
    crate::control::answers(dir)
}

fn watch_directories(watcher: Rc<RefCell<Option<Watcher>>>, disk: RealDisk) -> WatchDirectory {
    let mut limit_told = false;
    Box::new(move |path| {
        let mut watcher = watcher.borrow_mut();
        let Some(watcher) = watcher.as_mut() else {
            return;
        };
        match watcher.watch_dir(&disk, path) {
            Ok(WatchResult::Watching) => {}
            Ok(WatchResult::LimitReached) => {
                if !std::mem::replace(&mut limit_told, true) {
                    log::warn!(
                        "the kernel watches no more folders (fs.inotify.max_user_watches): changes in the others are found by scanning"
                    );
                }
            }
            // Gone again: what it was in tells so.
            Err(error) => log::debug!("{} cannot be watched: {error}", Escaped(path)),
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
    // A logger that is set already (in tests) stays.
    let _ = simple_logger::SimpleLogger::new().with_level(level).init();
}
