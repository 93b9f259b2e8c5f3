//! The command line: options, and what is wrong with them in one sentence each.

use crate::watch::scan::Symlinks;
use clap::{Args, Parser, Subcommand, ValueEnum};
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
    #[arg(long, required = true, value_name = "A,B", value_delimiter = ',')]
    pub ip: Vec<String>,
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
    /// More log; twice for even more
    #[arg(short, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Only what is wrong
    #[arg(short, conflicts_with = "verbose")]
    pub quiet: bool,
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
