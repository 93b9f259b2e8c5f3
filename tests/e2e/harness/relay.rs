//! A relay between two peers: each takes it for the other one. It can record what passes, fall
//! silent, and send what it likes from where the peers expect each other.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the relay looks for a datagram before it looks whether it shall end.
const LOOK: Duration = Duration::from_millis(50);

/// One side of the relay: what a peer takes for the other one.
#[derive(Debug)]
struct Side {
    socket: UdpSocket,
    /// The peer that this side talks to.
    peer: SocketAddr,
}

/// What the two threads and the test share.
#[derive(Debug)]
struct Shared {
    sides: [Side; 2],
    forward: AtomicBool,
    end: AtomicBool,
    /// What each side has got, in order.
    got: [Mutex<Vec<Vec<u8>>>; 2],
}

/// A running relay; ends when dropped.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Relays between `peers[0]`, which talks to `faces[0]`, and `peers[1]`, which talks to
    /// `faces[1]`.
    pub fn start(faces: [SocketAddr; 2], peers: [SocketAddr; 2]) -> Self {
        let side = |place: usize| {
            let socket = UdpSocket::bind(faces[place]).expect("an address for the relay");
            socket.set_read_timeout(Some(LOOK)).expect("a time limit");
            Side {
                socket,
                peer: peers[place],
            }
        };
        let shared = Arc::new(Shared {
            sides: [side(0), side(1)],
            forward: AtomicBool::new(true),
            end: AtomicBool::new(false),
            got: [Mutex::default(), Mutex::default()],
        });
        let threads = (0..2).map(|place| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.run(place))
        });
        Self {
            threads: threads.collect(),
            shared,
        }
    }

    /// Whether datagrams are passed on. They are recorded in any case.
    pub fn forward(&self, yes: bool) {
        self.shared.forward.store(yes, Ordering::SeqCst);
    }

    /// What peer `place` has sent since the last time, in order.
    pub fn take_sent_by(&self, place: usize) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.shared.got[place].lock().expect("no panic before"))
    }

    /// Sends to peer `place` from the address that it takes for the other one's.
    pub fn send_to(&self, place: usize, datagram: &[u8]) {
        self.shared.sides[place].send(datagram);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // A panic there has been printed; the test fails by what did not pass.
            let _ = thread.join();
        }
    }
}

impl Side {
    fn send(&self, datagram: &[u8]) {
        match self.socket.send_to(datagram, self.peer) {
            Ok(_) => {}
            // What a peer that does not run answers through the kernel.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => panic!("relay: {error}"),
        }
    }
}

impl Shared {
    fn run(&self, place: usize) {
        let mut buffer = vec![0; 65_536];
        let (from, to) = (&self.sides[place], &self.sides[1 - place]);
        while !self.end.load(Ordering::SeqCst) {
            let Ok((len, source)) = from.socket.recv_from(&mut buffer) else {
                continue;
            };
            if source != from.peer {
                continue;
            }
            let datagram = &buffer[..len];
            self.got[place]
                .lock()
                .expect("no panic before")
                .push(datagram.to_vec());
            if self.forward.load(Ordering::SeqCst) {
                to.send(datagram);
            }
        }
    }
}
