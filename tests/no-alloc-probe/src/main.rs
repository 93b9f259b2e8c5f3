//! Calls into proto-core with no std, no allocator and a panic handler of its own: what `probe` reaches
//! is what the linker proves. It drives two engines against each other, and through them all of the crate.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::time::Duration;
use proto_core::boundary::{Mark, Objects, PeerSlot, Read};
use proto_core::content::ContentId;
use proto_core::content::recipe::hash_chunk;
use proto_core::engine::{Config, Delivery, Engine, Event, Limits, Own};
use proto_core::index::entry::IndexId;
use proto_core::legacy;
use proto_core::path;
use proto_core::pull::Want;
use proto_core::session::{Config as SessionConfig, Entropy};
use proto_core::time::Instant;
use proto_core::wire::ObjectId;

/// Bytes of the piece that is pulled.
const PIECE: usize = 10_000;
/// Turns after which the piece must be here; some ten are needed.
const TURNS: u64 = 200;

/// Serves one content of equal bytes.
struct Zeros;

impl Objects for Zeros {
    fn piece(&mut self, object: ObjectId, _: u64, length: usize) -> Read {
        match object {
            ObjectId::Content(_) => Read::Ready(length),
            ObjectId::Recipe(_) | ObjectId::Journal(_) | ObjectId::Bundle(_) => Read::Gone,
        }
    }

    fn read(&mut self, _: ObjectId, _: u64, length: usize, at: usize, buffer: &mut [u8]) -> Read {
        let len = buffer.len().min(length.saturating_sub(at));
        buffer.fill(0);
        Read::Ready(len)
    }
}

fn engine(number: u8) -> Engine {
    let session = SessionConfig {
        key: black_box([0x42; 32]),
        index_id: IndexId(u64::from(number)),
        boot_id: 1,
        aegis: false,
    };
    let config = Config {
        session,
        receive_buffer: 1 << 20,
        datagram: 1200,
        told: 0,
        limits: Limits::default(),
    };
    Engine::new(config, Entropy::new(&[number; 32]))
}

/// Hands all that `from` sends to `to`: how many bytes of a piece arrived.
fn exchange(now: Instant, peer: PeerSlot, from: &mut Engine, to: &mut Engine) -> usize {
    let mut buffer = [0; 4096];
    let mut arrived = 0;
    while let Some(transmit) = from.poll_transmit(now, &mut buffer, &mut Zeros) {
        let sent = buffer.get_mut(..transmit.len).unwrap_or_default();
        for datagram in sent.chunks_mut(transmit.segment_size.max(1)) {
            let delivery = to.handle_datagram(now, peer, datagram, Mark::Congestion);
            if let Some(Delivery::Arrival(arrival)) = delivery {
                arrived += arrival.bytes.len();
            }
        }
    }
    arrived
}

/// Whether a piece goes from one engine to another.
fn pull(peer: PeerSlot) -> bool {
    let (mut near, mut far) = (engine(1), engine(2));
    let mut now = Instant::from_micros(1_000_000);
    let mut ready = near.add_peer(peer, 1, None) && far.add_peer(peer, 1, None);
    near.set_own(now, Own::default());
    let mut arrived = 0;
    for _ in 0..TURNS {
        arrived += exchange(now, peer, &mut far, &mut near);
        arrived += exchange(now, peer, &mut near, &mut far);
        while far.poll_event().is_some() {}
        while let Some(event) = near.poll_event() {
            match event {
                Event::Connected { peer, .. } => {
                    near.set_cursor(now, peer, 0);
                    ready &= near.pull(want()).is_some();
                }
                Event::Complete { pull, .. } => {
                    near.finish(pull);
                    near.shut_down();
                    exchange(now, peer, &mut near, &mut far);
                    return ready && arrived == PIECE;
                }
                _ => {}
            }
        }
        now += Duration::from_millis(1);
        near.handle_timeout(now);
        far.handle_timeout(now);
    }
    false
}

fn want() -> Want {
    Want {
        object: ObjectId::Content(ContentId([7; 32])),
        start: 0,
        length: PIECE as u32,
        only: None,
        prefer: None,
    }
}

fn probe(place: usize) -> bool {
    let Some(peer) = PeerSlot::new(place) else {
        return false;
    };
    let name = black_box(&b"a/b"[..]);
    let hash = hash_chunk(name);
    path::check(name).is_ok()
        && hash != hash_chunk(&[])
        && legacy::Request::parse(name).is_err()
        && pull(peer)
}

#[unsafe(no_mangle)]
extern "C" fn main(arguments: i32, _: *const *const u8) -> i32 {
    i32::from(!black_box(probe(black_box(arguments as usize))))
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
