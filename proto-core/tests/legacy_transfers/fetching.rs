//! Fetching from the ancestor.

use super::{Random, file};
use proto_core::legacy::{
    Fetch, FetchError, Fetched, FileInformation, Operation, Reply, Request, Status,
};
use proto_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// The ancestor's server: stateless, one answer for each request.
fn original_answers(file: &[u8], block_size: u16, request: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 70_000];
    let size = file.len() as u64;
    let reply = match Request::parse(request).unwrap() {
        Request::FileInformation { .. } => {
            Reply::FileInformation(FileInformation { size, block_size })
        }
        Request::Block { index, .. } => {
            let start = (index as usize) * usize::from(block_size);
            assert!(start < file.len(), "asked for what there is not");
            let end = (start + usize::from(block_size)).min(file.len());
            let bytes = &file[start..end];
            Reply::Block { index, bytes }
        }
        Request::Unknown { .. } => panic!("unknown"),
    };
    let len = reply.emit(&mut out).unwrap();
    out.truncate(len);
    out
}

/// Runs a fetch to its end; the bytes and the time it took.
fn fetch(
    seed: u64,
    size: usize,
    block_size: u16,
    loss: u64,
    duplicates: u64,
) -> (Vec<u8>, Duration) {
    let file = file(size);
    let mut random = Random(seed * 7919 + 1);
    let start = Instant::from_micros(1_000_000);
    let mut now = start;
    let mut fetch = Fetch::new(now, "zip3.zip").unwrap();
    let mut arrivals: BTreeMap<(Instant, u64), Vec<u8>> = BTreeMap::new();
    let mut got = vec![0; size];
    let mut written = 0;
    let mut count = 0;
    let mut out = [0; 5000];
    while !fetch.is_done() {
        assert_eq!(fetch.failed(), None);
        assert!(now.saturating_since(start) < Duration::from_secs(3000));
        while let Some(len) = fetch.poll_transmit(now, &mut out) {
            for _ in 0..=u64::from(random.below(1000) < duplicates) {
                // Each way loses.
                if random.below(1000) < loss || random.below(1000) < loss {
                    continue;
                }
                count += 1;
                let arrival = now + Duration::from_micros(300 + random.below(2000));
                arrivals.insert(
                    (arrival, count),
                    original_answers(&file, block_size, &out[..len]),
                );
            }
        }
        let next = arrivals.keys().next().map(|key| key.0);
        now = next
            .unwrap_or(Instant::FAR_FUTURE)
            .min(fetch.poll_timeout())
            .max(now + Duration::from_micros(1));
        while let Some(first) = arrivals.first_entry().filter(|first| first.key().0 <= now) {
            let datagram = first.remove();
            match fetch.handle_reply(now, &Reply::parse(&datagram).unwrap()) {
                Some(Fetched::Bytes(offset, bytes)) => {
                    written += bytes.len();
                    got[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                }
                Some(Fetched::Size(told)) => assert_eq!(told, size as u64),
                None => {}
            }
        }
    }
    assert_eq!(written, size, "each byte is handed out once");
    assert!(got == file, "seed {seed}");
    (got, now.saturating_since(start))
}

#[test]
fn a_file_comes_whole_whatever_is_lost_repeated_or_reordered() {
    for seed in 1..40 {
        for (size, block_size) in [
            (0, 20480),
            (1, 20480),
            (20480, 20480),
            (1_000_001, 20480),
            (300_000, 1400),
            (500_000, 65_000),
        ] {
            fetch(seed, size, block_size, 50, 50);
        }
    }
}

#[test]
fn five_percent_of_loss_costs_little() {
    let (_, clean) = fetch(1, 20_000_000, 20480, 0, 0);
    let (_, lossy) = fetch(1, 20_000_000, 20480, 50, 0);
    println!("20 MB: {clean:?}, at 5 % loss each way {lossy:?}");
    // Measured: 3.3 s.
    assert!(lossy < Duration::from_secs(5), "{clean:?} {lossy:?}");
}

#[test]
fn an_ancestor_that_falls_silent_is_given_up_and_asked_about_the_file_first() {
    let mut now = Instant::from_micros(1_000_000);
    let mut fetch = Fetch::new(now, "../share/a").unwrap();
    let mut out = [0; 5000];
    let mut asked = Vec::new();
    let information = FileInformation {
        size: 100_000,
        block_size: 20480,
    };
    while fetch.failed().is_none() {
        while let Some(len) = fetch.poll_transmit(now, &mut out) {
            let information_asked = matches!(
                Request::parse(&out[..len]),
                Ok(Request::FileInformation { .. })
            );
            asked.push((now.as_micros() / 1000, information_asked));
            if asked.len() == 1 {
                let brought = fetch.handle_reply(now, &Reply::FileInformation(information));
                assert_eq!(brought, Some(Fetched::Size(100_000)));
            }
        }
        now = fetch.poll_timeout().max(now + Duration::from_millis(1));
    }
    assert_eq!(fetch.failed(), Some(FetchError::Silent));
    // From two seconds of silence on no block is asked for any more.
    assert!(
        asked
            .iter()
            .all(|(at, information)| *at < 3_000 || *information),
        "{asked:?}"
    );
    assert!(asked.len() < 400);
}

#[test]
fn an_ancestor_that_gives_a_block_now_and_then_does_not_keep_us_for_ever() {
    let mut now = Instant::from_micros(1_000_000);
    let mut fetch = Fetch::new(now, "zip1.zip").unwrap();
    let mut out = [0; 100];
    let mut given = 0;
    let mut due = now;
    while fetch.failed().is_none() {
        while let Some(len) = fetch.poll_transmit(now, &mut out) {
            let information = Reply::FileInformation(FileInformation {
                size: 100_000_000,
                block_size: 20480,
            });
            match Request::parse(&out[..len]).unwrap() {
                Request::FileInformation { .. } => fetch.handle_reply(now, &information),
                _ => None,
            };
        }
        if now >= due {
            due = now + Duration::from_secs(10);
            let bytes = &[7; 20480];
            let index = given;
            fetch.handle_reply(now, &Reply::Block { index, bytes });
            given += 1;
        }
        now += Duration::from_millis(100);
        assert!(given < 60, "it goes on and on");
    }
    assert_eq!(fetch.failed(), Some(FetchError::Silent));
    // It was given a minute of silence.
    assert!(given > 4, "{given}");
}

#[test]
fn a_missing_or_changed_file_ends_the_fetch() {
    let now = Instant::from_micros(1_000_000);
    let failed = |operation, status| Reply::Failed { operation, status };
    let mut missing = Fetch::new(now, "zip1.zip").unwrap();
    missing.handle_reply(now, &failed(Operation::FILE_INFORMATION, Status::NOT_FOUND));
    assert_eq!(missing.failed(), Some(FetchError::NotFound));
    let mut shrunk = Fetch::new(now, "zip1.zip").unwrap();
    let mut out = [0; 100];
    shrunk.poll_transmit(now, &mut out);
    shrunk.handle_reply(
        now,
        &Reply::FileInformation(FileInformation {
            size: 30_000,
            block_size: 20480,
        }),
    );
    shrunk.poll_transmit(now, &mut out);
    let short = Reply::Block {
        index: 0,
        bytes: b"short",
    };
    assert_eq!(shrunk.handle_reply(now, &short), None);
    assert_eq!(shrunk.failed(), Some(FetchError::Changed));
    // Blocks that nobody asked for are nothing.
    let mut unasked = Fetch::new(now, "zip1.zip").unwrap();
    assert_eq!(unasked.handle_reply(now, &short), None);
    assert_eq!(unasked.failed(), None);
    for name in ["", "a\0b", &"x".repeat(5000)] {
        assert!(Fetch::new(now, name).is_none());
    }
}
