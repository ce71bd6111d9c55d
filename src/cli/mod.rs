//! The command line: what was typed → what is meant → one call per subcommand.
//!
//! Takes: arguments. Gives: results on stdout, messages on stderr, an exit code: 0 done, 1 verified "no", 2 bad input or
//! arguments, 3 done but not all written. Never: panics on input; trains before everything that was typed is checked; leaves half a file.

mod answer;
mod args;
mod bench;
mod console;
mod data;
mod demo;
mod flags;
mod guard;
mod inspect;
mod job;
mod options;
mod places;
mod progress;
mod prune;
mod rewrite;
mod typed;
mod value;
mod verify;

use answer::Answer;
use args::{Cli, Command};
use autobot_onnx::Error;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use std::io::Write;
use std::process::ExitCode;

/// Exit code where the result is there and something beside it could not be written.
const UNWRITTEN: u8 = 3;

/// Size from which a block of memory goes back to the system when it is freed, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 1 << 20;

/// Runs the program.
#[allow(unsafe_code, reason = "one number of the C library's allocator")]
pub fn run() -> ExitCode {
    // By itself the C library learns to keep blocks, in pieces that fit nothing else.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets a number of the allocator's; nothing else runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE)
    };
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(e) => return usage(&e),
    };
    let answer = match Cli::from_arg_matches(&matches) {
        Ok(cli) => dispatch(&cli, &matches),
        Err(e) => return usage(&e),
    };
    match answer {
        Ok(Answer::Yes) if !console::results_lost() => ExitCode::SUCCESS,
        Ok(Answer::Yes | Answer::Partly) => ExitCode::from(UNWRITTEN),
        Ok(Answer::No) => ExitCode::from(1),
        Err(e) => {
            console::print_error(&e);
            ExitCode::from(if is_verdict(&e) { 1 } else { 2 })
        }
    }
}

/// Prints help, or what is wrong with the arguments.
fn usage(e: &clap::Error) -> ExitCode {
    let printed = e.print().and_then(|()| std::io::stdout().flush()).or_else(console::ignore_closed_pipe);
    match e.exit_code() {
        0 if printed.is_err() => ExitCode::from(UNWRITTEN),
        code => ExitCode::from(u8::try_from(code).unwrap_or(2)),
    }
}

fn dispatch(cli: &Cli, matches: &ArgMatches) -> anyhow::Result<Answer> {
    match &cli.command {
        Some(Command::Inspect(args)) => inspect::run(args),
        Some(Command::Verify(args)) => verify::run(args),
        Some(Command::Demo(args)) => demo::run(args),
        Some(Command::Bench(args)) => bench::run(args),
        Some(Command::Rewrite(args)) => rewrite::run(args),
        None => {
            typed::refuse_idle_flags(&cli.prune.recovery, matches)?;
            prune::run(&cli.prune, &typed::flags(matches))
        }
    }
}

fn is_verdict(e: &anyhow::Error) -> bool {
    matches!(e.downcast_ref(), Some(Error::Verification { .. }))
}
