//! The command line: options, and what is wrong with them in one sentence each.

use crate::peer::{Flushing, guard};
use crate::watch::scan::Symlinks;
use clap::builder::{PossibleValue, PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command as Clap};
use proto_core::engine::Limits;
use std::ffi::OsString;
use std::num::{ParseFloatError, ParseIntError};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// The port of the ancestor's block service, and ours.
pub const DEFAULT_PORT: u16 = 22001;

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    /// A peer runs.
    Run(RunOptions),
    /// A new group key is written.
    Keygen {
        /// Where to; `-`: printed.
        file: PathBuf,
    },
    /// A deletion goes on that waits.
    Resume {
        /// The folder of the peer.
        dir: PathBuf,
    },
    /// The running peer is asked how it is doing.
    Status {
        /// The folder of the peer.
        dir: PathBuf,
        /// One JSON object instead of text.
        json: bool,
        /// So many seconds it may take until all is in sync.
        wait: Option<f64>,
    },
}

/// Options of a running peer.
#[derive(Debug)]
pub struct RunOptions {
    /// The other peers.
    pub ip: Vec<String>,
    /// Peers that run the ancestor.
    pub legacy: Vec<String>,
    /// Folder that holds `share/` and all else.
    pub dir: PathBuf,
    /// The group key, if it is not where it mostly is.
    pub key_file: Option<PathBuf>,
    /// Where to listen, if not at our port on all addresses.
    pub listen: Option<String>,
    /// What to do with symlinks in `share/`.
    pub symlinks: Symlinks,
    /// Seconds between two full scans.
    pub scan_interval: u64,
    /// How much of the files may be deleted at once, in percent.
    pub max_delete: u8,
    /// What a power cut may cost.
    pub durability: Flushing,
    /// Bytes per second that are sent, and that are received, at most.
    pub limit: Option<u64>,
    /// Bytes per second that are sent at most.
    pub limit_up: Option<u64>,
    /// Bytes per second that are received at most.
    pub limit_down: Option<u64>,
    /// Everything travels as it is.
    pub no_compress: bool,
    /// How often more log was asked for.
    pub verbose: u8,
    /// Only what is wrong is logged.
    pub quiet: bool,
}

/// Reads the command line: the program's name, and what stands behind it.
///
/// # Errors
/// What is wrong with it; also help, or the version, that was asked for.
pub fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let mut matches = tinypeer().try_get_matches_from(line)?;
    Ok(match matches.remove_subcommand() {
        None => Command::Run(run_options(&mut matches)),
        Some((name, mut of_it)) => match name.as_str() {
            "keygen" => Command::Keygen {
                file: path(&mut of_it, "file"),
            },
            "resume" => Command::Resume {
                dir: path(&mut of_it, "dir"),
            },
            _ => Command::Status {
                dir: path(&mut of_it, "dir"),
                json: of_it.get_flag("json"),
                wait: of_it.remove_one("wait"),
            },
        },
    })
}

fn tinypeer() -> Clap {
    let keygen = Clap::new("keygen")
        .about("Write a new group key (mode 0600); '-' prints it")
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .help("Where; an existing file is never overwritten")
                .default_value(".tinypeer/key")
                .value_parser(ValueParser::path_buf()),
        );
    let folder = || path_option("dir", "DIR", "The folder of the peer").default_value(".");
    let resume = Clap::new("resume")
        .about("Let a deletion go on that waits because it takes many files")
        .arg(folder());
    let status = Clap::new("status")
        .about("Ask the running peer how it is doing")
        .args([
            folder(),
            flag("json", "One JSON object instead of text").long("json"),
            option(
                "wait",
                "SECONDS",
                "End with 0 as soon as every peer is connected and everything is in sync, with 1 after so many seconds",
            )
            .value_parser(seconds),
        ]);
    Clap::new("tinypeer")
        .version(env!("CARGO_PKG_VERSION"))
        .about("tinypeer keeps share/ the same on a handful of machines")
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .subcommands([keygen, resume, status])
        .args(peer_arguments())
        .args(rate_arguments())
}

fn peer_arguments() -> [Arg; 9] {
    let list = |name, help| {
        option(name, "A,B", help)
            .action(ArgAction::Append)
            .value_delimiter(',')
    };
    [
        list(
            "ip",
            "The other peers: ADDR or ADDR:PORT, with commas between them",
        )
        .required_unless_present("legacy"),
        list(
            "legacy",
            "Peers that run tinypeer's ancestor: neither authenticated nor encrypted",
        ),
        path_option(
            "dir",
            "DIR",
            "Folder that holds share/, zip/, download/ and .tinypeer/",
        )
        .default_value("."),
        path_option(
            "key-file",
            "KEY_FILE",
            "The group key [default: DIR/.tinypeer/key]",
        ),
        option(
            "listen",
            "ADDR:PORT",
            "Where to listen [default: port 22001 on all addresses]",
        ),
        one_of(
            "symlinks",
            "SYMLINKS",
            "What to do with symlinks in share/",
            &SYMLINKS,
        )
        .default_value("follow"),
        option("scan-interval", "SECONDS", "Seconds between two full scans")
            .value_parser(interval as Parse)
            .default_value("60"),
        option(
            "max-delete",
            "PERCENT",
            "A deletion of more of the files here waits for 'tinypeer resume'; 100: none does",
        )
        .value_parser(percent as Parse)
        .default_value(HALF),
        one_of(
            "durability",
            "DURABILITY",
            "What a power cut may cost of what is being landed; never half a file",
            &DURABILITIES,
        )
        .default_value("group"),
    ]
}

