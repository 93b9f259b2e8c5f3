//! Fetching one file from an ancestor: file information, then blocks, several outstanding, each asked for
//! again after a time (docs/legacy.md, "Fetching"). Where the ancestor waits for ever, this gives up.

use super::{FileInformation, MAX_LEGACY_NAME, Operation, Reply, Request, Status};
use crate::time::{Duration, Instant};
use crate::wire::WireError;

/// Most blocks outstanding: 640 KB of the ancestor's usual 20 KB.
pub const WINDOW: usize = 32;
/// Fewest blocks that may be outstanding, whatever is lost: random loss is no congestion.
const LEAST_WINDOW: usize = 4;
/// Bytes that may be outstanding: blocks of 64 KB must not overrun a small receive buffer.
const WINDOW_BYTES: u64 = 256 * 1024;
/// Until a round trip is known.
const FIRST_TIMEOUT: Duration = Duration::from_millis(250);
const LEAST_TIMEOUT: Duration = Duration::from_millis(50);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Without any block for so long the file is asked about anew before any other block: a request for a
/// block of a file that is gone ends the ancestor's server.
const DOUBT: Duration = Duration::from_secs(2);
/// An answer may come so long after its request. It does not say to which file it belongs.
const LATE: Duration = Duration::from_secs(2);
/// So many times it may be silent for so long, and once more for so many blocks that came: other files wait for it.
const DOUBTS: u64 = 30;
const BLOCKS_PER_DOUBT: u64 = 64;
/// Without any answer for so long it is given up.
const GIVE_UP: Duration = Duration::from_secs(15);

/// Why a file does not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetchError {
    /// There is no such file.
    NotFound,
    /// It has another length than at first.
    Changed,
    /// Nothing comes any more.
    Silent,
}

/// What an answer brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fetched<'a> {
    /// How long the file is; only once.
    Size(u64),
    /// Bytes at this place of it, each once.
    Bytes(u64, &'a [u8]),
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// When it was asked for last; `None`: not yet.
    asked: Option<Instant>,
    again: bool,
    arrived: bool,
}

/// One file under way.
#[derive(Debug)]
pub struct Fetch {
    name: heapless::Vec<u8, MAX_LEGACY_NAME>,
    information: Option<FileInformation>,
    /// Whether the ancestor has said so of late.
    confirmed: bool,
    asked_information: Option<Instant>,
    /// Until it is asked about again.
    information_pause: Duration,
    /// How often it was silent for long.
    doubts: u64,
    /// Requests that have no answer yet, and when the last one was made.
    unanswered: u32,
    asked_at: Instant,
    /// First block that is not here.
    base: u64,
    /// Blocks from there on; block `n` at `n % WINDOW`.
    slots: [Slot; WINDOW],
    window: usize,
    credit: usize,
    shrunk: Instant,
    round_trip: Option<Duration>,
    heard: Instant,
    failed: Option<FetchError>,
    asked_bytes: usize,
}

impl Fetch {
    /// Begins with the file of this name; `None` if it may not be asked for.
    #[must_use]
    pub fn new(now: Instant, name: &str) -> Option<Self> {
        super::check_name(name, "file name").ok()?;
        Some(Self {
            name: heapless::Vec::from_slice(name.as_bytes()).ok()?,
            information: None,
            confirmed: false,
            asked_information: None,
            information_pause: FIRST_TIMEOUT,
            doubts: 0,
            unanswered: 0,
            asked_at: now,
            base: 0,
            slots: [Slot::default(); WINDOW],
            window: LEAST_WINDOW,
            credit: 0,
            shrunk: now,
            round_trip: None,
            heard: now,
            failed: None,
            asked_bytes: 0,
        })
    }

