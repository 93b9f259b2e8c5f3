//! Serving our batches to one ancestor. Its client asks block by block from a socket of its own, waits for
//! ever and takes whatever comes as the next block, so each block is sent exactly once and in order; a request
//! that does not come is taken as lost, and an empty block is sent in its place (docs/legacy.md, "Serving").

use super::{FileInformation, Operation, Reply, Request, Status};
use crate::time::{Duration, Instant};
use heapless::{Deque, Vec};

/// Block size that we tell: the ancestor's own.
pub const BLOCK: u16 = 20_480;
/// Bytes that one request draws at most: an ancestor's block and its header.
pub const MAX_SERVED: usize = BLOCK as usize + BLOCK_HEAD;
/// Bytes of a block: the empty ones that may follow it fit beside it.
const FULL: usize = BLOCK as usize - AHEAD as usize * BLOCK_HEAD;
const BLOCK_HEAD: usize = 28;
/// Downloads that one ancestor has under way; each is one thread of it.
const DOWNLOADS: usize = 4;
/// Answers waiting to be sent to one ancestor.
const ANSWERS: usize = 16;
/// Empty blocks that are sent without having been asked for, before the next request shows that the ancestor lives.
const AHEAD: u64 = 6;
/// After so many requests in a row for what was sent already an answer seems to be lost: the client asks for ever one block behind, and no
/// empty one brings it further.
const BEHIND: u8 = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// A question for the batch that was served to the same port so long ago is no duplicate of the network.
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
    /// Bytes of the batch that are in these.
    offset: u64,
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
    /// Requests since the last that asked for the next block.
    behind: u8,
}

/// The last block of a batch was sent to one that does not seem to lack another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Complete {
    /// The number of the batch.
    pub number: u32,
    /// Each block of it was asked for, so that all but the last have arrived.
    pub all_asked: bool,
}

impl Download {
    /// Whether a request is waited for that may be lost, and an empty block can take its place.
    fn waits(&self) -> bool {
        let needed = full_blocks(self.size.saturating_sub(self.offset));
        self.behind < BEHIND
            && self.next.saturating_add(needed) < blocks(self.size)
            && self.next < self.asked.saturating_add(AHEAD)
    }

    /// Whether blocks were asked for, and are left.
    fn is_under_way(&self) -> bool {
        self.asked > 0 && self.next < blocks(self.size)
    }

