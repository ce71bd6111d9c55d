//! The command line: what was typed → what is meant → one call per subcommand.
//!
//! Takes: arguments. Gives: results on stdout, talk on stderr, an exit code: 0 done, 1 verified "no", 2 bad input or
//! arguments, 3 done but not all written. Never: panics on input; trains before everything that was typed is checked; leaves half a file.

mod args;
mod bench;
mod data;
mod demo;
mod flags;
mod guard;
mod inspect;
mod job;
mod progress;
mod prune;
mod talk;
mod value;
mod verify;

use args::{Cli, Command, RecoverArg, RecoveryArgs};
use autobot_onnx::Error;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches};
use flags::Misuse;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

/// The answer of a subcommand that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Done, and where something was to be verified, it holds.
    Yes,
    /// The same, but something beside the result could not be written: a warning said what.
    Partly,
    /// Verified, and it does not hold.
    No,
}

/// Exit code where the result is there and something beside it could not be written.
const UNWRITTEN: u8 = 3;

/// Blocks of memory of so many bytes go back to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 1 << 20;

/// Runs the program.
#[allow(unsafe_code, reason = "one number of the C library's allocator")]
pub fn run() -> ExitCode {
    // By itself the C library learns to keep them, in pieces that fit nothing else.
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
        Ok(Answer::Yes) if !talk::lost() => ExitCode::SUCCESS,
        Ok(Answer::Yes | Answer::Partly) => ExitCode::from(UNWRITTEN),
        Ok(Answer::No) => ExitCode::from(1),
        Err(e) => {
            talk::complain(&e);
            ExitCode::from(if is_verdict(&e) { 1 } else { 2 })
        }
    }
}

/// Prints help, or what is wrong with the arguments.
fn usage(e: &clap::Error) -> ExitCode {
    let printed = e.print().and_then(|()| std::io::stdout().flush()).or_else(talk::closed);
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
        None => {
            all_heard(&cli.prune.recovery, matches)?;
            prune::run(&cli.prune, typed(matches))
        }
    }
}

/// The answer of a subcommand whose result is there, after what was to be written beside it.
fn beside(written: impl IntoIterator<Item = autobot_onnx::Result<()>>, talk: talk::Talk) -> Answer {
    let mut answer = Answer::Yes;
    for e in written.into_iter().filter_map(Result::err) {
        talk.warn(&format!("not written: {}", one_line(&e)));
        answer = Answer::Partly;
    }
    answer
}

/// An error with its way out, in a line.
fn one_line(e: &Error) -> String {
    e.to_string().replace("\n  way out: ", "; way out: ")
}

/// Refuses flags of finetuning where nothing is finetuned.
fn all_heard(recovery: &RecoveryArgs, matches: &ArgMatches) -> Result<(), Misuse> {
    if recovery.recover == RecoverArg::Finetune {
        return Ok(());
    }
    let flags = RecoveryArgs::augment_args(clap::Command::new(""));
    let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let mut names =
        flags.get_arguments().filter(|a| is_typed(a.get_id().as_str())).flat_map(|a| a.get_long());
    match names.find(|&name| name != "recover") {
        Some(name) => Err(Misuse::new(
            format!("--{name}"),
            "shapes finetuning, and none is asked for",
            "add --recover finetune, or leave it out",
        )),
        None => Ok(()),
    }
}

fn is_verdict(e: &anyhow::Error) -> bool {
    matches!(e.downcast_ref(), Some(Error::Verification { .. }))
}

/// Every flag with the value it had, for the report.
fn typed(matches: &ArgMatches) -> BTreeMap<String, serde_json::Value> {
    let command = Cli::command();
    let value = |id: &str| {
        let raw = matches.try_get_raw(id).ok().flatten()?;
        let mut all: Vec<serde_json::Value> = raw.map(|v| word(&v.to_string_lossy())).collect();
        Some(if all.len() == 1 { all.remove(0) } else { all.into() })
    };
    let ids = command.get_arguments().map(|a| a.get_id().as_str());
    ids.filter_map(|id| Some((id.replace('_', "-"), value(id)?))).collect()
}

/// Numbers and truth values as such, everything else as text.
fn word(text: &str) -> serde_json::Value {
    let parsed = serde_json::from_str(text).ok();
    parsed.filter(|v: &serde_json::Value| v.is_number() || v.is_boolean()).unwrap_or_else(|| text.into())
}