fn rate_arguments() -> [Arg; 6] {
    let limit = |name, help| option(name, "RATE", help).value_parser(rate as Parse);
    [
        limit(
            "limit",
            "Bytes per second that are sent at most, and as many received: 500K, 20M, 1G",
        ),
        limit("limit-up", "Bytes per second that are sent at most"),
        limit("limit-down", "Bytes per second that are received at most"),
        flag(
            "no-compress",
            "Send and fetch everything as it is, also what would compress",
        )
        .long("no-compress"),
        flag("verbose", "More log; twice for even more")
            .short('v')
            .action(ArgAction::Count),
        flag("quiet", "Only what is wrong")
            .short('q')
            .conflicts_with("verbose"),
    ]
}

// Each is called often, and an Arg is large: inlined they would be a fiftieth of the program.
#[inline(never)]
fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

#[inline(never)]
fn path_option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(ValueParser::path_buf())
}

#[inline(never)]
fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).help(help).action(ArgAction::SetTrue)
}

/// A word with its meaning, and help for it.
type Word<T> = (&'static str, T, &'static str);

fn one_of<T>(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    words: &[Word<T>],
) -> Arg {
    let values = words
        .iter()
        .map(|(word, _, help)| PossibleValue::new(*word).help(*help));
    option(name, value, help).value_parser(PossibleValuesParser::new(values))
}

/// What the word says that was given, which clap has found to be one of them.
fn meaning<T: Copy + Default>(matches: &mut ArgMatches, name: &str, words: &[Word<T>]) -> T {
    let word: Option<String> = matches.remove_one(name);
    let meant = words
        .iter()
        .find(|(other, _, _)| word.as_deref() == Some(*other));
    meant.map(|(_, meaning, _)| *meaning).unwrap_or_default()
}

fn run_options(matches: &mut ArgMatches) -> RunOptions {
    let list = |name, matches: &mut ArgMatches| -> Vec<String> {
        matches
            .remove_many(name)
            .map(Iterator::collect)
            .unwrap_or_default()
    };
    RunOptions {
        ip: list("ip", matches),
        legacy: list("legacy", matches),
        dir: path(matches, "dir"),
        key_file: matches.remove_one("key-file"),
        listen: matches.remove_one("listen"),
        symlinks: meaning(matches, "symlinks", &SYMLINKS),
        scan_interval: matches.remove_one("scan-interval").unwrap_or_default(),
        max_delete: u8::try_from(matches.remove_one("max-delete").unwrap_or(0u64))
            .unwrap_or(guard::HALF),
        durability: meaning(matches, "durability", &DURABILITIES),
        limit: matches.remove_one("limit"),
        limit_up: matches.remove_one("limit-up"),
        limit_down: matches.remove_one("limit-down"),
        no_compress: matches.get_flag("no-compress"),
        verbose: matches.get_count("verbose"),
        quiet: matches.get_flag("quiet"),
    }
}

/// The path that was given, or its default.
fn path(matches: &mut ArgMatches, name: &str) -> PathBuf {
    matches.remove_one(name).unwrap_or_default()
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

/// Reads a number.
type Parse = fn(&str) -> Result<u64, String>;

fn interval(text: &str) -> Result<u64, String> {
    within(text, 1..=86_400 * 365)
}

fn percent(text: &str) -> Result<u64, String> {
    within(text, 1..=100)
}

/// [`guard::HALF`] in words.
const HALF: &str = "50";

fn within(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let number: u64 = text
        .parse()
        .map_err(|error: ParseIntError| error.to_string())?;
    if range.contains(&number) {
        Ok(number)
    } else {
        Err(format!(
            "{number} is not in {}..={}",
            range.start(),
            range.end()
        ))
    }
}

fn seconds(text: &str) -> Result<f64, ParseFloatError> {
    text.parse()
}

/// Words of `--durability`.
const DURABILITIES: [Word<Flushing>; 3] = [
    (
        "full",
        Flushing::Each,
        "The file that lands just now: each is flushed by itself; slow where there are many",
    ),
    (
        "group",
        Flushing::Group,
        "The group of up to 512 files that lands just now: it is flushed at once",
    ),
    (
        "none",
        Flushing::Never,
        "What landed in the last two minutes: nothing is flushed, all of it is hashed after the start",
    ),
];

/// Words of `--symlinks`.
const SYMLINKS: [Word<Symlinks>; 3] = [
    (
        "follow",
        Symlinks::Follow,
        "A link to a file counts as that file",
    ),
    ("keep", Symlinks::Keep, "The link itself is shared"),
    ("skip", Symlinks::Skip, "Links are ignored"),
];

#[cfg(test)]
mod tests;