    /// The next block, with up to so many bytes.
    fn answer(&mut self, now: Instant, bytes: usize) -> (Answer, Option<Complete>) {
        let left = self.size.saturating_sub(self.offset);
        let len = usize::try_from(left).map_or(bytes, |left| left.min(bytes));
        let (number, index, offset) = (self.number, self.next, self.offset);
        self.offset += len as u64;
        self.next += 1;
        self.sent_at = now;
        self.due = now + self.pause;
        let answer = Answer::Block {
            number,
            index,
            offset,
            len,
        };
        let complete = Complete {
            number,
            all_asked: self.all_asked,
        };
        // One that asks for a block before this one seems to have lost an answer.
        let is_last = self.next == blocks(self.size) && self.behind == 0;
        (answer, is_last.then_some(complete))
    }
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Information(u32),
    Block {
        number: u32,
        index: u64,
        offset: u64,
        len: usize,
    },
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

fn full_blocks(size: u64) -> u64 {
    size.div_ceil(FULL as u64)
}

/// Blocks that a batch of this size comes in: more than it needs, for requests that may be lost.
fn blocks(size: u64) -> u64 {
    let needed = full_blocks(size);
    needed + (needed / 2 + 2).min(needed / 8 + 24)
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
        // Such an ancestor asks faster than it can take answers. A block counts as sent once it is made, so nothing is made:
        // the request is as good as lost.
        if self.answers.is_full() {
            return;
        }
        let answer = match *request {
            Request::FileInformation { name } => {
                let found = batch_number(name)
                    .and_then(|number| Some((number, batches.size(number)?)))
                    .filter(|(_, size)| *size > 0);
                match found {
                    Some((number, size)) => {
                        let is_new = |download: &Download| {
                            (download.port, download.number) != (port, number)
                                || now.saturating_since(download.sent_at) >= REPEATED
                        };
                        if !self.downloads.iter().all(is_new) {
                            return;
                        }
                        self.begin(now, port, number, size);
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
        let _ = self.answers.push_back((port, answer));
    }

    fn begin(&mut self, now: Instant, port: u16, number: u32, size: u64) {
        self.downloads.retain(|download| download.port != port);
        if self.downloads.is_full() {
            // Questions that nothing follows, as in a flood of them, end no download.
            let least = self
                .downloads
                .iter()
                .enumerate()
                .min_by_key(|(_, download)| (download.is_under_way(), download.sent_at))
                .map(|(place, _)| place);
            if let Some(place) = least {
                self.downloads.remove(place);
            }
        }
        let _ = self.downloads.push(Download {
            port,
            number,
            size,
            next: 0,
            offset: 0,
            asked: 0,
            sent_at: now,
            due: now + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            gap: None,
            all_asked: true,
            behind: 0,
        });
    }

    /// `None`: no answer, because that block, or an empty one in its place, is on its way already.
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
            let Some(size) = batches.size(number) else {
                return failed(Status::NOT_FOUND);
            };
            if index > 0 {
                // Begun before we were started anew: which bytes it has is not known.
                return failed(Status::OUT_OF_RANGE);
            }
            self.begin(now, port, number, size);
        }
        let download = self.downloads.iter_mut().find(known)?;
        if index > download.next || index >= blocks(download.size) {
            return failed(Status::OUT_OF_RANGE);
        }
        if index < download.next {
            download.asked = download.asked.max(index + 1);
            download.behind = download.behind.saturating_add(1);
            download.pause = FIRST_PAUSE;
            download.due = now + download.pause;
            return None;
        }
        let gap = now.saturating_since(download.sent_at);
        download.gap = Some(download.gap.map_or(gap, |mean| (mean * 7 + gap) / 8));
        let usual = download.gap.unwrap_or(FIRST_PAUSE) * 4;
        download.pause = usual.clamp(FIRST_PAUSE, LONGEST_PAUSE);
        download.asked = index + 1;
        download.behind = 0;
        let (answer, complete) = download.answer(now, FULL);
        self.complete = complete.or(self.complete);
        Some(answer)
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
            if let Some(len) = emit(answer, batches, out) {
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

    /// An empty block in the place of one whose request seems to be lost.
    fn next_unasked(&mut self, now: Instant) -> Option<(u16, Answer)> {
        let download = self
            .downloads
            .iter_mut()
            .find(|download| download.waits() && download.due <= now)?;
        download.pause = (download.pause * 2).min(LONGEST_PAUSE);
        download.all_asked = false;
        self.unasked += 1;
        let (answer, complete) = download.answer(now, 0);
        self.complete = complete.or(self.complete);
        Some((download.port, answer))
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

fn emit(answer: Answer, batches: &mut impl Batches, out: &mut [u8]) -> Option<usize> {
    let failed = |operation, status| Reply::Failed { operation, status };
    match answer {
        Answer::Information(number) => {
            let size = batches.size(number)?;
            let block_size = BLOCK;
            let len = Reply::FileInformation(FileInformation { size, block_size })
                .emit(out)
                .ok()?;
            // Its last field is all that an ancestor counts by.
            *out.get_mut(..len)?.last_chunk_mut()? = blocks(size).to_be_bytes();
            Some(len)
        }
        Answer::Failed(operation, status) => failed(operation, status).emit(out).ok(),
        Answer::Block {
            number,
            index,
            offset,
            len,
        } => {
            let (head, rest) = out.split_first_chunk_mut::<BLOCK_HEAD>()?;
            if !batches.read(number, offset, rest.get_mut(..len)?) {
                return failed(Operation::BLOCK, Status::NOT_FOUND).emit(out).ok();
            }
            super::reply::emit_block_head(index, len, head);
            Some(BLOCK_HEAD + len)
        }
    }
}
