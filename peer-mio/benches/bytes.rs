//! What a byte on its way costs: ciphers, hashes, copies, sockets, files (docs/performance.md, "Cycles per byte").

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use peer_mio::net::cipher::FastKey;
use peer_mio::net::socket::{SendOutcome, Socket};
use proto_core::content::cut::{Cutter, Params};
use proto_core::session::{CipherKey, CipherKind, PureRust};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt;

/// Bytes of datagrams: the least, Ethernet, jumbo frames.
const DATAGRAMS: [usize; 3] = [1_200, 1_452, 8_952];
const MIB: usize = 1 << 20;

fn main() {
    divan::main();
}

/// Bytes that do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn seal<K: CipherKey>(bencher: Bencher<'_, '_>, cipher: CipherKind, len: usize) {
    let Some(key) = K::new(cipher, &[7; 32]) else {
        return;
    };
    let mut text = noise(len);
    let mut counter = 0_u64;
    bencher
        .counter(BytesCount::of_slice(&text))
        .bench_local(|| {
            counter += 1;
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&counter.to_be_bytes());
            key.seal(nonce, &[3; 16], black_box(&mut text))
        });
}

#[divan::bench(args = DATAGRAMS)]
fn seal_aegis(bencher: Bencher<'_, '_>, len: usize) {
    seal::<FastKey>(bencher, CipherKind::Aegis128L, len);
}

#[divan::bench(args = DATAGRAMS)]
fn seal_chacha_pure_rust(bencher: Bencher<'_, '_>, len: usize) {
    seal::<PureRust>(bencher, CipherKind::ChaCha20Poly1305, len);
}

#[divan::bench(args = DATAGRAMS)]
fn seal_chacha_ring(bencher: Bencher<'_, '_>, len: usize) {
    seal::<FastKey>(bencher, CipherKind::ChaCha20Poly1305, len);
}

/// One chunk.
#[divan::bench]
fn hash_blake3(bencher: Bencher<'_, '_>) {
    let data = noise(74_000);
    bencher
        .counter(BytesCount::of_slice(&data))
        .bench(|| blake3::hash(black_box(&data)));
}

#[divan::bench]
fn cut_fastcdc(bencher: Bencher<'_, '_>) {
    let data = noise(4 * MIB);
    bencher.counter(BytesCount::of_slice(&data)).bench(|| {
        let mut cutter = Cutter::new(Params::for_size(data.len() as u64));
        let mut rest = data.as_slice();
        while let Some(taken) = cutter.push(rest) {
            rest = rest.get(taken..).unwrap_or_default();
        }
        rest.len()
    });
}

/// What stays in the nearest cache, and what does not.
#[divan::bench(args = [32 << 10, 64 << 20])]
fn copy(bencher: Bencher<'_, '_>, len: usize) {
    let from = noise(len);
    let mut to = vec![0; len];
    bencher
        .counter(BytesCount::of_slice(&from))
        .bench_local(|| black_box(&mut to).copy_from_slice(black_box(&from)));
}

/// A burst of 60 KB in datagrams of this length, sent by one call and received over loopback.
#[divan::bench(args = DATAGRAMS)]
fn send_and_receive(bencher: Bencher<'_, '_>, len: usize) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (Ok(mut sender), Ok(mut receiver)) = (Socket::bind(any), Socket::bind(any)) else {
        return;
    };
    let Ok(to) = receiver.local_addr() else {
        return;
    };
    let burst = noise(60_000 / len * len);
    bencher
        .counter(BytesCount::of_slice(&burst))
        .bench_local(|| {
            let sent = sender.send(to, &burst, len, false);
            assert!(matches!(sent, Ok(SendOutcome::Sent)));
            let mut received = 0;
            while received < burst.len() {
                let more = receiver.receive(&mut |_, datagrams, _| {
                    received += datagrams.map(|datagram| datagram.len()).sum::<usize>();
                    true
                });
                assert!(more.is_ok(), "{more:?}");
            }
            received
        });
}

/// 4 MiB of a file in the page cache, in pieces of this many bytes.
#[divan::bench(args = [74_000, 256 << 10])]
fn read_file(bencher: Bencher<'_, '_>, piece: usize) {
    let Some(file) = file() else {
        return;
    };
    let mut buffer = vec![0; piece];
    bencher.counter(BytesCount::new(4 * MIB)).bench_local(|| {
        (0..4 * MIB / piece)
            .map(|place| file.read_at(&mut buffer, (place * piece) as u64))
            .filter_map(Result::ok)
            .sum::<usize>()
    });
}

#[divan::bench(args = [74_000, 256 << 10])]
fn overwrite_file(bencher: Bencher<'_, '_>, piece: usize) {
    let Some(file) = file() else {
        return;
    };
    let buffer = noise(piece);
    bencher.counter(BytesCount::new(4 * MIB)).bench_local(|| {
        (0..4 * MIB / piece)
            .map(|place| file.write_at(&buffer, (place * piece) as u64))
            .filter_map(Result::ok)
            .sum::<usize>()
    });
}

/// 4 MiB that have a place in the page cache.
fn file() -> Option<File> {
    let file = tempfile::tempfile().ok()?;
    file.write_all_at(&noise(4 * MIB), 0).ok()?;
    Some(file)
}