    /// The name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.name).unwrap_or_default()
    }

    /// Bytes of the file, once known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.information.map(|information| information.size)
    }

    /// Whether all bytes have been handed out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.information
            .is_some_and(|information| self.base >= information.total_blocks())
    }

    /// Why it does not come, if it does not.
    #[must_use]
    pub fn failed(&self) -> Option<FetchError> {
        self.failed
    }

    /// Bytes of the answer to the request that was written last.
    #[must_use]
    pub fn asked_bytes(&self) -> usize {
        self.asked_bytes
    }

    /// Answers that may still come, and until when: no other file may be asked for before that, because it would take them for its own.
    #[must_use]
    pub fn unanswered(&self) -> (u32, Instant) {
        (self.unanswered, self.asked_at + LATE)
    }

    /// Takes an answer. `None`: it brought nothing.
    pub fn handle_reply<'a>(&mut self, now: Instant, reply: &Reply<'a>) -> Option<Fetched<'a>> {
        self.unanswered = self.unanswered.saturating_sub(1);
        match *reply {
            Reply::FileInformation(information) => self.handle_information(now, information),
            Reply::Block { index, bytes } => self.handle_block(now, index, bytes),
            Reply::Failed { operation, status } => {
                let about_us = match operation {
                    Operation::FILE_INFORMATION => !self.confirmed,
                    _ => self.confirmed,
                };
                if about_us {
                    self.failed = Some(if status == Status::NOT_FOUND {
                        FetchError::NotFound
                    } else {
                        FetchError::Changed
                    });
                }
                None
            }
        }
    }

    fn handle_information(
        &mut self,
        now: Instant,
        information: FileInformation,
    ) -> Option<Fetched<'static>> {
        if self.confirmed {
            return None;
        }
        self.heard = now;
        match self.information {
            Some(known) if known != information => {
                self.failed = Some(FetchError::Changed);
                None
            }
            Some(_) => {
                self.confirmed = true;
                None
            }
            None => {
                self.confirmed = true;
                self.information = Some(information);
                Some(Fetched::Size(information.size))
            }
        }
    }

    fn handle_block<'a>(
        &mut self,
        now: Instant,
        index: u64,
        bytes: &'a [u8],
    ) -> Option<Fetched<'a>> {
        let information = self.information?;
        let block_size = u64::from(information.block_size);
        if index < self.base || index - self.base >= WINDOW as u64 {
            return None;
        }
        let offset = index.checked_mul(block_size)?;
        if bytes.len() as u64 != information.size.checked_sub(offset)?.min(block_size) {
            // The file is shorter than it was.
            self.failed = Some(FetchError::Changed);
            return None;
        }
        let slot = self.slot(index)?;
        let asked = slot.asked?;
        if core::mem::replace(&mut slot.arrived, true) {
            return None;
        }
        let first = !slot.again;
        if first {
            let sample = now.saturating_since(asked);
            self.round_trip = Some(match self.round_trip {
                Some(mean) => (mean * 7 + sample) / 8,
                None => sample,
            });
        }
        self.heard = now;
        self.credit += 1;
        if self.credit >= self.window {
            self.credit = 0;
            self.window = (self.window + 1).min(WINDOW);
        }
        while self.base < information.total_blocks() {
            let base = self.base;
            match self.slot(base) {
                Some(slot) if slot.arrived => *slot = Slot::default(),
                _ => break,
            }
            self.base += 1;
        }
        Some(Fetched::Bytes(offset, bytes))
    }

    fn slot(&mut self, index: u64) -> Option<&mut Slot> {
        let place = usize::try_from(index % WINDOW as u64).ok()?;
        self.slots.get_mut(place)
    }

    fn timeout(&self) -> Duration {
        self.round_trip.map_or(FIRST_TIMEOUT, |mean| {
            (mean * 4).clamp(LEAST_TIMEOUT, LONGEST_TIMEOUT)
        })
    }

    /// Blocks that may be outstanding now.
    fn allowed(&self, information: FileInformation) -> u64 {
        let fitting = (WINDOW_BYTES / u64::from(information.block_size).max(1))
            .clamp(LEAST_WINDOW as u64, WINDOW as u64);
        fitting.min(self.window as u64)
    }

    /// Writes the next request; its length. `None`: nothing is to be asked now.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let len = self.next_request(now, out)?;
        self.unanswered = self.unanswered.saturating_add(1);
        self.asked_at = now;
        Some(len)
    }

    fn next_request(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if self.failed.is_some() || self.is_done() {
            return None;
        }
        if now.saturating_since(self.heard) >= GIVE_UP {
            self.failed = Some(FetchError::Silent);
            return None;
        }
        if self.confirmed && now.saturating_since(self.heard) >= DOUBT {
            self.confirmed = false;
            // If all is answered it was a limit of ours that made the silence.
            self.doubts += u64::from(self.unanswered > 0);
            if self.doubts > DOUBTS + self.base / BLOCKS_PER_DOUBT {
                self.failed = Some(FetchError::Silent);
                return None;
            }
            self.asked_information = None;
            self.information_pause = FIRST_TIMEOUT;
        }
        let Some(information) = self.information.filter(|_| self.confirmed) else {
            if let Some(asked) = self.asked_information {
                if now.saturating_since(asked) < self.information_pause {
                    return None;
                }
                self.information_pause = (self.information_pause * 2).min(LONGEST_TIMEOUT);
            }
            self.asked_information = Some(now);
            self.asked_bytes = 0;
            let name = self.name();
            return Request::FileInformation { name }.emit(out).ok();
        };
        let end = (self.base + self.allowed(information)).min(information.total_blocks());
        let timeout = self.timeout();
        for index in self.base..end {
            let slot = self.slot(index)?;
            let due = slot.asked.is_none_or(|asked| now >= asked + timeout);
            if slot.arrived || !due {
                continue;
            }
            slot.again = slot.asked.is_some();
            slot.asked = Some(now);
            if slot.again && now.saturating_since(self.shrunk) >= timeout {
                self.shrunk = now;
                self.window = (self.window * 3 / 4).max(LEAST_WINDOW);
            }
            self.asked_bytes = usize::from(information.block_size);
            return self.emit_block(index, out).ok();
        }
        None
    }

    fn emit_block(&self, index: u64, out: &mut [u8]) -> Result<usize, WireError> {
        let name = self.name();
        Request::Block { index, name }.emit(out)
    }

    /// When to poll again.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        if self.failed.is_some() || self.is_done() {
            return Instant::ZERO;
        }
        let Some(information) = self.information.filter(|_| self.confirmed) else {
            return self
                .asked_information
                .map_or(Instant::ZERO, |asked| asked + self.information_pause);
        };
        let timeout = self.timeout();
        let end = (self.base + self.allowed(information)).min(information.total_blocks());
        let mut next = self.heard + DOUBT;
        for index in self.base..end {
            let place = usize::try_from(index % WINDOW as u64).unwrap_or(0);
            match self.slots.get(place) {
                Some(slot) if !slot.arrived => {
                    next = next.min(slot.asked.map_or(Instant::ZERO, |asked| asked + timeout));
                }
                _ => {}
            }
        }
        next
    }
}
