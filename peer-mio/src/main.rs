//! The program: arguments, run, exit code. 0: well; 1: not in sync (`status --wait`), no peer
//! to ask, or ended by a failure; 2: cannot start.

use peer_mio::cli::{self, Command};
use peer_mio::run::Failure;
use peer_mio::{control, key, run};
use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: peer_mio::sys::allocator::Allocator = peer_mio::sys::allocator::Allocator;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) if error.use_stderr() => return refuse(&first_line(&error)),
        Err(help) => {
            // Help and version; a closed pipe is nobody's fault.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    match command {
        Command::Keygen { file } if file.as_os_str() == "-" => match key::generate() {
            Ok(line) => {
                print!("{line}");
                ExitCode::SUCCESS
            }
            Err(error) => refuse(&format!("no key can be made: {error}")),
        },
        Command::Keygen { file } => match key::write_new(&file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => refuse(&sentence),
        },
        Command::Resume { dir } => match control::resume(&dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => {
                eprintln!("tinypeer: {sentence}");
                ExitCode::FAILURE
            }
        },
        Command::Status { dir, json, wait } => match control::ask(&dir, json, wait) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(sentence) => {
                eprintln!("tinypeer: {sentence}");
                ExitCode::FAILURE
            }
        },
        Command::Run(options) => match run::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure::Start(sentence)) => refuse(&sentence),
            Err(Failure::Later(sentence)) => {
                eprintln!("tinypeer: {sentence}");
                ExitCode::FAILURE
            }
        },
    }
}

/// One line that says what is wrong.
fn refuse(sentence: &str) -> ExitCode {
    eprintln!("tinypeer: {sentence}");
    ExitCode::from(2)
}

/// What clap says, as one line with a hint.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !line.starts_with("Usage") && !line.starts_with("For more")
    });
    let first = lines
        .next()
        .unwrap_or("the options cannot be read")
        .trim_start_matches("error: ")
        .to_owned();
    let rest: Vec<&str> = lines.collect();
    let rest = if first.ends_with(':') {
        format!(" {}", rest.join(" "))
    } else {
        String::new()
    };
    format!("{first}{rest}; see 'tinypeer --help'")
}
