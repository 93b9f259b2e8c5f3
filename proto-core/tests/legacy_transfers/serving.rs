//! Serving to the ancestor.

use super::{Random, file};
use proto_core::legacy::{Batches, MAX_SERVED, Operation, Reply, Request, Serve, Status};
use proto_core::time::{Duration, Instant};

struct OneBatch(Vec<u8>);

impl Batches for OneBatch {
    fn size(&mut self, number: u32) -> Option<u64> {
        (number == 4).then_some(self.0.len() as u64)
    }
    fn read(&mut self, _: u32, offset: u64, out: &mut [u8]) -> bool {
        out.copy_from_slice(&self.0[offset as usize..][..out.len()]);
        true
    }
}

/// One batch of so many bytes, its server, and a buffer.
fn serving(size: usize) -> (Instant, OneBatch, Serve, Vec<u8>) {
    let now = Instant::from_micros(1_000_000);
    (
        now,
        OneBatch(file(size)),
        Serve::default(),
        vec![0; MAX_SERVED],
    )
}

/// The ancestor's client: one request, then it waits for ever for one datagram, which it takes as the next
/// block whatever it is. Requests are lost, answers are not. The bytes it got, or `None` if it hangs.
fn original_downloads(seed: u64, size: usize, lost: u64, slow: bool) -> Option<Vec<u8>> {
    let mut batches = OneBatch(file(size));
    let mut random = Random(seed * 104_729 + 3);
    let mut now = Instant::from_micros(1_000_000);
    let mut serve = Serve::default();
    let mut out = vec![0; MAX_SERVED];
    let mut inbox: Vec<Vec<u8>> = Vec::new();
    let mut got = Vec::new();
    let request = |serve: &mut Serve, batches: &mut OneBatch, now, request: Request<'_>| {
        let mut out = [0; 100];
        let len = request.emit(&mut out).unwrap();
        serve.handle_request(now, 50_000, &Request::parse(&out[..len]).unwrap(), batches);
    };
    request(
        &mut serve,
        &mut batches,
        now,
        Request::FileInformation { name: "zip4.zip" },
    );
    let (_, len) = serve.poll_transmit(now, &mut batches, &mut out).unwrap();
    // The fields that its client reads.
    let field = |place: usize| u64::from_be_bytes(out[place..][..8].try_into().unwrap());
    assert_eq!((len, field(12)), (36, size as u64));
    for index in 0..field(28) {
        if random.below(1000) >= lost {
            request(
                &mut serve,
                &mut batches,
                now,
                Request::Block {
                    index,
                    name: "zip4.zip",
                },
            );
        }
        if slow && random.below(20) == 0 {
            // It does something else, and its buffer fills.
            now += Duration::from_millis(random.below(900));
        }
        let until = now + Duration::from_secs(60);
        loop {
            while let Some((port, len)) = serve.poll_transmit(now, &mut batches, &mut out) {
                assert_eq!(port, 50_000);
                inbox.push(out[..len].to_vec());
                assert!(inbox.len() <= 7, "its buffer overflows");
            }
            if !inbox.is_empty() {
                break;
            }
            now = serve.poll_timeout().max(now + Duration::from_micros(10));
            if now > until {
                return None;
            }
        }
        let Ok(Reply::Block { bytes, .. }) = Reply::parse(&inbox[0]) else {
            panic!("no block");
        };
        got.extend_from_slice(bytes);
        inbox.remove(0);
        now += Duration::from_micros(500);
    }
    assert!(inbox.is_empty(), "nothing was sent twice");
    let complete = serve.take_complete().expect("all is sent");
    assert_eq!(complete.number, 4);
    assert_eq!(complete.all_asked, serve.unasked() == 0);
    Some(got)
}

#[test]
fn an_original_gets_all_though_its_requests_are_lost_and_it_never_repeats_one() {
    for seed in 1..30 {
        for (size, lost, slow) in [
            (1, 0, false),
            (3_000_000, 0, true),
            (3_000_000, 50, false),
            (1_000_000, 200, true),
        ] {
            let got = original_downloads(seed, size, lost, slow);
            assert!(
                got.is_some_and(|got| got == file(size)),
                "{seed} {size} {lost}"
            );
        }
    }
}

