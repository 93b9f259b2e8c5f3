//! Serving our batches to one ancestor. Its client asks block by block from a socket of its own, waits for
//! ever and takes whatever comes as the next block, so each block is sent exactly once and in order; a request
//! that does not come is taken as lost, and the next block is sent without it (docs/legacy.md, "Serving").

use super::{FileInformation, Operation, Reply, Request, Status};
use crate::time::{Duration, Instant};
use heapless::{Deque, Vec};

/// Block size that we serve: the ancestor's own.
pub const BLOCK: u16 = 20_480;
/// Largest datagram to an ancestor: a block and its header.
pub const MAX_SERVED: usize = BLOCK as usize + BLOCK_HEAD;
const BLOCK_HEAD: usize = 28;
/// Downloads that one ancestor has under way; each is one thread of it.
const DOWNLOADS: usize = 4;
/// Answers waiting to be sent to one ancestor.
const ANSWERS: usize = 16;
/// Blocks that are sent without having been asked for, before the next request shows that the ancestor
/// lives: they have to fit into its receive buffer.
const AHEAD: u64 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// A request for a block that was sent so long ago is no duplicate of the network.
const REPEATED: Duration = Duration::from_secs(1);

/// What is served: the batches `zipN.zip`.
pub trait Batches {
    /// Bytes of batch `number`; `None` if there is none.
    fn size(&mut self, number: u32) -> Option<u64>;
    /// Fills `out` from this place of it; false if it cannot be read.
    fn read(&mut self, number: u32, offset: u64, out: &mut [u8]) -> bool;
}

#[derive(Debug)]
struct Download {
    port: u16,
    number: u32,
    size: u64,
    /// The next block to send: all before it are sent.
    next: u64,
    /// Behind the newest block that was asked for.
    asked: u64,
    sent_at: Instant,
    /// When the next block goes out unasked.
    due: Instant,
    pause: Duration,
    /// Time between a block and the request for the next one, of late.
    gap: Option<Duration>,
    /// Whether each block so far was asked for.
    all_asked: bool,
}

/// The last block of a batch was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Complete {
    /// The number of the batch.
    pub number: u32,
    /// Each block of it was asked for, so that all but the last have arrived.
    pub all_asked: bool,
}

impl Download {
    fn total(&self) -> u64 {
        information(self.size).total_blocks()
    }
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Information(u32),
    Block(u64),
    Failed(Operation, Status),
}

/// The serving side towards one ancestor.
#[derive(Debug, Default)]
pub struct Serve {
    downloads: Vec<Download, DOWNLOADS>,
    answers: Deque<(u16, Answer), ANSWERS>,
    complete: Option<Complete>,
    /// Blocks that were sent without a request.
    unasked: u64,
}

fn information(size: u64) -> FileInformation {
    FileInformation {
        size,
        block_size: BLOCK,
    }
}

/// The number in `zipN.zip`, without leading zeros.
#[must_use]
pub fn batch_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("zip")?.strip_suffix(".zip")?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

impl Serve {
    /// Takes a request from this port of the ancestor.
    pub fn handle_request(
        &mut self,
        now: Instant,
        port: u16,
        request: &Request<'_>,
        batches: &mut impl Batches,
    ) {
        let answer = match *request {
            Request::FileInformation { name } => {
                let found = batch_number(name)
                    .and_then(|number| Some((number, batches.size(number)?)))
                    .filter(|(_, size)| *size > 0);
                match found {
                    Some((number, size)) => {
                        self.begin(now, port, number, size, 0);
                        Answer::Information(number)
                    }
                    None => Answer::Failed(Operation::FILE_INFORMATION, Status::NOT_FOUND),
                }
            }
            Request::Block { index, name } => {
                match self.handle_block(now, port, index, name, batches) {
                    Some(answer) => answer,
                    None => return,
                }
            }
            Request::Unknown { operation, .. } => {
                Answer::Failed(operation, Status::UNKNOWN_OPERATION)
            }
        };
        // If it is full an ancestor asks faster than it can take answers.
        let _ = self.answers.push_back((port, answer));
    }

    fn begin(&mut self, now: Instant, port: u16, number: u32, size: u64, next: u64) {
        self.downloads.retain(|download| download.port != port);
        if self.downloads.is_full() {
            let oldest = self
                .downloads
                .iter()
                .enumerate()
                .min_by_key(|(_, download)| download.sent_at)
                .map(|(place, _)| place);
            if let Some(place) = oldest {
                self.downloads.remove(place);
            }
        }
        let _ = self.downloads.push(Download {
            port,
            number,
            size,
            next,
            asked: next,
            sent_at: now,
            due: now + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            gap: None,
            all_asked: true,
        });
    }

