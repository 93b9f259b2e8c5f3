//! The loop: wait, take datagrams, take file system events, one slice of work, send, re-arm. One
//! function, read top to bottom (docs/architecture.md, "The loop").

use crate::clock::{Now, SystemClock};
use crate::control::ControlSocket;
use crate::disk::folders::RealDisk;
use crate::legacy::sockets::Sockets;
use crate::legacy::{Legacy, Via};
use crate::net::send_errors::{News, SendErrors};
use crate::net::socket::{SendOutcome, Socket};
use crate::peer::Peer;
use crate::progress::Progress;
use crate::stalls;
use crate::sys::signals::Signals;
use crate::watch::inotify::{WatchEvent, Watcher};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use proto_core::legacy::MAX_SERVED;
use proto_core::time::{Duration, Instant};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

const SOCKET: Token = Token(0);
const WATCHER: Token = Token(1);
const SIGNALS: Token = Token(2);
const CONTROL: Token = Token(3);
const LEGACY: Token = Token(4);

/// Receive calls in one turn; each may bring eight bursts. With more, all that is outstanding may be taken in one turn, and
/// its source would have nothing to do until the next REQUESTs at the end of it.
const RECEIVE_BUDGET: usize = 1;
/// Datagrams taken in one turn from the sockets of ancestors.
const LEGACY_BUDGET: usize = 64;
/// Bursts sent in one turn before arrivals are looked at again ...
const SEND_BUDGET: usize = 64;
/// ... and how long that may take: pieces are read and encoded on the way.
const SEND_TIME: Duration = Duration::from_millis(2);
/// File system events in one turn.
const WATCH_BUDGET: usize = 1024;
/// Largest burst: what one sendmsg takes.
const BURST: usize = 65_507;

/// Why the loop ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// By a signal.
    Told,
    /// The index cannot be used any more: begin again.
    IndexLost,
}

/// Everything that a turn touches.
pub struct EventLoop {
    poll: Poll,
    clock: SystemClock,
    peer: Peer<RealDisk>,
    socket: Socket,
    send_errors: SendErrors,
    watcher: Rc<RefCell<Option<Watcher>>>,
    signals: Signals,
    control: Option<ControlSocket>,
    /// The bridge to ancestors and its sockets.
    legacy: Option<(Legacy<RealDisk>, Sockets)>,
    legacy_ready: bool,
    legacy_buffer: Box<[u8]>,
    progress: Progress,
    burst: Box<[u8]>,
    /// A burst that the kernel had no room for: to whom, where it begins and ends, bytes of a datagram, whether it
    /// says ECT(0).
    unsent: Option<(SocketAddr, usize, usize, usize, bool)>,
    /// Sources that were not drained to the end: mio tells of them only once.
    socket_ready: bool,
    watcher_ready: bool,
}

impl EventLoop {
    /// Registers everything.
    ///
    /// # Errors
    /// Those of epoll and signal handling.
    pub fn new(
        peer: Peer<RealDisk>,
        clock: SystemClock,
        mut socket: Socket,
        watcher: Rc<RefCell<Option<Watcher>>>,
        mut control: Option<ControlSocket>,
        mut legacy: Option<(Legacy<RealDisk>, Sockets)>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut socket, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
        if let Some(watcher) = watcher.borrow().as_ref() {
            poll.registry().register(
                &mut SourceFd(&watcher.as_fd().as_raw_fd()),
                WATCHER,
                Interest::READABLE,
            )?;
        }
        let signals = Signals::new()?;
        poll.registry().register(
            &mut SourceFd(&signals.as_fd().as_raw_fd()),
            SIGNALS,
            Interest::READABLE,
        )?;
        if let Some(control) = control.as_mut() {
            control.register(poll.registry(), CONTROL)?;
        }
        if let Some((_, sockets)) = legacy.as_mut() {
            sockets.register(poll.registry(), LEGACY)?;
        }
        Ok(Self {
            legacy_buffer: if legacy.is_some() {
                vec![0; MAX_SERVED].into_boxed_slice()
            } else {
                Box::default()
            },
            legacy,
            legacy_ready: true,
            poll,
            clock,
            peer,
            socket,
            send_errors: SendErrors::default(),
            watcher,
            signals,
            control,
            progress: Progress::new(),
            burst: vec![0; BURST].into_boxed_slice(),
            unsent: None,
            socket_ready: true,
            watcher_ready: true,
        })
    }