#[test]
fn nothing_but_batches_is_served_and_every_wrong_request_gets_its_status() {
    let now = Instant::from_micros(1_000_000);
    let mut batches = OneBatch(file(30_000));
    let mut out = vec![0; MAX_SERVED];
    for (request, operation, status) in [
        (
            Request::FileInformation { name: "zip5.zip" },
            Operation::FILE_INFORMATION,
            Status::NOT_FOUND,
        ),
        (
            Request::FileInformation { name: "zip04.zip" },
            Operation::FILE_INFORMATION,
            Status::NOT_FOUND,
        ),
        (
            Request::FileInformation {
                name: "../zip4.zip",
            },
            Operation::FILE_INFORMATION,
            Status::NOT_FOUND,
        ),
        (
            Request::FileInformation {
                name: "/etc/passwd",
            },
            Operation::FILE_INFORMATION,
            Status::NOT_FOUND,
        ),
        (
            Request::Block {
                index: 0,
                name: "../share/a",
            },
            Operation::BLOCK,
            Status::NOT_FOUND,
        ),
        (
            Request::Block {
                index: 0,
                name: "zip+4.zip",
            },
            Operation::BLOCK,
            Status::NOT_FOUND,
        ),
        (
            Request::Block {
                index: 2,
                name: "zip4.zip",
            },
            Operation::BLOCK,
            Status::OUT_OF_RANGE,
        ),
        (
            Request::Block {
                index: u64::MAX,
                name: "zip4.zip",
            },
            Operation::BLOCK,
            Status::OUT_OF_RANGE,
        ),
        (
            Request::Unknown {
                operation: Operation(7),
                rest: b"",
            },
            Operation(7),
            Status::UNKNOWN_OPERATION,
        ),
    ] {
        let mut serve = Serve::default();
        serve.handle_request(now, 1, &request, &mut batches);
        let (_, len) = serve
            .poll_transmit(now, &mut batches, &mut out)
            .expect("an answer");
        let failed = Reply::Failed { operation, status };
        assert_eq!(Reply::parse(&out[..len]), Ok(failed), "{request:?}");
    }
}

#[test]
fn a_request_is_not_answered_twice_and_only_in_order() {
    let (mut now, mut batches, mut serve, mut out) = serving(100_000);
    let block = Request::Block {
        index: 0,
        name: "zip4.zip",
    };
    serve.handle_request(now, 9, &block, &mut batches);
    assert!(serve.poll_transmit(now, &mut batches, &mut out).is_some());
    serve.handle_request(now, 9, &block, &mut batches);
    assert!(serve.poll_transmit(now, &mut batches, &mut out).is_none());
    // Which bytes somebody has who asks for this one is not known.
    let later = Request::Block {
        index: 4,
        name: "zip4.zip",
    };
    serve.handle_request(now, 9, &later, &mut batches);
    let (_, len) = serve.poll_transmit(now, &mut batches, &mut out).unwrap();
    let failed = Reply::Failed {
        operation: Operation::BLOCK,
        status: Status::OUT_OF_RANGE,
    };
    assert_eq!(Reply::parse(&out[..len]), Ok(failed));
    now += Duration::from_millis(50);
    serve.handle_request(now, 9, &block, &mut batches);
    assert!(serve.poll_transmit(now, &mut batches, &mut out).is_none());
    // A new download has a port of its own; one that the network repeats has not.
    for (port, answered) in [(9, false), (10, true), (10, false)] {
        let name = "zip4.zip";
        let question = Request::FileInformation { name };
        serve.handle_request(now, port, &question, &mut batches);
        let answer = serve.poll_transmit(now, &mut batches, &mut out);
        assert_eq!(answer.is_some(), answered);
    }
}

#[test]
fn a_client_that_lost_an_answer_is_given_up_soon_and_one_with_a_long_way_is_not() {
    for (long_way, lost) in [(0, 40), (20, 40), (150, u64::MAX), (400, u64::MAX)] {
        let mut now = Instant::from_micros(1_000_000);
        let mut batches = OneBatch(file(10_000_000));
        let mut serve = Serve::default();
        let mut out = vec![0; MAX_SERVED];
        let way = Duration::from_millis(long_way) + Duration::from_micros(100);
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let name = "zip4.zip";
        serve.handle_request(now, 1, &Request::FileInformation { name }, &mut batches);
        let (mut sent, mut asked, mut got, mut total) = (0, 0, 0, u64::MAX);
        let start = now;
        while asked < total {
            while let Some((_, len)) = serve.poll_transmit(now, &mut batches, &mut out) {
                if sent == 0 {
                    total = u64::from_be_bytes(out[28..36].try_into().unwrap());
                }
                if sent != lost {
                    there.push((now + way, len));
                }
                sent += 1;
            }
            let next = there.iter().chain(&back).map(|(at, _)| *at).min();
            let next = next.unwrap_or(Instant::FAR_FUTURE);
            let next = next.min(serve.poll_timeout());
            if next == Instant::FAR_FUTURE {
                break;
            }
            now = now.max(next);
            while there.first().is_some_and(|(at, _)| *at <= now) {
                got += there.remove(0).1;
                back.push((now + way, 0));
            }
            while back.first().is_some_and(|(at, _)| *at <= now) {
                back.remove(0);
                let index = asked;
                asked += 1;
                serve.handle_request(now, 1, &Request::Block { index, name }, &mut batches);
            }
        }
        let took = now.saturating_since(start);
        if lost == u64::MAX {
            assert_eq!(asked, total);
            assert!(got > 9_900_000, "{long_way}: {got}");
        } else {
            assert!(took < Duration::from_secs(10) && asked < 100, "{took:?}");
        }
    }
}

