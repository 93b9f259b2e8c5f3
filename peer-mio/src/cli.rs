//! The command line: options, and what is wrong with them in one sentence each.

use crate::watch::scan::Symlinks;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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

/// Reads one address; without a port it has `port`: a group usually listens on the same one everywhere.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_address(text: &str, port: u16) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, port))
        .map_err(|_| {
            format!(
                "'{}' is no address; write ADDR, ADDR:PORT or [V6ADDR]:PORT",
                text.escape_debug()
            )
        })
}

/// Where to listen: as asked, else the default port on all addresses of the kinds that the peers have.
///
/// # Errors
/// A sentence that says what was expected.
pub fn listen_address(asked: Option<&str>, peers: &[SocketAddr]) -> Result<SocketAddr, String> {
    match asked {
        Some(text) => parse_address(text, DEFAULT_PORT),
        None if peers.iter().any(SocketAddr::is_ipv6) => {
            Ok(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), DEFAULT_PORT))
        }
        None => Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), DEFAULT_PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_port() {
        assert_eq!(
            parse_address("10.0.0.2", DEFAULT_PORT),
            Ok("10.0.0.2:22001".parse().unwrap())
        );
        assert_eq!(
            parse_address(" 10.0.0.2:7 ", DEFAULT_PORT),
            Ok("10.0.0.2:7".parse().unwrap())
        );
        assert_eq!(
            parse_address("fe80::1", DEFAULT_PORT),
            Ok("[fe80::1]:22001".parse().unwrap())
        );
        assert_eq!(
            parse_address("[::1]", DEFAULT_PORT),
            Ok("[::1]:22001".parse().unwrap())
        );
        assert_eq!(
            parse_address("[::1]:7", DEFAULT_PORT),
            Ok("[::1]:7".parse().unwrap())
        );
        for wrong in ["", "host", "10.0.0", "10.0.0.2:70000", "[::1", "::1]:7"] {
            assert!(parse_address(wrong, DEFAULT_PORT).is_err(), "{wrong}");
        }
    }
}