    /// Runs until SIGTERM or SIGINT, or until the index has to be opened anew.
    ///
    /// # Errors
    /// Those of epoll; what fails at a file or a peer is survived.
    pub fn run(&mut self) -> io::Result<Ended> {
        let mut events = Events::with_capacity(16);
        let mut more = true;
        loop {
            let timeout = self.timeout(more);
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in &events {
                match event.token() {
                    SOCKET => self.socket_ready |= event.is_readable(),
                    WATCHER => self.watcher_ready = true,
                    LEGACY => self.legacy_ready = true,
                    CONTROL => {
                        if let Some(control) = self.control.as_mut() {
                            control.handle_ready();
                        }
                    }
                    SIGNALS if self.signals.ended()? => {
                        self.end();
                        return Ok(Ended::Told);
                    }
                    _ => {}
                }
            }
            let now = self.clock.now();
            self.peer.begin_turn();
            self.receive(now);
            self.receive_legacy(now);
            self.take_changes(now);
            more = self.peer.work(now);
            more |= self.send(now);
            more |= self.turn_legacy(now);
            if let Some(control) = self.control.as_mut() {
                // A change that was made before the question counts in the answer.
                more |= control.serve(self.poll.registry(), now.mono, &mut self.peer);
            }
            self.peer.end_turn();
            self.progress.show(&mut self.peer);
            stalls::TURNS.note(self.clock.now().mono.saturating_since(now.mono));
            if self.peer.must_restart() {
                log::warn!("the index is opened anew");
                self.end();
                return Ok(Ended::IndexLost);
            }
            more |= self.socket_ready || self.watcher_ready || self.legacy_ready;
        }
    }

    /// How long to wait, rounded up by mio; not at all while there is work.
    fn timeout(&self, more: bool) -> Option<std::time::Duration> {
        if more {
            return Some(std::time::Duration::ZERO);
        }
        let wake = self.peer.next_wake().min(
            self.control
                .as_ref()
                .map_or(Instant::FAR_FUTURE, ControlSocket::next_wake),
        );
        let wake = match &self.legacy {
            Some((legacy, _)) => wake.min(legacy.next_wake()),
            None => wake,
        };
        if wake == Instant::FAR_FUTURE {
            return None;
        }
        Some(
            wake.saturating_since(self.clock.now().mono)
                .max(Duration::ZERO),
        )
    }

    fn receive(&mut self, now: Now) {
        for _ in 0..RECEIVE_BUDGET {
            if !self.socket_ready {
                return;
            }
            let (peer, legacy) = (&mut self.peer, &mut self.legacy);
            let received = self.socket.receive(&mut |from, datagrams, mark| {
                // No datagram of ours begins with a 0.
                let mut ours = datagrams.filter_map(|datagram| match legacy {
                    Some((legacy, _)) if datagram.first() == Some(&0) => {
                        legacy.handle_blocks(now, from, datagram);
                        None
                    }
                    _ => Some(datagram),
                });
                let proved = peer.handle_datagrams(now, from, &mut ours, mark);
                // An ancestor need not be a peer.
                ours.for_each(drop);
                proved
            });
            match received {
                Ok(more) => self.socket_ready = more,
                Err(error) => {
                    log::warn!("receiving failed: {error}");
                    self.socket_ready = false;
                }
            }
        }
    }