/// Whoever can send in the name of an ancestor makes us send that ancestor no more than a block for each datagram.
#[test]
fn one_request_draws_at_most_the_bytes_of_a_block() {
    let mut now = Instant::from_micros(1_000_000);
    let mut batches = OneBatch(file(1_000_000));
    let mut serve = Serve::default();
    let mut out = vec![0; MAX_SERVED];
    let mut random = Random(77);
    let mut most = [0, 0];
    for round in 0..3000 {
        let name = "zip4.zip";
        let index = round / 60 + random.below(3);
        let request = match random.below(20) {
            0 => Request::FileInformation { name },
            _ => Request::Block { index, name },
        };
        let port = 1 + random.below(3) as u16;
        serve.handle_request(now, port, &request, &mut batches);
        let mut drawn = 0;
        while serve.poll_timeout() != Instant::FAR_FUTURE {
            now = now.max(serve.poll_timeout());
            while let Some((_, len)) = serve.poll_transmit(now, &mut batches, &mut out) {
                drawn += len;
            }
        }
        now += Duration::from_millis(random.below(3000));
        let kind = usize::from(matches!(request, Request::Block { .. }));
        most[kind] = most[kind].max(drawn);
    }
    // The answer and six empty blocks.
    assert_eq!(most, [36 + 6 * 28, MAX_SERVED]);
}

#[test]
fn a_flood_of_requests_stays_within_bounds() {
    let (now, mut batches, mut serve, mut out) = serving(100_000);
    for port in 1..10_000 {
        serve.handle_request(
            now,
            port,
            &Request::Block {
                index: 0,
                name: "zip4.zip",
            },
            &mut batches,
        );
    }
    let mut sent = 0;
    while serve.poll_transmit(now, &mut batches, &mut out).is_some() {
        sent += 1;
    }
    assert!(sent <= 16, "{sent}");
}

/// A request that finds no room for its answer is as good as lost: its block is not.
#[test]
fn a_block_is_not_lost_because_too_many_answers_wait() {
    let (mut now, mut batches, mut serve, mut out) = serving(100_000);
    let name = "zip4.zip";
    let first = Request::Block { index: 0, name };
    let missing = Request::FileInformation { name: "zip5.zip" };
    serve.handle_request(now, 1, &Request::FileInformation { name }, &mut batches);
    for _ in 0..40 {
        serve.handle_request(now, 2, &missing, &mut batches);
    }
    serve.handle_request(now, 1, &first, &mut batches);
    while let Some((_, len)) = serve.poll_transmit(now, &mut batches, &mut out) {
        assert!(len <= 36, "{len}");
    }
    // An empty one takes its place, and the bytes come with the next.
    now = serve.poll_timeout();
    assert!(serve.poll_transmit(now, &mut batches, &mut out).is_some());
    let second = Request::Block { index: 1, name };
    serve.handle_request(now, 1, &second, &mut batches);
    let (_, len) = serve.poll_transmit(now, &mut batches, &mut out).unwrap();
    let Ok(Reply::Block { index: 1, bytes }) = Reply::parse(&out[..len]) else {
        panic!("no block");
    };
    assert!(!bytes.is_empty() && batches.0.starts_with(bytes));
}

#[test]
fn questions_that_nothing_follows_end_no_download() {
    let (mut now, mut batches, mut serve, mut out) = serving(100_000);
    let name = "zip4.zip";
    let mut got = Vec::new();
    for index in 0..5 {
        serve.handle_request(now, 1, &Request::Block { index, name }, &mut batches);
        let (_, len) = serve.poll_transmit(now, &mut batches, &mut out).unwrap();
        let Ok(Reply::Block { bytes, .. }) = Reply::parse(&out[..len]) else {
            panic!("no block {index}");
        };
        got.extend_from_slice(bytes);
        for port in 2..20 {
            now += Duration::from_millis(1);
            let question = Request::FileInformation { name };
            serve.handle_request(now, port, &question, &mut batches);
            while serve.poll_transmit(now, &mut batches, &mut out).is_some() {}
        }
    }
    assert_eq!(got, batches.0);
}

#[test]
fn a_batch_does_not_count_as_sent_to_a_client_that_is_behind() {
    for (lost, completes) in [(true, false), (false, true)] {
        let mut now = Instant::from_micros(1_000_000);
        // Two blocks of bytes and three empty ones.
        let mut batches = OneBatch(file(30_000));
        let mut serve = Serve::default();
        let mut out = vec![0; MAX_SERVED];
        let name = "zip4.zip";
        for index in 0..3 {
            serve.handle_request(now, 1, &Request::Block { index, name }, &mut batches);
            assert!(serve.poll_transmit(now, &mut batches, &mut out).is_some());
        }
        if lost {
            // It takes the fourth for the third, whose answer is lost.
            now = serve.poll_timeout();
            assert!(serve.poll_transmit(now, &mut batches, &mut out).is_some());
            let index = 3;
            serve.handle_request(now, 1, &Request::Block { index, name }, &mut batches);
        }
        while serve.poll_timeout() != Instant::FAR_FUTURE {
            now = now.max(serve.poll_timeout());
            while serve.poll_transmit(now, &mut batches, &mut out).is_some() {}
        }
        assert_eq!(serve.take_complete().is_some(), completes, "{lost}");
    }
}
