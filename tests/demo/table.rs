//! The demo's table: steps, times, rates, and the ancestor's times for the same steps.

use std::fmt;
use std::time::Duration;

/// A step that the ancestor was measured with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ancestor {
    /// 10 MB soft link until published.
    Link,
    /// Second peer started until it has it.
    SecondPeer,
    /// Third peer started until it has it.
    ThirdPeer,
    /// The folder, until it is ready to be sent: the ancestor compressed it.
    Compression,
    /// From the move of the folder to complete on peer 3.
    Complete,
    /// Killed peer restarted, until equal.
    Restarted,
    /// Text file added, until everywhere.
    TextAdded,
    /// Text file changed, until everywhere.
    TextChanged,
}

impl Ancestor {
    /// Its time in the 60 MB run and in the 650 MB run, three Python peers on one machine with two
    /// cores, each in a namespace of its own.
    fn times(self) -> [&'static str; 2] {
        match self {
            Self::Link => ["5.4 s", "5.3 s"],
            Self::SecondPeer => ["0.4 s", "0.3 s"],
            Self::ThirdPeer => ["0.5 s", "0.4 s"],
            Self::Compression => ["4.5 s", "35.0 s"],
            Self::Complete => ["8.2 s", "50.5 s"],
            Self::Restarted => ["2.6 s", "43.3 s"],
            Self::TextAdded => ["1.6 s", "-"],
            Self::TextChanged => ["0.3 s or never", "-"],
        }
    }
}

/// Steps and their times.
#[derive(Debug)]
pub struct Table {
    start: std::time::Instant,
    run: usize,
    rows: Vec<[String; 4]>,
}

impl Table {
    /// An empty table for a run with this many MB; compared with the ancestor's run that is nearer.
    pub fn new(size: u64) -> Self {
        Self {
            start: std::time::Instant::now(),
            run: usize::from(size > 200),
            rows: Vec::new(),
        }
    }

    /// Adds a step that moved `bytes` (0 for next to nothing), and says so at once.
    pub fn step(&mut self, step: &str, time: Duration, bytes: u64, ancestor: Ancestor) {
        let secs = time.as_secs_f64();
        println!(
            "{:6.1} s {step}: {secs:.2} s",
            self.start.elapsed().as_secs_f64()
        );
        let rate = if bytes == 0 {
            "-".to_owned()
        } else {
            format!("{:.0}", bytes as f64 / 1e6 / secs)
        };
        let theirs = ancestor.times()[self.run].to_owned();
        self.rows
            .push([step.to_owned(), format!("{secs:.2}"), rate, theirs]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ancestor = format!("ancestor, {} MB", ["60", "650"][self.run]);
        let width = self
            .rows
            .iter()
            .map(|row| row[0].chars().count())
            .max()
            .unwrap_or(4);
        writeln!(
            f,
            "{:width$}  {:>8}  {:>6}  {ancestor:>16}",
            "step", "seconds", "MB/s"
        )?;
        for [step, secs, rate, theirs] in &self.rows {
            writeln!(f, "{step:width$}  {secs:>8}  {rate:>6}  {theirs:>16}")?;
        }
        Ok(())
    }
}
