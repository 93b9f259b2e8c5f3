//! The command line: options, and what is wrong with them in one sentence each.

use crate::peer::Flushing;
use crate::watch::scan::Symlinks;
use clap::{Args, Parser, Subcommand, ValueEnum};
use proto_core::engine::Limits;
use std::path::PathBuf;

/// The port of the ancestor's block service, and ours.
pub const DEFAULT_PORT: u16 = 22001;

/// tinypeer keeps share/ the same on a handful of machines.
#[derive(Parser, Debug)]
#[command(
    name = "tinypeer",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do instead of running a peer.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run a peer.
    #[command(flatten)]
    pub run: RunOptions,
}

/// What else tinypeer can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write a new group key (mode 0600); '-' prints it
    Keygen {
        /// Where; an existing file is never overwritten
        #[arg(default_value = ".tinypeer/key")]
        file: PathBuf,
    },
    /// Let a deletion go on that waits because it takes many files
    Resume {
        /// The folder of the peer
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// Ask the running peer how it is doing
    Status {
        /// The folder of the peer
        #[arg(long, default_value = ".")]
        dir: PathBuf,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
        /// End with 0 as soon as every peer is connected and everything is in sync, with 1 after so many seconds
        #[arg(long, value_name = "SECONDS")]
        wait: Option<f64>,
    },
}

/// Options of a running peer.
#[derive(Args, Debug)]
pub struct RunOptions {
    /// The other peers: ADDR or ADDR:PORT, with commas between them
    #[arg(
        long,
        required_unless_present = "legacy",
        value_name = "A,B",
        value_delimiter = ','
    )]
    pub ip: Vec<String>,
    /// Peers that run tinypeer's ancestor: neither authenticated nor encrypted
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub legacy: Vec<String>,
    /// Folder that holds share/, zip/, download/ and .tinypeer/
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// The group key [default: DIR/.tinypeer/key]
    #[arg(long)]
    pub key_file: Option<PathBuf>,
    /// Where to listen [default: port 22001 on all addresses]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// What to do with symlinks in share/
    #[arg(long, value_enum, default_value = "follow")]
    pub symlinks: SymlinksOption,
    /// Seconds between two full scans
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400 * 365))]
    pub scan_interval: u64,
    /// A deletion of more of the files here waits for 'tinypeer resume'; 100: none does
    #[arg(long, default_value_t = crate::peer::guard::HALF, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub max_delete: u8,
    /// What a power cut may cost of what is being landed; never half a file
    #[arg(long, value_enum, default_value = "group")]
    pub durability: DurabilityOption,
    /// Bytes per second that are sent at most, and as many received: 500K, 20M, 1G
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit: Option<u64>,
    /// Bytes per second that are sent at most
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit_up: Option<u64>,
    /// Bytes per second that are received at most
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit_down: Option<u64>,
    /// Send and fetch everything as it is, also what would compress
    #[arg(long)]
    pub no_compress: bool,
    /// More log; twice for even more
    #[arg(short, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Only what is wrong
    #[arg(short, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl RunOptions {
    /// How much of the network may be used; what is said of one direction counts more than what is said of both.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            up: self.limit_up.or(self.limit),
            down: self.limit_down.or(self.limit),
        }
    }
}

/// With less even the journals would take too long.
const LEAST_RATE: u64 = 10_000;

/// Bytes per second: a number, and K, M or G behind it for thousands, millions or milliards.
fn rate(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1_000),
        Some((at, 'm' | 'M')) => (text.get(..at), 1_000_000),
        Some((at, 'g' | 'G')) => (text.get(..at), 1_000_000_000),
        _ => (Some(text), 1),
    };
    let number: Option<u64> = number.and_then(|number| number.parse().ok());
    let rate = number.and_then(|number| number.checked_mul(unit));
    rate.filter(|rate| *rate >= LEAST_RATE)
        .ok_or_else(|| "bytes per second, 10K or more: 500K, 20M or 1G".to_owned())
}

/// Words of `--durability`.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum DurabilityOption {
    /// The file that lands just now: each is flushed by itself; slow where there are many
    Full,
    /// The group of up to 512 files that lands just now: it is flushed at once
    Group,
    /// What landed in the last two minutes: nothing is flushed, all of it is hashed after the start
    None,
}

impl From<DurabilityOption> for Flushing {
    fn from(option: DurabilityOption) -> Self {
        match option {
            DurabilityOption::Full => Self::Each,
            DurabilityOption::Group => Self::Group,
            DurabilityOption::None => Self::Never,
        }
    }
}

/// Words of `--symlinks`.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum SymlinksOption {
    /// A link to a file counts as that file
    Follow,
    /// The link itself is shared
    Keep,
    /// Links are ignored
    Skip,
}

impl From<SymlinksOption> for Symlinks {
    fn from(option: SymlinksOption) -> Self {
        match option {
            SymlinksOption::Follow => Self::Follow,
            SymlinksOption::Keep => Self::Keep,
            SymlinksOption::Skip => Self::Skip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_has_a_unit_or_none_and_is_not_too_small() {
        let rates = [
            ("20M", 20_000_000),
            ("500k", 500_000),
            ("1G", 1_000_000_000),
            ("10000", 10_000),
        ];
        for (text, bytes) in rates {
            assert_eq!(rate(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "M",
            "20MB",
            "-5M",
            "1.5M",
            "9K",
            "20 M",
            "99999999999999999999",
            "18446744073709551615G",
            "5µ",
        ] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
