//! Large files on their way to the disk, beside the loop: a flush of hundreds of megabytes takes seconds, in which
//! others can be fetched (docs/architecture.md, "Landing").

use super::Peer;
use super::ready::Ready;
use crate::clock::Now;
use crate::disk::{Disk, DiskFile, FlushId};
use proto_core::path::Escaped;
use proto_core::time::{Duration, Instant};
use std::io;

/// Files flushed at the same time: enough that the disk never waits.
const AT_ONCE: usize = 4;
/// Between two looks whether a flush has ended.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// Where the kernel does not flush beside us: bytes that are written and waited for in one turn, so that the flush at the
/// end finds little to do and no turn waits long: 50 ms on a card of 20 MB/s.
const WRITE_OUT: u64 = 1024 * 1024;

/// Complete contents that are not on the disk yet, in the order in which they came.
#[derive(Debug)]
pub(super) struct Flushes<F> {
    files: Vec<(Ready<F>, State)>,
    look_at: Instant,
}

/// How far a flush is.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Not begun.
    Waits,
    /// The kernel does it beside us.
    Beside(FlushId),
    /// So many bytes are written out by us.
    WrittenOut(u64),
}

impl<F> Default for Flushes<F> {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            look_at: Instant::ZERO,
        }
    }
}

impl<F> Flushes<F> {
    /// Adds one.
    pub fn add(&mut self, ready: Ready<F>) {
        self.files.push((ready, State::Waits));
    }

    /// All of them.
    pub fn files(&self) -> impl Iterator<Item = &Ready<F>> {
        self.files.iter().map(|(ready, _)| ready)
    }

    /// When to look at them again, if there are any.
    pub fn due(&self) -> Option<Instant> {
        (!self.files.is_empty()).then_some(self.look_at)
    }
}

impl<D: Disk> Peer<D> {
    /// Begins flushes, and hands over to landing what is flushed.
    pub(super) fn step_flushes(&mut self, now: Now) {
        if self.landing.flushing.due().is_none_or(|due| now.mono < due) {
            return;
        }
        self.landing.flushing.look_at = now.mono + LOOK;
        let mut under_way = 0;
        for (mut ready, state) in std::mem::take(&mut self.landing.flushing.files) {
            let stepped = if under_way < AT_ONCE {
                self.step_flush(now, &mut ready, state)
            } else {
                Ok(Some(state))
            };
            match stepped {
                Ok(Some(state)) => {
                    under_way += 1;
                    self.landing.flushing.files.push((ready, state));
                }
                Ok(None) => {
                    ready.flushed = true;
                    self.landing.add_ready(now, ready);
                }
                Err(error) => {
                    self.leave(&ready);
                    let sentence = format!("{} cannot be flushed: {error}", Escaped(&ready.path));
                    self.errors.set_path(&ready.path, sentence);
                    self.plan.retry_later();
                }
            }
        }
    }

    /// One step of a flush; `None`: it has ended.
    fn step_flush(
        &mut self,
        now: Now,
        ready: &mut Ready<D::File>,
        state: State,
    ) -> io::Result<Option<State>> {
        match state {
            State::Waits => {
                // One that is not pending any more is flushed in vain; landing finds out.
                match self.store.pending(&ready.path) {
                    Ok(None) => {}
                    Ok(Some(pending)) => {
                        let kept = &mut self.landing.kept_times;
                        ready.complete_attributes(&pending.entry, kept)?;
                    }
                    Err(error) => {
                        let said = io::Error::other(error.to_string());
                        self.store_failed(&error);
                        return Err(said);
                    }
                }
                let beside = self.disk.begin_flush(&ready.file).map(State::Beside);
                Ok(Some(beside.unwrap_or(State::WrittenOut(0))))
            }
            State::Beside(flush) => match self.disk.poll_flush(flush) {
                None => Ok(Some(state)),
                Some(result) => result.map(|()| None),
            },
            State::WrittenOut(bytes) if bytes < ready.size => {
                ready.file.write_out(bytes, WRITE_OUT);
                self.landing.flushing.look_at = now.mono;
                Ok(Some(State::WrittenOut(bytes.saturating_add(WRITE_OUT))))
            }
            State::WrittenOut(_) => ready.file.sync_data().map(|()| None),
        }
    }
}
