//! What people see of transfers: on a terminal a bar with rate and time left (indicatif), and for
//! each larger file one line on its end, as the ancestor printed.

use crate::disk::Disk;
use crate::peer::Peer;
use indicatif::{ProgressBar, ProgressStyle};
use proto_core::path::Escaped;
use simple_logger::SimpleLogger;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

/// Smaller files are landed without a word but at `-v`, in bytes.
const WORTH_A_LINE: u64 = 1024 * 1024;

/// The bar that is drawn now: a line of the log goes above it.
static DRAWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// The log, which shares the terminal with the bar.
struct Log(SimpleLogger);

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match drawn {
            Some(bar) => bar.suspend(|| self.0.log(record)),
            None => self.0.log(record),
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Begins to log to standard error. A logger that is set already (in tests) stays.
pub fn start_log(level: log::LevelFilter) {
    let logger = Log(SimpleLogger::new().with_level(level));
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
    }
}

fn set_drawn(bar: Option<ProgressBar>) {
    *DRAWN.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// The bar, if there is a terminal to draw it on.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    bar: Option<(Vec<u8>, ProgressBar)>,
}

impl Progress {
    /// Nothing is shown yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            bar: None,
        }
    }

    /// Shows how far the largest transfer is, and what has landed.
    pub fn show<D: Disk>(&mut self, peer: &mut Peer<D>) {
        for landed in peer.take_landed() {
            let seconds = landed.time.as_secs_f64().max(1e-6);
            let rate = landed.size as f64 / 1e6 / seconds;
            if landed.size >= WORTH_A_LINE {
                self.clear();
                log::info!(
                    "{}: {} bytes in {seconds:.2} s, {rate:.1} MB/s",
                    Escaped(&landed.path),
                    landed.size
                );
            } else {
                log::debug!(
                    "{}: {} bytes in {seconds:.3} s",
                    Escaped(&landed.path),
                    landed.size
                );
            }
        }
        if !self.terminal {
            return;
        }
        match peer.progress().filter(|(_, _, size)| *size >= WORTH_A_LINE) {
            None => self.clear(),
            Some((path, here, size)) => {
                if self.bar.as_ref().is_none_or(|(shown, _)| shown != path) {
                    self.clear();
                    let bar = bar(path, size);
                    set_drawn(Some(bar.clone()));
                    self.bar = Some((path.to_vec(), bar));
                }
                if let Some((_, bar)) = &self.bar {
                    bar.set_position(here);
                }
            }
        }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            set_drawn(None);
            bar.finish_and_clear();
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn bar(path: &[u8], size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar.set_message(Escaped(path).to_string());
    bar
}