    fn receive_legacy(&mut self, now: Now) {
        let Some((legacy, sockets)) = self.legacy.as_mut().filter(|_| self.legacy_ready) else {
            self.legacy_ready = false;
            return;
        };
        for _ in 0..LEGACY_BUDGET {
            self.legacy_ready = sockets.receive(&mut |via, from, datagram| match via {
                Via::Information => legacy.handle_information(now, from, datagram),
                Via::Blocks => legacy.handle_blocks(now, from, datagram),
            });
            if !self.legacy_ready {
                return;
            }
        }
    }

    /// Work and datagrams of the bridge. True if there is more.
    fn turn_legacy(&mut self, now: Now) -> bool {
        let Some((legacy, sockets)) = self.legacy.as_mut() else {
            return false;
        };
        let more = legacy.work(now, &mut self.peer);
        for _ in 0..SEND_BUDGET {
            let Some((via, to, len)) =
                legacy.poll_transmit(now, &mut self.peer, &mut self.legacy_buffer)
            else {
                return more;
            };
            let datagram = self.legacy_buffer.get(..len).unwrap_or_default();
            sockets.send(&mut self.socket, via, to, datagram);
        }
        true
    }

    fn take_changes(&mut self, now: Now) {
        if !self.watcher_ready {
            return;
        }
        let peer = &mut self.peer;
        let mut watcher = self.watcher.borrow_mut();
        let Some(watcher) = watcher.as_mut() else {
            self.watcher_ready = false;
            return;
        };
        let read = watcher.read(WATCH_BUDGET, &mut |event| match event {
            WatchEvent::Changed {
                path,
                settled,
                directory,
            } => {
                if directory {
                    peer.handle_directory(path);
                }
                peer.handle_change(now, path, settled);
            }
            WatchEvent::Overflow | WatchEvent::ShareGone => peer.handle_overflow(),
        });
        self.watcher_ready = match read {
            Ok(drained) => !drained,
            Err(error) => {
                log::warn!("file system events cannot be read: {error}");
                peer.handle_overflow();
                false
            }
        };
    }

    /// Sends until nothing is left, the kernel has no room, or the budget is used up. True in the last case.
    fn send(&mut self, now: Now) -> bool {
        let begin = self.clock.now().mono;
        for sent in 0..SEND_BUDGET {
            if sent > 0 && self.clock.now().mono.saturating_since(begin) > SEND_TIME {
                return true;
            }
            let (to, from, end, segment, ecn) = match self.unsent.take() {
                Some(unsent) => unsent,
                None => match self.peer.poll_transmit(now, &mut self.burst) {
                    Some((to, transmit)) => {
                        (to, 0, transmit.len, transmit.segment_size, transmit.ecn)
                    }
                    None => return false,
                },
            };
            let Some(datagrams) = self.burst.get(from..end) else {
                continue;
            };
            let error = match self.socket.send(to, datagrams, segment, ecn) {
                Ok(SendOutcome::Sent) => self.socket.take_lost(),
                Ok(SendOutcome::WouldBlock { taken }) => {
                    self.unsent = Some((to, from + taken, end, segment, ecn));
                    return false;
                }
                Err(error) => Some(error),
            };
            match self.send_errors.note(now.mono, to, error.as_ref()) {
                None => {}
                Some(News::Begins(sentence)) => {
                    self.peer.set_trouble(&sending_to(to), Some(sentence));
                }
                Some(News::Ends) => {
                    log::info!("{to} can be sent to again");
                    self.peer.set_trouble(&sending_to(to), None);
                }
            }
        }
        true
    }

    /// Ends cleanly: the others are told, what is known is made durable.
    fn end(&mut self) {
        let now = self.clock.now();
        log::info!("ending");
        self.peer.shut_down();
        self.send(now);
        if let Some((legacy, _)) = self.legacy.as_mut() {
            legacy.shut_down(&self.peer);
        }
        self.progress.clear();
        log::info!(
            "turns of the loop: {}; flushes: {}",
            stalls::TURNS.counts(),
            stalls::FLUSHES.counts()
        );
    }
}

/// What a trouble with sending is filed under.
fn sending_to(peer: SocketAddr) -> String {
    format!("sending to {peer}")
}
