//! Large files on their way to the disk, beside the loop: a flush of hundreds of megabytes takes seconds, in which
//! others can be fetched (docs/architecture.md, "Landing").

use super::Peer;
use super::land_group::Ready;
use crate::clock::Now;
use crate::disk::{Disk, FlushId};
use proto_core::path::Escaped;
use proto_core::time::{Duration, Instant};

/// Files flushed at the same time: enough that the disk never waits.
const AT_ONCE: usize = 4;
/// Between two looks whether a flush has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Complete contents that are not on the disk yet, in the order in which they came.
#[derive(Debug)]
pub(super) struct Flushing<F> {
    files: Vec<(Ready<F>, Option<FlushId>)>,
    look_at: Instant,
}

impl<F> Default for Flushing<F> {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            look_at: Instant::ZERO,
        }
    }
}

impl<F> Flushing<F> {
    /// Adds one.
    pub fn add(&mut self, ready: Ready<F>) {
        self.files.push((ready, None));
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
        for (mut ready, flush) in std::mem::take(&mut self.landing.flushing.files) {
            let result = match flush {
                Some(flush) => self.disk.poll_flush(flush),
                None if under_way < AT_ONCE => match self.begin_flush(&ready) {
                    Ok(Some(begun)) => {
                        under_way += 1;
                        self.landing.flushing.files.push((ready, Some(begun)));
                        continue;
                    }
                    Ok(None) => Some(Ok(())),
                    Err(error) => Some(Err(error)),
                },
                None => None,
            };
            match result {
                None => {
                    under_way += usize::from(flush.is_some());
                    self.landing.flushing.files.push((ready, flush));
                }
                Some(Ok(())) => {
                    ready.flushed = true;
                    self.landing.add_ready(now, ready);
                }
                Some(Err(error)) => {
                    self.leave(&ready);
                    let sentence = format!("{} cannot be flushed: {error}", Escaped(&ready.path));
                    self.errors.set_path(&ready.path, sentence);
                    self.plan.retry_later();
                }
            }
        }
    }

    /// Gives a file its mode and time and begins its flush; `None`: it is flushed, or is not wanted any more,
    /// which landing finds out.
    fn begin_flush(&mut self, ready: &Ready<D::File>) -> std::io::Result<Option<FlushId>> {
        match self.store.pending(&ready.path) {
            Ok(Some(pending)) => {
                ready.set_attributes(&pending.entry)?;
                self.disk.begin_flush(&ready.file)
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.store_failed(&error);
                Err(std::io::Error::other(error.to_string()))
            }
        }
    }
}