    /// `None`: no answer, because that block is on its way or in the ancestor's buffer already.
    fn handle_block(
        &mut self,
        now: Instant,
        port: u16,
        index: u64,
        name: &str,
        batches: &mut impl Batches,
    ) -> Option<Answer> {
        let failed = |status| Some(Answer::Failed(Operation::BLOCK, status));
        let Some(number) = batch_number(name) else {
            return failed(Status::NOT_FOUND);
        };
        let known = |download: &&mut Download| download.port == port && download.number == number;
        if self.downloads.iter_mut().find(known).is_none() {
            // Begun before we were started anew.
            let Some(size) = batches.size(number) else {
                return failed(Status::NOT_FOUND);
            };
            self.begin(now, port, number, size, index);
        }
        let download = self.downloads.iter_mut().find(known)?;
        if index >= download.total() {
            return failed(Status::OUT_OF_RANGE);
        }
        if index < download.next {
            let repeated = index < download.asked
                && now.saturating_since(download.sent_at) >= REPEATED
                && download.next == download.asked;
            download.asked = download.asked.max(index + 1);
            download.pause = FIRST_PAUSE;
            download.due = now + download.pause;
            return repeated.then_some(Answer::Block(index));
        }
        let gap = now.saturating_since(download.sent_at);
        download.gap = Some(download.gap.map_or(gap, |mean| (mean * 7 + gap) / 8));
        let usual = download.gap.unwrap_or(FIRST_PAUSE) * 4;
        download.pause = usual.clamp(FIRST_PAUSE, LONGEST_PAUSE);
        download.asked = index + 1;
        download.next = index + 1;
        download.sent_at = now;
        download.due = now + download.pause;
        if download.next == download.total() {
            self.complete = Some(Complete {
                number,
                all_asked: download.all_asked,
            });
        }
        Some(Answer::Block(index))
    }

    /// Writes the next datagram for the ancestor; its port and the length.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        batches: &mut impl Batches,
        out: &mut [u8],
    ) -> Option<(u16, usize)> {
        loop {
            let (port, answer) = match self.answers.pop_front() {
                Some(answer) => answer,
                None => self.next_unasked(now)?,
            };
            if let Some(len) = self.emit(port, answer, batches, out) {
                self.sent(now, port);
                return Some((port, len));
            }
        }
    }

    /// The next request is waited for from now on: a limit may have held the answer back.
    fn sent(&mut self, now: Instant, port: u16) {
        for download in self
            .downloads
            .iter_mut()
            .filter(|download| download.port == port)
        {
            download.sent_at = now;
            download.due = now + download.pause;
        }
    }

    /// A block whose request seems to be lost.
    fn next_unasked(&mut self, now: Instant) -> Option<(u16, Answer)> {
        let download = self
            .downloads
            .iter_mut()
            .find(|download| download.waits() && download.due <= now)?;
        let index = download.next;
        download.next += 1;
        download.sent_at = now;
        download.pause = (download.pause * 2).min(LONGEST_PAUSE);
        download.due = now + download.pause;
        download.all_asked = false;
        self.unasked += 1;
        if download.next == download.total() {
            self.complete = Some(Complete {
                number: download.number,
                all_asked: false,
            });
        }
        Some((download.port, Answer::Block(index)))
    }

    fn emit(
        &self,
        port: u16,
        answer: Answer,
        batches: &mut impl Batches,
        out: &mut [u8],
    ) -> Option<usize> {
        match answer {
            Answer::Information(number) => {
                Reply::FileInformation(information(batches.size(number)?))
                    .emit(out)
                    .ok()
            }
            Answer::Failed(operation, status) => Reply::Failed { operation, status }.emit(out).ok(),
            Answer::Block(index) => {
                let download = self
                    .downloads
                    .iter()
                    .find(|download| download.port == port)?;
                let offset = index.checked_mul(u64::from(BLOCK))?;
                let left = download.size.checked_sub(offset)?;
                let len = usize::try_from(left.min(u64::from(BLOCK))).ok()?;
                let (head, rest) = out.split_first_chunk_mut::<BLOCK_HEAD>()?;
                let block = rest.get_mut(..len)?;
                if !batches.read(download.number, offset, block) {
                    let operation = Operation::BLOCK;
                    let status = Status::NOT_FOUND;
                    return Reply::Failed { operation, status }.emit(out).ok();
                }
                super::reply::emit_block_head(index, len, head);
                Some(BLOCK_HEAD + len)
            }
        }
    }

    /// When to poll again.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        if !self.answers.is_empty() {
            return Instant::ZERO;
        }
        self.downloads
            .iter()
            .filter(|download| download.waits())
            .map(|download| download.due)
            .min()
            .unwrap_or(Instant::FAR_FUTURE)
    }

    /// The batch of which the last block was sent, if one was since the last call.
    pub fn take_complete(&mut self) -> Option<Complete> {
        self.complete.take()
    }

    /// When a block of this batch was sent last.
    #[must_use]
    pub fn last_sent(&self, number: u32) -> Option<Instant> {
        self.downloads
            .iter()
            .filter(|download| download.number == number)
            .map(|download| download.sent_at)
            .max()
    }

    /// Blocks that were sent without a request so far.
    #[must_use]
    pub fn unasked(&self) -> u64 {
        self.unasked
    }
}

impl Download {
    /// Whether a request is waited for that may be lost.
    fn waits(&self) -> bool {
        self.next < self.total() && self.next < self.asked.saturating_add(AHEAD)
    }
}
