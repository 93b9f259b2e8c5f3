//! What messages and the bookkeeping of a pull cost.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use proto_core::boundary::PeerSlot;
use proto_core::content::ContentId;
use proto_core::flow::Flow;
use proto_core::pull::{Arrived, Piece, Want};
use proto_core::storage::segment_bitmap::SegmentBitmap;
use proto_core::time::Instant;
use proto_core::wire::block::Block;
use proto_core::wire::encoding::Encoding;
use proto_core::wire::request::RequestWriter;
use proto_core::wire::{Message, ObjectId};

/// Bytes of a segment in a datagram of 1,452 bytes.
const SEGMENT: usize = 1452 - 32 - Block::HEADER_LEN;
/// An average chunk.
const CHUNK: u32 = 74_000;

fn main() {
    divan::main();
}

fn content() -> ObjectId {
    ObjectId::Content(ContentId([7; 32]))
}

fn all() -> (usize, SegmentBitmap) {
    let segments = (CHUNK as usize).div_ceil(SEGMENT);
    let mut wanted = SegmentBitmap::new();
    for place in 0..segments {
        wanted.set(place);
    }
    (segments, wanted)
}

/// A REQUEST for four chunks.
fn request(out: &mut [u8], wanted: &SegmentBitmap, segments: usize) -> Option<usize> {
    let segment = u16::try_from(SEGMENT).ok()?;
    let mut writer = RequestWriter::new(out, content(), segment).ok()?;
    for number in 0..4 {
        let start = u64::from(number) * u64::from(CHUNK);
        writer.push(number, start, CHUNK, segments, wanted).ok()?;
    }
    Some(writer.finish())
}

#[divan::bench]
fn write_request(bencher: Bencher<'_, '_>) {
    let (segments, wanted) = all();
    let mut out = [0; 1200];
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| request(&mut out, &wanted, segments));
}

/// With all bits of all items.
#[divan::bench]
fn read_request(bencher: Bencher<'_, '_>) {
    let (segments, wanted) = all();
    let mut out = [0; 1200];
    let len = request(&mut out, &wanted, segments).unwrap_or_default();
    let bytes = out.get(..len).unwrap_or_default();
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench(|| match Message::decode(bytes) {
            Ok(Message::Request(request)) => request
                .items()
                .filter_map(|item| SegmentBitmap::read(item.wanted))
                .map(|wanted| wanted.iter().count())
                .sum::<usize>(),
            _ => 0,
        });
}

#[divan::bench]
fn write_and_read_block_header(bencher: Bencher<'_, '_>) {
    let mut out = [0; Block::HEADER_LEN + SEGMENT];
    let header = Block {
        encoding: Encoding::NONE,
        segment: 9,
        tag: 1,
        length: CHUNK,
    };
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let written = header.emit_header(divan::black_box(&mut out)).is_ok();
        written && matches!(Message::decode(&out), Ok(Message::Block(_, _)))
    });
}

/// A chunk is asked for and comes, segment by segment.
#[divan::bench]
fn pull_a_chunk(bencher: Bencher<'_, '_>) {
    let Some(peer) = PeerSlot::new(0) else {
        return;
    };
    let mut flow = Flow::default();
    let mut micros = 1_000_000;
    bencher.counter(BytesCount::new(CHUNK)).bench_local(|| {
        let mut piece = Piece::new(Want {
            object: content(),
            start: 0,
            length: CHUNK,
            only: None,
            prefer: None,
        });
        let mut wanted = SegmentBitmap::new();
        let missing = piece.ask(peer, SEGMENT, CHUNK as usize, &mut wanted);
        let order = flow.asked(Instant::from_micros(micros), missing.bytes);
        piece.asked(Instant::from_micros(micros), order, &wanted);
        let mut new = 0;
        for place in 0..missing.segments {
            micros += 1;
            let len = SEGMENT.min(CHUNK as usize - place * SEGMENT);
            let now = Instant::from_micros(micros);
            let arrived =
                piece.arrived(now, &mut flow, place, (Encoding::NONE, CHUNK as usize), len);
            new += usize::from(matches!(arrived, Arrived::New { .. }));
        }
        assert!(new == missing.segments && piece.is_complete());
        new
    });
}
